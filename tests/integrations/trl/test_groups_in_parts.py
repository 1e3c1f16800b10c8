"""Groups in parts: which are completed where, and what TRL's loss is told of them."""

import math
import operator
import random
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from mtgrpo import Uniform
from mtgrpo.core.filters import informative, keep_all
from mtgrpo.core.method import Method
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.types import Cost, Group, Probed
from mtgrpo.integrations.trl.groups_in_parts import joined, left_in_part
from mtgrpo.integrations.trl.loss_shares import TaskLossShares
from mtgrpo.integrations.trl.replay import RolloutReplay
from mtgrpo.integrations.trl.rollouts import (
    LOSS_FACTORS,
    TASK_NUMBERS,
    InputRows,
    RecordedRow,
    RolledOut,
    input_row,
)
from mtgrpo.integrations.trl.scores import TaskScores
from mtgrpo.integrations.trl.slots import mark_rows
from mtgrpo.tasks import Scoring, Task, TaskSet, each

from ...tasks.scoring import slow_rewards
from .conftest import history, same_parameters
from .engine import GROUP, SCHEDULE, Dice, Processes, make_step
from .test_one_round import one_round
from .toy import make_tasks

PROBES = {"size": 2, "chance": 0.5}
STAGES = {"size": [2, 3], "chance": [0.8, 0.5]}


def probed_method(probes=PROBES) -> Method:
    return Method(Uniform(), OneRoundSampler(probes=probes), loss_shares=True)


class Parts(Dice):
    """Completions of each prompt one after the other, whatever the calls they come from."""

    def __init__(self, tasks, num_processes: int = 1) -> None:
        super().__init__(tasks, num_processes=num_processes)
        self.sizes: list[int] = []
        self.start = 0  # of the call under way, among the completions of its prompts

    def roll_out(self, plan, first_uid, size=None):
        size = GROUP if size is None else size
        goes_on = bool(self.plans) and set(plan) <= set(self.plans[-1])
        self.start = self.start + self.sizes[-1] if goes_on else 0
        self.plans.append(list(plan))
        self.sizes.append(size)

        groups = []
        for place, (task, row) in enumerate(plan):
            rng = random.Random(f"{task} {row}")
            scores = tuple(float(rng.random() < self.rates[task] / 2) for _ in range(GROUP))
            scores = scores[self.start : self.start + size]
            inputs = input_row(task, row, self.tasks[task].train[row])
            payload = [RecordedRow(inputs, (), (score, score)) for score in scores]
            uid, cost = first_uid + place, Cost(tokens=size, seconds=1.0)
            groups.append(Group(task, scores, scores, uid=uid, payload=payload, cost=cost))
        return RolledOut(groups, [""] * len(plan) * size, [""] * len(plan) * size)


