import json
import math
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mtgrpo.core.acceptance import EmaAcceptance
from mtgrpo.core.filters import REASONS, informative
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.planners import OversampledRounds
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.step_counts import StepCounts
from mtgrpo.core.types import Group, Verdict
from mtgrpo.core.weightings import SEC, ImprovementAware, Regularized, Uniform
from mtgrpo.errors import ConfigError, ShortfallError, StateError
from tests.core.driver import FORMAT, MIXED, RATES, SETUPS, TASKS, WRONG, Dice, fill

A, B, C = TASKS


def improvements(mixer: TaskMixer) -> list[dict[str, float]]:
    """Four minibatches of made-up improvements, a function of the step alone."""
    return [
        {task: math.sin(mixer.step + i + j) / 5 for j, task in enumerate(TASKS)} for i in range(4)
    ]


def run(mixer: TaskMixer, dice: Dice, steps: int) -> list[object]:
    """Everything that can be seen of some steps."""
    trace: list[object] = []
    for _ in range(steps):
        batch = mixer.batch or mixer.new_batch()
        while request := batch.ask():
            trace.append(request)
            batch.tell(dice.rollout(request))
        trace.append([g.uid for g in batch.groups])
        mixer.update(improvements(mixer))
        trace += [mixer.weights(), mixer.metrics()]
    return trace


def copy_of(mixer: TaskMixer, setup: str) -> TaskMixer:
    fresh = SETUPS[setup](999)  # another seed: all randomness is in the state
    fresh.load_state_dict(json.loads(json.dumps(mixer.state_dict(), allow_nan=False)))
    return fresh


# ---- a step by hand ----------------------------------------------------------------------------------------
def step_by_hand(**arguments) -> TaskMixer:
    # Round 1: a gets 2 MIXED (reward .275, accuracy .25), b FORMAT (.05, 0). Round 2: b WRONG twice (0, 0), then
    # round 3, b MIXED three times.
    sampler = RatioPreservingSampler(max_resamples=5)
    mixer = TaskMixer([A, B], batch_size=3, sampler=sampler, seed=1, **arguments)
    batch = mixer.new_batch()
    script = {A: [MIXED] * 9, B: [FORMAT, WRONG, WRONG] + [MIXED] * 9}
    while request := batch.ask():
        batch.tell(
            [
                Group.verified(task, script[task].pop(0))
                for task, count in request.items()
                for _ in range(count)
            ]
        )
    return mixer


class Recorder(ImprovementAware):
    uses_advantages = True

    def update(self, **signals):
        self.signals = signals
        super().update(**signals)


def test_rewards_are_measured_before_the_filter():
    weighting = Recorder()
    mixer = step_by_hand(weighting=weighting, observe="step")
    batch = mixer.batch
    num_a, num_b = batch.counts.totals().num_groups[A], batch.counts.totals().num_groups[B]
    mixer.update()
    (observed,) = weighting.signals["task_rewards"]
    assert observed == pytest.approx({A: 0.25, B: 0.25 * (num_b - 3) / num_b})
    assert num_a >= 1
    assert weighting.signals["mean_abs_advantages"].keys() == {A, B}  # of the groups trained on


def test_by_default_the_first_round_is_what_is_observed():
    # a had two groups of .25; b one of 0, and later rounds because of that.
    weighting = Recorder()
    mixer = step_by_hand(weighting=weighting)
    total = mixer.batch.counts.totals()
    mixer.update()
    assert weighting.signals["task_rewards"] == [{A: 0.25, B: 0.0}]
    counts = weighting.signals["counts"]
    assert counts.observed == mixer.report.totals.num_scored | {B: 1}
    assert counts.generated == total.num_scored
    assert total.num_scored[B] > 1


