"""A verl run resumed with other data; needs neither verl nor torch."""

from __future__ import annotations

import json

import pytest

from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.prompts import PromptStream
from mtgrpo.core.types import Group
from mtgrpo.errors import ConfigError, StateError
from mtgrpo.integrations.verl.changing import resume
from mtgrpo.integrations.verl.rows import write_rows
from mtgrpo.integrations.verl.settings import make_mixer, read_settings

BEFORE = {"copy": 30, "digit": 20, "rare": 10}


def ledger_of(sizes: dict[str, int], **section) -> RolloutLedger:
    settings = read_settings({"preset": "balanced"} | section)
    mixer = make_mixer(settings, list(sizes), batch_size=8, seed=5)
    streams = {name: PromptStream(name, size, 5, remember=True) for name, size in sizes.items()}
    return RolloutLedger(mixer, streams)


def step(ledger: RolloutLedger) -> list[tuple[str, int]]:
    """One step of verl; the rows it asked, by task."""
    rows, tickets = [], []
    while not ledger.done:
        for _ in range(max(1, ledger.num_queued)):
            tickets.append(ledger.next_prompt())
            rows.append((tickets[-1].task, tickets[-1].row))
        rewards = {t.number: (1.0, 0.0) if t.row % 3 else (0.0, 0.0) for t in tickets}
        ledger.settle({t.number: Group.verified(t.task, rewards[t.number]) for t in tickets})
    ledger.close()
    ledger.discard_ahead()
    return rows


def state_after(num_steps: int) -> dict:
    ledger = ledger_of(BEFORE)
    for _ in range(num_steps):
        step(ledger)
    return json.loads(json.dumps(ledger.state_dict()))


def test_the_same_data_go_on_as_if_nothing_had_been(caplog):
    steady = ledger_of(BEFORE)
    for _ in range(4):
        step(steady)
    resumed = ledger_of(BEFORE)
    resume(resumed, state_after(4), {})
    assert [step(resumed) for _ in range(3)] == [step(steady) for _ in range(3)]
    assert not [line for line in caplog.messages if "resumed" in line]


def test_tasks_that_joined_left_grew_and_shrank_are_followed_and_named(caplog):
    resumed = ledger_of({"digit": 25, "new": 12, "copy": 4})
    resume(resumed, state_after(4), {"new": "family"})
    line = caplog.messages[-1]
    assert line.startswith("data.mtgrpo: resumed at step 4 with other data: task 'rare' left (10")
    assert "task 'new' joined (12 training rows)" in line
    assert "task 'digit' has grown from 20 to 25" in line
    assert "task 'copy' has shrunk from 30 to 4" in line

    mixer = resumed.mixer
    assert (mixer.step, mixer.tasks) == (4, ("digit", "new", "copy"))
    assert sum(mixer.weights().values()) == pytest.approx(1.0)
    assert resumed.state_dict()["tickets"] == state_after(4)["tickets"]  # no number twice
    asked = [pair for _ in range(6) for pair in step(resumed)]
    assert {task for task, _ in asked} == {"digit", "new", "copy"}
    for task, row in asked:
        assert row < {"digit": 25, "new": 12, "copy": 4}[task]


def test_another_order_of_tasks_is_the_same_run_but_for_the_order(caplog):
    resumed = ledger_of(dict(reversed(BEFORE.items())))
    resume(resumed, state_after(4), {})
    state = state_after(4)
    assert resumed.streams["rare"].state_dict() == state["streams"]["rare"]
    assert not [line for line in caplog.messages if "resumed" in line]


def test_prompts_on_their_way_and_rules_that_cannot_follow_are_refused():
    ledger = ledger_of(BEFORE)
    step(ledger)
    for _ in range(8):
        ledger.next_prompt()
    state = ledger.state_dict()
    with pytest.raises(StateError, match=r"on their way, and since then task 'rare' left .*sync"):
        resume(ledger_of({"copy": 30, "digit": 20}), state, {})

    with pytest.raises(StateError, match="ledger: state version None"):
        resume(ledger_of(BEFORE), {}, {})

    weights = {"copy": 0.5, "digit": 0.25, "rare": 0.25}
    fixed = {"preset": "grpo_rps", "weighting": {"rule": "fixed", "weights": weights}}
    saved = ledger_of(BEFORE, **fixed).state_dict()
    fixed["weighting"] = {"rule": "fixed", "weights": {"copy": 0.5, "digit": 0.5}}
    with pytest.raises(StateError, match=r"Fixed: saved with weights .* resume with the same"):
        resume(ledger_of({"copy": 30, "digit": 20}, **fixed), saved, {})


@pytest.mark.parametrize("span", [{"from_step": 3}, {"until_step": 9}])
def test_a_task_with_steps_of_its_own_is_refused_when_the_rows_are_written(tmp_path, span):
    spec = {"tiny": "zebra", "level": "easy", "num_train": 3, "num_test": 2, **span}
    with pytest.raises(ConfigError, match=r"'zebra-easy': from_step=.* do not join or leave"):
        write_rows([{"tiny": "countdown", "level": "easy"}, spec], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_task_with_settings_of_its_own_is_refused_when_the_rows_are_written(tmp_path):
    spec = {"tiny": "zebra", "level": "easy", "num_train": 3, "num_test": 2}
    tasks = [{"tiny": "countdown", "level": "easy"}, {**spec, "generation": {"temperature": 0.5}}]
    with pytest.raises(ConfigError, match=r"'zebra-easy': generation: temperature 0.5; verl's"):
        write_rows(tasks, tmp_path)
    assert not list(tmp_path.iterdir())