@pytest.mark.parametrize("num_processes", [1, 4])
@pytest.mark.parametrize(("probes", "sizes"), [(PROBES, [2, 2]), (STAGES, [2, 1, 1])])
def test_probes_first_and_then_the_others_of_those_that_go_on(probes, sizes, num_processes):
    engine = Parts(make_tasks(), num_processes)
    step = make_step(engine, probed_method(probes))
    slots = step.choose_groups()

    assert engine.sizes == sizes
    begun = engine.plans[0]
    assert len(begun) == SCHEDULE.batch_size
    assert all(len(plan) % num_processes == 0 for plan in engine.plans)

    owners = {prompt: i // (len(begun) // num_processes) for i, prompt in enumerate(begun)}
    for before, rest in pairwise(engine.plans):
        assert 0 < len(set(rest)) < len(set(before))

        # What goes on does so on the process that began it.
        share = len(rest) // num_processes
        for prompt in set(rest):
            assert prompt in rest[owners[prompt] * share : (owners[prompt] + 1) * share]

    assert len(slots) == SCHEDULE.batch_size
    assert all(len(slot.group.payload) == GROUP for slot in slots)
    for slot in slots:
        assert slot.group.probe.size == 2
        if slot.trains:
            assert len(slot.group.rewards) == GROUP
            assert {row.weight for row in slot.group.payload} == {slot.group.weight}
            assert slot.group.rewards == tuple(row.rewards[0] for row in slot.group.payload)
            assert slot.group.cost == Cost(tokens=GROUP, seconds=len(sizes))

    counted = sum(map(operator.mul, sizes, map(len, engine.plans)))
    step.end_policy_update()
    assert step.num_rollouts == counted
    assert step.mixer.num_rollouts == counted - step._num_discarded_rollouts


@pytest.mark.parametrize("probes", [PROBES, STAGES])
def test_decisions_do_not_depend_on_the_number_of_processes(probes):
    chosen = []
    for num_processes in (1, 4):
        step = make_step(Parts(make_tasks(), num_processes), probed_method(probes))
        steps = []
        for _ in range(4):
            slots = step.choose_groups()
            steps.append(sorted((s.group.task, s.group.rewards, s.group.probe) for s in slots))
            step.end_policy_update()
        chosen.append(steps)
    assert chosen[0] == chosen[1]


def test_a_whole_group_of_parts():
    rows = [RecordedRow({}, (), (float(i),)) for i in range(3)]
    begun = Group("a", (0.0, 1.0), (0.0, 1.0), uid=7, payload=rows[:2], cost=Cost(5.0, 1.0))
    rest = Group("a", (2.0,), (1.0,), uid=9, payload=rows[2:], cost=Cost(2.0, 0.5))

    whole = joined(begun, rest, 4.0)
    assert (whole.rewards, whole.accuracies, whole.uid) == ((0.0, 1.0, 2.0), (0.0, 1.0, 1.0), 7)
    assert whole.probe == Probed(2, 4.0)
    assert whole.cost == Cost(7.0, 1.5)
    assert [(row.rewards, row.weight) for row in whole.payload] == [
        ((0.0,), 4.0),
        ((1.0,), 4.0),
        ((2.0,), 4.0),
    ]

    left = left_in_part(begun, 5)
    assert [row.rewards for row in left.payload] == [(0.0,), (1.0,), (0.0,), (1.0,), (0.0,)]
    assert left.probe == Probed(2, 0)
    assert len(left.rewards) == 2


def test_a_group_that_is_joined_twice_has_its_first_part_for_a_probe():
    begun = Group("a", (0.0, 0.0), (0.0, 0.0), uid=7)
    more = joined(begun, Group("a", (0.0,), (0.0,)), 2.0)
    assert more.probe == Probed(2, 2.0)
    assert joined(more, Group("a", (1.0,), (1.0,)), 4.0).probe == Probed(2, 4.0)
    assert left_in_part(more, 4).probe == Probed(2, 0)
    assert joined(more, Group("a", (1.0,), (1.0,)), 4.0).mean_accuracy == 0.0


@pytest.mark.parametrize("failed", ["probe", "rest"])
def test_a_group_is_dropped_whole_if_one_part_could_not_be_scored(failed):
    scored, unscored = ((0.0, 1.0), (0.0, 1.0)), ((math.nan,) * 2, (math.nan,) * 2)
    both = (unscored, scored) if failed == "probe" else (scored, unscored)

    parts = []
    for rewards, accuracies in both:
        rows = [RecordedRow({}, (), pair) for pair in zip(rewards, accuracies, strict=True)]
        parts.append(Group("a", rewards, accuracies, payload=rows))
    whole = joined(*parts, 1)

    assert all(map(math.isnan, whole.rewards + whole.accuracies))
    assert (len(whole.rewards), len(whole.accuracies)) == (4, 4)
    assert math.isnan(whole.mean_reward)  # what the limit of dropped groups counts
    assert informative(whole) == keep_all(whole) == (False, "unscorable")
    assert all(math.isnan(value) for row in whole.payload for value in row.rewards)


def test_a_graded_group_is_dropped_whole_likewise():
    rest = Group("a", (math.nan,) * 2, (math.nan,) * 2)
    whole = joined(Group("a", (0.5, 0.7)), rest, 1)
    assert all(map(math.isnan, whole.rewards))
    assert whole.is_graded


def roll_out_part(task: Task, size: int, completions):
    """Rewards of a part of groups of 8, group by group, as TRL's method has them scored."""
    tasks = TaskSet(task)
    scores, replay = TaskScores(tasks), RolloutReplay(InputRows(tasks), 8)
    trainer = SimpleNamespace(
        replay=replay,
        schedule=SimpleNamespace(group_size=8, eval_group_size=1),
        environments=None,
        environment_factories=None,
        num_generations=8,
        accelerator=SimpleNamespace(process_index=0, num_processes=1),
        reward_weights=torch.tensor([1.0, 0.0]),
    )

    def method(inputs):
        scores.rows_for_trl(trainer, inputs, completions)
        columns = [scores.reward([], completions), scores.accuracy([], completions)]
        replay.record_rewards(torch.tensor(columns).T, completions)

    plan = [(task.name, row) for row in range(len(completions) // size)]
    with replay.in_groups_of(size, trainer):
        groups = replay.roll_out(plan, 0, method, trainer).groups
    scores.scorer.close()
    return [group.rewards for group in groups]


@pytest.mark.parametrize("num_processes", [0, 1])
@pytest.mark.parametrize("size", [2, 6])
def test_each_part_is_scored_against_its_own_row(num_processes, size):
    data = [{"prompt": f"p{i}", "answer": f"a{i}"} for i in range(4)]
    scoring = Scoring(num_processes=num_processes)
    task = Task("t", data, [], each(slow_rewards.by_hand), 1.0, scoring=scoring)
    answers = [row["answer"] for row in data for _ in range(size)]
    assert roll_out_part(task, size, answers) == [(1.0,) * size] * 4


def test_of_parts_only_the_one_that_failed_is_dropped():
    scoring = Scoring(on_error="drop")
    data = [{"prompt": f"p{i}"} for i in range(4)]
    task = Task("t", data, [], slow_rewards.naughty, 1.0, scoring=scoring)
    rewards = roll_out_part(task, 2, ["x", "x", "x", "raise", "x", "x", "x", "x"])
    assert [math.isnan(sum(part)) for part in rewards] == [False, True, False, False]


def test_rows_count_what_their_group_stands_for():
    """Two groups of one task, of which one counts four, beside one of another: half and half."""
    tasks = ["a", "a", "b"]
    rows = []
    for task, weight in zip(tasks, (4.0, 1.0, 1.0), strict=True):
        row = RecordedRow({"mtgrpo_task": task}, (), (1.0,), weight=weight)
        rows += [row, row]
    output = {
        "advantages": torch.tensor([1.0, -1.0] * 3),
        "completion_mask": torch.ones(6, 3, dtype=torch.long),
    }
    mark_rows(output, rows, ["a", "b"], 2)
    assert output[LOSS_FACTORS].tolist() == [4.0, 4.0, 1.0, 1.0, 1.0, 1.0]

    shares = TaskLossShares(["a", "b"], "grpo", exact=True)
    shares.settle([output], {"a": 0.5, "b": 0.5}, Processes())
    factors = output[LOSS_FACTORS]
    assert factors[0] / factors[2] == pytest.approx(4.0)
    of_a = factors[output[TASK_NUMBERS] == 0].sum()
    of_b = factors[output[TASK_NUMBERS] == 1].sum()
    assert float(of_a) == pytest.approx(float(of_b))


def test_trl_is_asked_for_so_many_completions_of_each_prompt():
    replay = RolloutReplay(SimpleNamespace(), 8)
    trainer = SimpleNamespace(num_generations=8)
    with replay.in_groups_of(3, trainer):
        assert (replay.group_size, trainer.num_generations) == (3, 3)
    assert (replay.group_size, trainer.num_generations) == (8, 8)
    with replay.in_groups_of(None, trainer):
        assert (replay.group_size, trainer.num_generations) == (8, 8)


@pytest.mark.parametrize("probes", [PROBES, STAGES])
def test_training_with_probes_and_the_same_after_a_resume(lab, probes):
    saving = {"save_strategy": "steps", "save_steps": 1, "max_steps": 5}
    sampler = {"sampler": OneRoundSampler(probes=probes)}
    whole, resumed = (one_round(lab, **sampler, **saving) for _ in range(2))
    whole.train()
    entries = history(whole)
    assert all(entry["sampler/groups_generated"] == 12 for entry in entries)
    assert all(24 <= entry["sampler/completions"] <= 48 for entry in entries)
    assert any(entry["sampler/completions"] < 48 for entry in entries)
    assert whole.num_rollouts == sum(entry["sampler/completions"] for entry in entries)

    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-3")
    assert same_parameters(whole, resumed)
    assert history(whole, after=3) == history(resumed, after=3)
