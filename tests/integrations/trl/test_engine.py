"""What a step sees of TRL, on a stand-in of the trainer."""

from collections import defaultdict
from contextlib import nullcontext
from types import SimpleNamespace

from mtgrpo.core.types import Group
from mtgrpo.integrations.trl.engine import TRLEngine
from mtgrpo.integrations.trl.rollouts import RolledOut

from .engine import SCHEDULE, Processes


def engine(**changes) -> TRLEngine:
    values = {
        "accelerator": Processes(),
        "schedule": SCHEDULE,
        "sharing": SimpleNamespace(on=False),
        "use_vllm": False,
        "use_transformers_continuous_batching": False,
        "_step": 0,
        "_metrics": {"train": defaultdict(list)},
        "_pending_extra_logs": {"left": ["over"]},
    }
    return TRLEngine(SimpleNamespace(**{**values, **changes}), lambda rows: rows)


def test_whole_rounds_are_for_engines_that_schedule_by_themselves():
    assert not engine().generates_whole_rounds
    assert engine(use_vllm=True).generates_whole_rounds
    assert engine(use_transformers_continuous_batching=True).generates_whole_rounds
    assert engine(sharing=SimpleNamespace(on=True)).generates_whole_rounds


def test_a_batch_is_used_up_after_a_cycle_of_forward_passes():
    used = [engine(_step=step).batch_is_used_up for step in range(2 * SCHEDULE.cycle + 1)]
    assert [step for step, now in enumerate(used) if now] == [0, SCHEDULE.cycle, 2 * SCHEDULE.cycle]


def test_a_round_is_rolled_out_by_trls_method_and_logs_nothing_yet():
    calls = []

    class Replay:
        generation_seconds = 2.0

        def in_groups_of(self, size, trainer):
            assert size is None
            return nullcontext()

        def roll_out(self, *arguments):
            calls.append(arguments)
            return RolledOut([Group("a", (0.0, 1.0), payload=[])], ["prompt"], ["completion"])

    made = engine(replay=Replay())
    rolled_out = made.roll_out([("a", 3)], 7)
    assert (rolled_out.prompts, rolled_out.completions) == (["prompt"], ["completion"])
    assert [group.task for group in rolled_out.groups] == ["a"]
    assert rolled_out.groups[0].cost is not None
    assert rolled_out.groups[0].cost.tokens == 0
    assert calls == [([("a", 3)], 7, made.run, made.trainer)]
    assert made.trainer._pending_extra_logs == {}


def test_figures_reach_trls_log():
    made = engine()
    made.log_step({"a": 1.0})
    made.log_step({"a": 2.0, "b": 3.0})
    assert made.trainer._metrics["train"] == {"a": [1.0, 2.0], "b": [3.0]}
