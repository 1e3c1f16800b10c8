"""A step without a model: batches are filled, used and closed, and go on after a checkpoint."""

from collections import Counter
from types import SimpleNamespace

import pytest

from mtgrpo import Fixed, ImprovementAware, RatioPreservingSampler, Uniform
from mtgrpo.core.method import Method
from mtgrpo.core.planners import OversampledRounds
from mtgrpo.core.prompts import memory_metrics
from mtgrpo.errors import ConfigError, RewardError
from mtgrpo.integrations.trl.run_log import RunLogWriter
from mtgrpo.tasks import Scoring, Task, TaskSet

from .engine import GROUP, SCHEDULE, Dice, make_step
from .toy import make_tasks


def run(step, num_steps: int) -> list:
    """The slots of the next steps, each closed after its policy updates."""
    chosen = []
    for _ in range(num_steps):
        chosen.append(step.choose_groups())
        step.end_policy_update()
    return chosen


def numbers(slots) -> list[tuple[str, int, bool]]:
    return [(slot.group.task, slot.group.uid, slot.trains) for slot in slots]


def test_slots_have_the_quotas_and_only_groups_with_a_signal():
    step = make_step()
    slots = step.choose_groups()
    trained = [slot.group for slot in slots if slot.trains]
    assert Counter(group.task for group in trained) == step.mixer.batch.quotas
    assert len(slots) == SCHEDULE.batch_size == len(trained)
    assert all(len(set(group.rewards)) > 1 for group in trained)
    assert [slot.group.uid for slot in slots] == sorted(slot.group.uid for slot in slots)


def test_rounds_are_generated_in_pieces_of_a_batch_or_whole():
    method = Method(Uniform(), RatioPreservingSampler(planner=OversampledRounds(oversampling=2.5)))
    engine = Dice(make_tasks())
    make_step(engine, method).choose_groups()
    assert [len(plan) for plan in engine.plans[:3]] == [8, 8, 4]

    engine = Dice(make_tasks())
    engine.generates_whole_rounds = True
    make_step(engine, method).choose_groups()
    assert len(engine.plans[0]) == 20


def test_groups_are_numbered_through_and_counted():
    engine = Dice(make_tasks())
    step = make_step(engine)
    slots = [slot for slots in run(step, 3) for slot in slots]
    num_groups = sum(map(len, engine.plans))
    assert step.num_rollouts == num_groups * GROUP
    assert len({slot.group.uid for slot in slots}) == len(slots)
    assert all(0 <= slot.group.uid < num_groups for slot in slots)


def test_several_processes_take_the_decisions_of_one():
    """Rounds that do not divide are rolled out larger; what is too much comes back as a prompt."""
    alone, pair = Dice(make_tasks()), Dice(make_tasks(), num_processes=4)
    one, many = make_step(alone), make_step(pair)
    for mine, theirs in zip(run(one, 5), run(many, 5), strict=True):
        assert Counter(slot.group.rewards for slot in mine) == Counter(
            slot.group.rewards for slot in theirs
        )
    assert one.mixer.weights() == many.mixer.weights()
    assert {name: stream.state_dict() for name, stream in one.streams.items()} == {
        name: stream.state_dict() for name, stream in many.streams.items()
    }
    assert all(len(plan) % 4 == 0 for plan in pair.plans)
    discarded = sum(logged["sampler/discarded"] for logged in pair.logged)
    assert discarded > 0
    assert many.num_rollouts == one.num_rollouts + discarded * GROUP
    assert sum(logged["sampler/discarded"] for logged in alone.logged) == 0