def test_a_task_that_is_asked_later_is_observed_in_its_own_first_round():
    counts = StepCounts()
    for task, accuracy in (("a", 0.5), ("b", 0.25), ("a", 0.0)):
        counts.begin_round()
        group = Group(task, (1.0, 0.0), (accuracy, accuracy))
        counts.add(group, 2, Verdict(True), True)
    first = counts.first_rounds()
    assert first.mean_accuracies() == {"a": 0.5, "b": 0.25}
    assert first.num_scored == {"a": 2, "b": 2}


def test_task_reward_and_observe():
    weighting = Recorder()
    mixer = step_by_hand(weighting=weighting, task_reward="reward", observe="round")
    rounds = [stats.mean_rewards() for stats in mixer.batch.counts.rounds]
    mixer.update()
    assert weighting.signals["task_rewards"] == rounds
    assert len(rounds) >= 2
    assert rounds[0][A] == pytest.approx(0.275)
    assert A not in rounds[1]


def test_improvements_reach_the_weighting():
    weighting = Recorder(improvement="surrogate")
    mixer = step_by_hand(weighting=weighting)
    with pytest.raises(ConfigError, match="improvements missing"):
        mixer.update()
    assert mixer.step == 0
    assert mixer.batch is not None  # nothing is closed by a refused update
    mixer.update([{A: 0.1}, {B: 0.2}])
    assert weighting.signals["improvements"] == [{A: 0.1}, {B: 0.2}]


def test_a_step_without_groups_needs_no_improvements():
    mixer = TaskMixer(TASKS, batch_size=4, weighting=ImprovementAware(improvement="surrogate"))
    fill(mixer.new_batch(), Dice(dict.fromkeys(TASKS, 0.0)))
    assert mixer.batch.groups == []
    mixer.update()
    assert mixer.metrics()["sampler/shortfall"] == 4


def test_metrics_by_hand():
    mixer = TaskMixer(
        [A, B, C],
        batch_size=4,
        weighting=Uniform(),
        sampler=RatioPreservingSampler(max_resamples=0),
    )
    assert mixer.metrics() == {}
    batch = mixer.new_batch()
    quotas = batch.ask()
    assert sum(quotas.values()) == 4
    batch.tell(
        [
            Group.verified(task, {A: MIXED, B: FORMAT, C: WRONG}[task])
            for task, n in quotas.items()
            for _ in range(n)
        ]
    )
    batch.ask()
    mixer.update()
    expected = {
        f"task/{A}/reward": 0.275,
        f"task/{A}/accuracy": 0.25,
        f"task/{A}/acceptance_rate": 1.0,
        f"task/{A}/realized_ratio": 1.0,
        f"task/{B}/reward": 0.05,
        f"task/{B}/accuracy": 0.0,
        f"task/{B}/acceptance_rate": 0.0,
        f"task/{B}/realized_ratio": 0.0,
        f"task/{C}/reward": 0.0,
        f"task/{C}/accuracy": 0.0,
        f"task/{C}/acceptance_rate": 0.0,
        f"task/{C}/realized_ratio": 0.0,
        "tasks/worst_accuracy": 0.0,
        "tasks/mean_accuracy": 0.25 / 3,
        "sampler/rounds": 1,
        "sampler/groups_generated": 4,
        "sampler/shortfall": 4 - quotas[A],
        "sampler/surplus": 0,
        "sampler/groups_predicted": 4.0,
        "sampler/groups_banked": 0,
        "sampler/groups_expired": 0,
        "sampler/tasks_exhausted": 0,
        "sampler/shares_met": 0.0,
    }
    for task in TASKS:
        expected[f"task/{task}/weight"] = 1 / 3
        expected[f"task/{task}/target_ratio"] = quotas[task] / 4
        expected[f"task/{task}/num_generated"] = quotas[task]
        expected[f"task/{task}/num_informative"] = quotas[task] * (task == A)
        expected[f"task/{task}/running_accuracy"] = expected[f"task/{task}/accuracy"]
        # Counts are there when they are 0: a logger's mean over steps is right.
        for reason in REASONS[informative]:
            is_dropped = task != A and reason == "all_wrong"
            expected[f"task/{task}/dropped/{reason}"] = quotas[task] * is_dropped
    assert mixer.metrics() == pytest.approx(expected)


