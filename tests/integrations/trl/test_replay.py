"""Collect and replay without a model: what TRL's method is given, told, and left with."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from mtgrpo.errors import RewardError
from mtgrpo.integrations.trl.replay import RolloutReplay, environments_done, no_log_probs
from mtgrpo.integrations.trl.rollouts import InputRows
from mtgrpo.tasks import Scoring, Task, TaskSet

from .engine import Processes
from .toy import make_tasks

SIZE = 2


class Method:
    """TRL's `_generate_and_score_completions`, as far as it calls back: rewards are given."""

    def __init__(self, replay: RolloutReplay, rewards: list[tuple[float, float]]) -> None:
        self.replay, self.rewards = replay, torch.tensor(rewards)
        self.seen: list[dict] = []
        self.collected = False

    def __call__(self, inputs):
        self.seen = inputs
        self.collected = self.replay.collects
        prompts = [row["prompt"] + "!" for row in inputs]
        ids = [[i] for i in range(len(inputs))]
        self.replay.record_generation((ids, ids, None), prompts)
        self.replay.record_rewards(self.rewards, [f"completion {i}" for i in range(len(inputs))])
        raise AssertionError("the method was not left")


def trainer(processes=None, weights=(1.0, 0.0), environment_factories=None):
    return SimpleNamespace(
        accelerator=processes or Processes(),
        reward_weights=torch.tensor(weights),
        environment_factories=environment_factories,
    )


PLAN = [("easy", 3), ("hard", 1)]
REWARDS = [(0.5, 0.0), (1.0, 1.0), (0.0, 0.0), (0.25, 0.0)]


def make(rewards=REWARDS) -> tuple[RolloutReplay, Callable]:
    replay = RolloutReplay(InputRows(make_tasks()), SIZE)
    return replay, Method(replay, rewards)


def test_a_round_becomes_groups():
    replay, method = make()
    groups, prompts, completions = replay.roll_out(PLAN, 7, method, trainer())
    assert method.collected
    assert not replay.collects
    assert [row["mtgrpo_row"] for row in method.seen] == [3, 3, 1, 1]
    assert [(g.task, g.uid, g.rewards, g.accuracies) for g in groups] == [
        ("easy", 7, (0.5, 1.0), (0.0, 1.0)),
        ("hard", 8, (0.0, 0.25), (0.0, 0.0)),
    ]
    assert [row.rewards for group in groups for row in group.payload] == REWARDS
    assert [row.inputs["prompt"] for row in groups[0].payload] == [
        make_tasks()["easy"].train[3]["prompt"]
    ] * 2
    assert prompts == [row["prompt"] + "!" for row in method.seen]
    assert completions == [f"completion {i}" for i in range(4)]


def test_each_process_generates_its_part_and_knows_all_rewards():
    replay, method = make()
    groups, *_ = replay.roll_out(PLAN, 0, method, trainer(Processes(2, process_index=1)))
    assert [row["mtgrpo_task"] for row in method.seen] == ["hard", "hard"]
    assert [group.rewards for group in groups] == [(0.5, 1.0), (0.0, 0.25)]
    assert groups[0].payload is None
    assert [row.rewards for row in groups[1].payload] == REWARDS[2:]


def test_a_group_without_a_score_has_no_rewards():
    nan = math.nan
    replay, method = make([(nan, nan), (nan, nan), (0.0, 0.0), (1.0, 1.0)])
    groups, *_ = replay.roll_out(PLAN, 0, method, trainer())
    assert all(math.isnan(reward) for reward in groups[0].rewards)
    assert groups[1].rewards == (0.0, 1.0)


def test_what_an_environment_observed_is_part_of_the_prompt():
    replay, method = make()
    groups, *_ = replay.roll_out(PLAN, 0, method, trainer(environment_factories={}))
    assert all(row.inputs["prompt"].endswith("!") for group in groups for row in group.payload)


WITH_ENVIRONMENT = [(0.5, 0.0, 1.0), (1.0, 1.0, math.nan), (0.0, 0.0, -1.0), (0.25, 0.0, 0.5)]


def test_what_environments_give_is_added():
    replay, method = make(WITH_ENVIRONMENT)
    owner = trainer(weights=(1.0, 0.0, 2.0), environment_factories={})
    groups, *_ = replay.roll_out(PLAN, 0, method, owner)
    assert [group.rewards for group in groups] == [(2.5, 1.0), (-2.0, 1.25)]
    assert [group.accuracies for group in groups] == [(0.0, 1.0), (0.0, 0.0)]


@pytest.mark.parametrize("reward", [math.inf, -1e39, 3e38])
def test_what_environments_give_too_much_is_named_or_dropped(reward):
    owner = trainer(weights=(1.0, 0.0, 1.0), environment_factories={})
    scores = [*WITH_ENVIRONMENT[:3], (0.25, 0.0, reward)]
    replay, method = make(scores)
    with pytest.raises(
        RewardError,
        match=r"^task 'hard', prompt 1: get_reward of its environment returned .*1e\+15",
    ):
        replay.roll_out(PLAN, 0, method, owner)

    toy, scoring = make_tasks(), Scoring(on_error="drop")
    dropping = Task("hard", toy["hard"].train, [], toy["hard"].reward, scoring=scoring)
    replay = RolloutReplay(InputRows(TaskSet(toy["easy"], dropping)), SIZE)
    groups, *_ = replay.roll_out(PLAN, 0, Method(replay, scores), owner)
    assert groups[0].rewards == (1.5, 1.0)
    assert all(math.isnan(reward) for reward in groups[1].rewards)
    assert all(math.isnan(row.rewards[0]) for row in groups[1].payload)


def test_an_error_of_the_method_passes_through():
    replay, _ = make()

    def fails(inputs):
        raise KeyError("answer")

    with pytest.raises(KeyError):
        replay.roll_out(PLAN, 0, fails, trainer())
    assert not replay.collects


def test_rows_are_played_back_in_any_order():
    replay, method = make()
    first, second = replay.roll_out(PLAN, 0, method, trainer()).groups
    rows = [*second.payload, *first.payload]
    assert replay.generation is None
    assert replay.rewards is None
    with replay.playing(rows, Processes(num_processes=2)):
        ids, _, shared = replay.generation
        assert ids == [[2], [3], [0], [1]]
        assert shared is None
        assert replay.rewards.tolist() == [list(row) for row in [*REWARDS[2:], *REWARDS[:2]]] * 2
    assert replay.generation is None
    assert replay.rewards is None


def test_nothing_is_recorded_at_other_times():
    replay, _ = make()
    replay.record_generation(([[1]],), ["prompt"])
    replay.record_rewards(torch.zeros(1, 2), ["completion"])
    assert not replay.collects


def test_environments_come_back_even_after_an_error():
    trainer = SimpleNamespace(environment_factories={"room": object}, environments=[1])
    seen = []

    def run():
        with environments_done(trainer):
            seen.append((trainer.environment_factories, trainer.environments))
            raise KeyError

    with pytest.raises(KeyError):
        run()
    assert seen == [(None, None)]
    assert trainer.environment_factories == {"room": object}


def test_log_probabilities_that_nobody_reads_have_the_right_shape():
    log_probs, entropies, loss = no_log_probs(torch.ones(3, 9, dtype=torch.int64), 4)
    assert log_probs.shape == (3, 4)
    assert log_probs.dtype == torch.float32
    assert entropies is loss is None
