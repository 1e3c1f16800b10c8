"""That nothing trains is said once, whatever the reasons of each step are."""

import json
import math

from mtgrpo.core.filters import informative
from mtgrpo.core.silence import MIN_IDLE_GROUPS, SilentTasks
from mtgrpo.core.step_counts import StepCounts
from mtgrpo.core.types import Group

WRONG, RIGHT, MIXED, UNSCORED = (0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (math.nan, math.nan)
SAID = "gives nothing to train on, nor does any other task"
HALF = MIN_IDLE_GROUPS // 2


def said(silent: SilentTasks, rewards: dict[str, tuple[float, ...]], count: int) -> dict[str, str]:
    """What there is to say after a step of `count` groups of each task."""
    step = StepCounts()
    step.begin_round()
    for task, of_task in rewards.items():
        group = Group.verified(task, of_task)
        verdict = informative(group)
        step.add(group, count, verdict, verdict.keep)

    silent.observe(step, step.totals())
    is_idle = not any(step.num_with_gradient.values())
    return silent.notices(is_idle)


def test_that_nothing_trains_is_said_once_whatever_the_reasons():
    silent = SilentTasks()
    assert said(silent, {"a": WRONG}, HALF - 1) == {}
    assert said(silent, {"a": RIGHT, "b": RIGHT}, 1) == {}

    first = said(silent, {"a": WRONG}, HALF)
    assert first == {"a": f"{SAID} (all_correct, all_wrong)", "b": f"{SAID} (all_correct)"}

    for rewards in ({"b": WRONG}, {"a": RIGHT}, {"a": WRONG, "b": UNSCORED}):
        assert said(silent, rewards, 1) == first
    assert said(silent, {"c": WRONG}, 1) == first | {"c": f"{SAID} (all_wrong)"}


def test_reasons_are_those_since_the_last_gradient():
    silent = SilentTasks()
    said(silent, {"a": WRONG, "b": WRONG}, MIN_IDLE_GROUPS)
    assert said(silent, {"b": MIXED}, 1) == {}
    assert said(silent, {"a": RIGHT}, HALF) == {}
    assert said(silent, {"a": RIGHT}, HALF) == {"a": f"{SAID} (all_correct)"}


def test_reasons_are_saved_and_forgotten_with_their_tasks():
    silent, restored = SilentTasks(), SilentTasks()
    first = said(silent, {"a": WRONG, "b": RIGHT}, MIN_IDLE_GROUPS)
    restored.load_state_dict(json.loads(json.dumps(silent.state_dict())))
    assert said(restored, {"a": RIGHT}, 1) == first

    restored.keep_tasks(["a"])
    assert said(restored, {"a": RIGHT}, 1) == {"a": first["a"]}


def test_states_from_before_there_were_reasons_are_loaded():
    state = SilentTasks().state_dict()
    del state["idle_reasons"]
    restored = SilentTasks()
    restored.load_state_dict(state)
    assert said(restored, {"a": WRONG}, MIN_IDLE_GROUPS) == {"a": f"{SAID} (all_wrong)"}