def test_worst_accuracy_remembers_tasks_that_were_not_sampled():
    mixer = TaskMixer(
        [A, B],
        batch_size=1,
        weighting=Uniform(),
        sampler=RatioPreservingSampler(group_filter="none"),
    )
    seen = set()
    for _ in range(6):
        batch = mixer.new_batch()
        while request := batch.ask():
            seen.update(request)
            batch.tell([Group.verified(task, MIXED if task == A else WRONG) for task in request])
        mixer.update()
        assert mixer.metrics()["tasks/worst_accuracy"] == (0.0 if B in seen else 0.25)
    assert seen == {A, B}


def test_counters_add_up_over_steps():
    mixer, dice = SETUPS["default"](0), Dice(RATES)
    run(mixer, dice, 5)
    assert mixer.step == 5
    assert mixer.num_groups == dice.serial.total()
    assert mixer.num_rollouts == 4 * mixer.num_groups


# ---- randomness and state ----------------------------------------------------------------------------------
@pytest.mark.parametrize("setup", SETUPS)
def test_the_seed_is_all_there_is_to_chance(setup):
    first, second = (run(SETUPS[setup](3), Dice(RATES), 6) for _ in range(2))
    assert first == second
    other = run(SETUPS[setup](4), Dice(RATES), 6)
    assert other != first


@pytest.mark.parametrize("setup", SETUPS)
def test_resumed_after_any_step_equals_uninterrupted(setup):
    for steps in range(5):
        mixer, dice = SETUPS[setup](5), Dice(RATES)
        run(mixer, dice, steps)
        resumed, again = copy_of(mixer, setup), Dice(RATES)
        again.serial.update(dice.serial)
        assert run(resumed, again, 4) == run(mixer, dice, 4)


class ResumedAnywhere(RuleBasedStateMachine):
    """Two mixers see the same; one of them is saved through JSON and loaded into a fresh one, again and again."""

    @initialize(
        setup=st.sampled_from(sorted(SETUPS)),
        seed=st.integers(0, 99),
        dead=st.sampled_from([None, *TASKS]),
    )
    def begin(self, setup, seed, dead):
        self.setup = setup
        self.straight, self.resumed = SETUPS[setup](seed), SETUPS[setup](seed)
        self.dice = Dice(
            {task: 0.0 if task == dead else rate for task, rate in RATES.items()}, seed
        )

    @rule()
    def save_and_load(self):
        self.resumed = copy_of(self.resumed, self.setup)

    @rule(data=st.data())
    def act(self, data):
        """The next thing an engine would do; groups come back in pieces of any size."""
        if self.straight.batch is None:
            assert self.straight.new_batch().quotas == self.resumed.new_batch().quotas
            return
        request = self.straight.batch.ask()
        assert self.resumed.batch.ask() == request
        if request:
            piece = {
                t: data.draw(st.integers(0, n), label=f"groups of {t}") for t, n in request.items()
            }
            groups = self.dice.rollout(piece)
            self.straight.batch.tell(groups)
            self.resumed.batch.tell(groups)
            return
        for mixer in (self.straight, self.resumed):
            mixer.update(improvements(mixer))
        assert self.straight.metrics() == self.resumed.metrics()

    @precondition(lambda self: self.straight.batch is not None)
    @rule()
    def finish_the_step(self):
        """To the end of the step, with a save before every ask and every tell."""
        while request := self.straight.batch.ask():
            self.save_and_load()
            assert self.resumed.batch.ask() == request
            self.save_and_load()
            groups = self.dice.rollout(request)
            self.straight.batch.tell(groups)
            self.resumed.batch.tell(groups)
        self.save_and_load()
        assert self.resumed.batch.ask() == {}
        self.save_and_load()
        for mixer in (self.straight, self.resumed):
            mixer.update(improvements(mixer))
        assert self.straight.metrics() == self.resumed.metrics()

    @invariant()
    def nothing_differs(self):
        if not hasattr(self, "straight"):
            return
        assert self.straight.state_dict() == self.resumed.state_dict()
        assert self.straight.weights() == self.resumed.weights()
        if self.straight.batch is not None and self.straight.batch.done:
            assert self.straight.batch.groups == self.resumed.batch.groups
            assert self.straight.batch.surplus == self.resumed.batch.surplus