def test_owners_follow_the_places_of_a_plan():
    engine = Dice(make_tasks(), num_processes=2)
    step = make_step(engine)
    step.choose_groups()
    first = len(engine.plans[0])
    owners = [step.banked.owners[uid] for uid in range(first)]
    assert owners == [0] * (first // 2) + [1] * (first // 2)


def test_a_step_closes_when_its_batch_is_used_up():
    engine = Dice(make_tasks())
    reports = []
    step = make_step(engine, listeners=[lambda number, report: reports.append((number, report))])
    engine.batch_is_used_up = False
    step.choose_groups()
    step.end_policy_update()
    assert step.mixer.batch is not None
    assert engine.logged == []

    engine.batch_is_used_up = True
    step.end_policy_update()
    assert step.mixer.batch is None
    assert step.improvements == []
    assert [number for number, _ in reports] == [1]
    assert engine.logged[0]["sampler/padded"] == 0
    assert engine.logged[0]["task/easy/weight"] == pytest.approx(1 / 3)


def test_a_task_without_completions_took_no_time():
    """TRL averages over the steps that have a figure, so an absent one would pass for a mean."""
    engine = Dice(make_tasks())
    step = make_step(engine)
    times = {"task/easy/reward_time_s": 2.0, "task/easy/reward_time_p95_s": 1.0}
    step.scorer = SimpleNamespace(reason=str, take_metrics=lambda: dict(times))
    run(step, 1)
    logged = {name: value for name, value in engine.logged[0].items() if "reward_time" in name}
    others = {f"task/{name}/reward_time_s": 0.0 for name in ("medium", "hard")}
    assert logged == times | others


def test_a_batch_that_is_still_open_is_closed_by_the_next():
    step = make_step()
    step.choose_groups()
    step.choose_groups()
    assert step.mixer.step == 1


def test_improvements_move_the_weights():
    engine = Dice(make_tasks())
    weighting = ImprovementAware(improvement="surrogate", updates="minibatch", weight_lr=0.5)
    step = make_step(engine, Method(weighting, RatioPreservingSampler()))
    engine.improvements = {"easy": 0.1, "medium": 0.1, "hard": -0.5}
    run(step, 1)
    weights = step.mixer.weights()
    assert weights["hard"] > weights["easy"]


def test_targets_of_the_loss_are_the_quotas_or_else_the_weights():
    weighting = Fixed({"easy": 0.25, "medium": 0.25, "hard": 0.5})
    step = make_step(method=Method(weighting, RatioPreservingSampler()))
    step.choose_groups()
    assert step.loss_targets() == {"easy": 2, "medium": 2, "hard": 4}

    step = make_step(method=Method(weighting, RatioPreservingSampler(keep_shares=False)))
    step.choose_groups()
    assert step.loss_targets() == {"easy": 0.25, "medium": 0.25, "hard": 0.5}


def test_goes_on_exactly_after_a_checkpoint():
    method = Method(ImprovementAware(weight_lr=0.5), RatioPreservingSampler(), prompt_memory=True)
    whole = make_step(method=method)
    run(whole, 3)
    state = whole.state_dict()
    resumed = make_step(method=method)
    resumed.load_state_dict(state)
    assert resumed.num_rollouts == whole.num_rollouts

    for mine, theirs in zip(run(whole, 3), run(resumed, 3), strict=True):
        assert numbers(mine) == numbers(theirs)
    assert whole.state_dict() == resumed.state_dict()
    assert whole.engine.logged[3:] == resumed.engine.logged


def test_figures_of_an_open_step_survive_a_checkpoint():
    step = make_step()
    step.choose_groups()
    step.figures["task/easy/loss_share"] = 0.4
    step.improvements = [{"easy": 0.1}]
    resumed = make_step()
    resumed.load_state_dict(step.state_dict())
    assert resumed.figures == step.figures
    assert resumed.improvements == [{"easy": 0.1}]


def test_memory_figures_are_those_since_the_last_time():
    step = make_step(method=Method(Uniform(), RatioPreservingSampler(), prompt_memory=True))
    step.choose_groups()
    assert {"task/easy/prompts_skipped_rate", "task/hard/acceptance_rate_unskipped"} <= set(
        step.figures
    )
    assert memory_metrics(step.streams) == {}


def test_groups_that_cannot_be_scored_end_the_run_with_the_reason():
    toy = make_tasks()["easy"]
    scoring = Scoring(on_error="drop", max_dropped_rate=0.1)
    tasks = TaskSet(Task("easy", toy.train, [], toy.reward, scoring=scoring))

    class Unscorable(Dice):
        def roll_out(self, plan, first_uid, size=None):
            rolled_out = super().roll_out(plan, first_uid, size)
            nan = (float("nan"),) * GROUP
            groups = [
                type(group)(group.task, nan, nan, group.uid, group.payload)
                for group in rolled_out.groups
            ]
            return rolled_out._replace(groups=groups)

    step = make_step(Unscorable(tasks, {"easy": 0.5}))
    step.scorer = SimpleNamespace(reason=lambda name: f"{name} raised KeyError")
    with pytest.raises(RewardError, match=r"could not be scored.*easy raised KeyError"):
        run(step, 5)


def test_without_training_rows_training_is_refused():
    toy = make_tasks()["easy"]
    step = make_step(Dice(TaskSet(Task("easy", [], toy.test, toy.reward))))
    with pytest.raises(ConfigError, match="no task has rows to train on"):
        step.begin_training()


def test_the_run_log_gets_one_sample_of_each_kind():
    class Log:
        def __init__(self):
            self.completions, self.metrics = [], []

        def log_metrics(self, *line):
            self.metrics.append(line)

        def log_completions(self, step, samples, max_per_task):
            self.completions += samples

    log = Log()
    step = make_step(writer=RunLogWriter(log))
    run(step, 1)
    step.write_log(1, {"loss": 0.5, "reward": None, "note": "text"})
    ((number, rollouts, values),) = log.metrics
    assert (number, rollouts, values["loss"]) == (1, step.num_rollouts, 0.5)
    assert values["reward"] != values["reward"]
    assert "note" not in values
    kinds = [(sample["task"], sample["kept"]) for sample in log.completions]
    assert ("hard", True) in kinds
    assert ("hard", False) in kinds
    assert len(kinds) == len(set(kinds))
    for sample in log.completions:
        assert sample["completion"].startswith(sample["task"])
        assert sample["prompt"].startswith(sample["task"])