ResumedAnywhere.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestResumedAnywhere = ResumedAnywhere.TestCase


def test_states_that_do_not_fit_are_refused():
    def mixer(tasks=TASKS, batch_size=8, weighting=None, sampler=None):
        return TaskMixer(tasks, batch_size=batch_size, weighting=weighting, sampler=sampler)

    state = mixer().state_dict()
    for other, message in (
        (mixer(tasks=["x", "y"]), rf"saved for tasks \['{A}', '{B}', '{C}'\], now \['x', 'y'\]"),
        (mixer(tasks=TASKS[::-1]), "in the same order"),
        (mixer(batch_size=9), "saved with batch_size 8, now 9"),
        (mixer(weighting=Regularized()), "saved by ImprovementAware, this is Regularized"),
        (
            mixer(sampler=RatioPreservingSampler(acceptance=EmaAcceptance())),
            "saved with CountedAcceptance",
        ),
    ):
        with pytest.raises(StateError, match=message):
            other.load_state_dict(state)
    with pytest.raises(StateError, match="state version 0; this mtgrpo reads 7"):
        mixer().load_state_dict({**state, "version": 0})


# ---- the wrong moment --------------------------------------------------------------------------------------
def test_the_order_of_calls():
    mixer = SETUPS["default"](0)
    with pytest.raises(StateError, match="without a batch"):
        mixer.update()
    batch = mixer.new_batch()
    with pytest.raises(StateError, match="still open"):
        mixer.new_batch()
    with pytest.raises(StateError, match="still being filled"):
        mixer.update()
    fill(batch, Dice(RATES))
    mixer.update()
    assert mixer.batch is None
    assert mixer.step == 1


def test_shortfall_policy_fail_reaches_the_engine():
    mixer = TaskMixer(
        TASKS, batch_size=4, sampler=RatioPreservingSampler(shortfall="fail", max_resamples=1)
    )
    with pytest.raises(ShortfallError, match="4 of 4 groups missing after 2 rounds"):
        fill(mixer.new_batch(), Dice(dict.fromkeys(TASKS, 0.0)))
    # The step can be closed, with what was measured, and the next one begun.
    assert mixer.batch is not None
    assert mixer.batch.groups == []
    mixer.update()
    assert mixer.metrics()["sampler/shortfall"] == 4
    assert mixer.num_groups > 0
    fill(mixer.new_batch(), Dice(dict.fromkeys(TASKS, 1.0)))
    mixer.update()
    assert mixer.step == 2


def test_a_failed_batch_is_restored_as_it_is():
    def mixer():
        return TaskMixer(
            TASKS, batch_size=4, sampler=RatioPreservingSampler(shortfall="fail", max_resamples=1)
        )

    failed, restored = mixer(), mixer()
    with pytest.raises(ShortfallError):
        fill(failed.new_batch(), Dice({A: 1.0, B: 1.0, C: 0.0}))
    restored.load_state_dict(json.loads(json.dumps(failed.state_dict())))
    with pytest.raises(ShortfallError, match=r"groups missing after 2 rounds \{'arc/1d': "):
        restored.batch.ask()
    assert [g.uid for g in restored.batch.groups] == [g.uid for g in failed.batch.groups] != []


def test_task_blind_batches_can_fail_too():
    sampler = RatioPreservingSampler(shortfall="fail", max_resamples=0, keep_shares=False)
    mixer = TaskMixer(TASKS, batch_size=4, sampler=sampler)
    with pytest.raises(ShortfallError, match="4 of 4 groups missing after 1 round; allow more"):
        fill(mixer.new_batch(), Dice(dict.fromkeys(TASKS, 0.0)))


def test_one_weighting_for_one_mixer():
    weighting = ImprovementAware()
    TaskMixer(TASKS, batch_size=4, weighting=weighting)
    with pytest.raises(
        StateError, match=r"ImprovementAware: already in use by another mixer.*make a new one"
    ):
        TaskMixer(TASKS, batch_size=4, weighting=weighting)
    by_hand = Uniform().bind(TASKS)
    TaskMixer(TASKS, batch_size=4, weighting=by_hand)
    with pytest.raises(StateError, match="Uniform: already in use by another mixer"):
        TaskMixer(TASKS[:2], batch_size=4, weighting=by_hand)


def test_refuses():
    for arguments, message in (
        ({"task_reward": "acuracy"}, "did you mean 'accuracy'"),
        ({"observe": "minibatch"}, "allowed: first_round, round, step"),
        ({"batch_size": 0}, "at least 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            TaskMixer(TASKS, **{"batch_size": 4, **arguments})
    with pytest.raises(
        StateError, match=r"Uniform: bound to \['x'\], the mixer's tasks are .*same tasks"
    ):
        TaskMixer(TASKS, batch_size=4, weighting=Uniform().bind(["x"]))


@pytest.mark.parametrize(("per", "fresh"), [("step", False), ("round", True)])
def test_rounds_of_a_step_share_the_acceptance_rate_or_each_has_its_own(per, fresh):
    sampler = RatioPreservingSampler(
        planner=OversampledRounds(oversampling=1),
        acceptance=EmaAcceptance(0.0, per),
        max_resamples=1,
    )
    mixer, dice = TaskMixer(TASKS, batch_size=8, sampler=sampler), Dice(dict.fromkeys(TASKS, 0.0))
    batch = mixer.new_batch()
    batch.tell(dice.rollout(batch.ask()))
    assert (sampler.acceptance.rates() < 1).any() == fresh  # as the second round sees it
    fill(batch, dice)
    mixer.update()
    assert (sampler.acceptance.rates() == 0).any()


# ---- the loop as a whole -----------------------------------------------------------------------------------
def test_the_worst_task_gains_weight_and_its_share_follows():
    mixer = TaskMixer(TASKS, batch_size=32, weighting=Regularized(eta=1e-2))
    correct, last = {A: 3, B: 2, C: 1}, Counter[str]()
    for step in range(120):
        batch = mixer.new_batch()
        while request := batch.ask():
            batch.tell(
                Group.verified(task, (1.0,) * correct[task] + (0.0,) * (4 - correct[task]))
                for task, count in request.items()
                for _ in range(count)
            )
        if step >= 100:
            last.update(g.task for g in batch.groups)
        mixer.update()
    weights = mixer.weights()
    assert weights[C] > 0.6
    assert weights[C] > weights[B] > weights[A]
    assert last[C] / last.total() == pytest.approx(weights[C], abs=0.05)


def test_sec_follows_the_groups_trained_on():
    mixer = TaskMixer(
        TASKS, batch_size=12, weighting=SEC(), sampler=RatioPreservingSampler(group_filter="none")
    )
    for _ in range(10):
        fill(mixer.new_batch(), Dice({A: 1.0, B: 0.0, C: 0.0}))
        mixer.update()
    assert mixer.weights()[A] > 0.8


def test_ten_thousand_tasks():
    tasks = [f"task {i}" for i in range(10_000)]
    sampler = RatioPreservingSampler(planner=OversampledRounds())
    mixer, dice = TaskMixer(tasks, batch_size=64, sampler=sampler), Dice(dict.fromkeys(tasks, 0.5))
    for _ in range(3):
        batch = mixer.new_batch()
        fill(batch, dice)
        mixer.update()
        assert sum(mixer.weights().values()) == pytest.approx(1, abs=1e-12)
    assert len(mixer.metrics()) > 30_000
