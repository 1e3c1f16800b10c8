"""Groups in parts: which go on, what they count, and that nothing is biased by it."""

import json
import math

import numpy as np
import pytest

from mtgrpo.core.filters import informative
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.probe_stages import Probe, Stage
from mtgrpo.core.probes import ProbeRule, StepProbes
from mtgrpo.core.types import Group, Probed, Verdict
from mtgrpo.core.weightings import Fixed
from mtgrpo.errors import ConfigError, StateError

SIZE = 16
TASKS = ("hard", "even")
FIXED = {"size": 4, "chance": 0.25}
STAGES = {"size": [4, 8], "chance": [0.5, 0.4]}
ONE = Probe((Stage(4, 0.25, 0.25),))
APART = Probe((Stage(4, 0.3, 0.7), Stage(8, 0.5, 0.4)))


class Prompts:
    """An engine whose prompts are right or wrong with a rate of their own."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.number = 0

    def rates(self, task: str, count: int):
        return self.rng.beta(0.05, 0.5, count) if task == "hard" else np.full(count, 0.5)

    def generate(self, batch, request) -> list[Group]:
        """All groups of a request, in parts."""
        groups, rates, sizes = list[Group](), list[float](), list[list[int]]()
        for task, count in request.items():
            own = batch.probes.of(task, SIZE).sizes(SIZE)
            for rate in self.rates(task, count):
                probe = Probed(own[0], 0) if own[0] < SIZE else None
                rewards = self.answers(rate, own[0])
                groups.append(Group.verified(task, rewards, uid=self.number, probe=probe))
                rates.append(rate)
                sizes.append(own)
                self.number += 1

        going_on = list(range(len(groups)))
        for part in range(1, 4):
            weights = batch.probes.weights([groups[i] for i in going_on])
            still = list[int]()
            for i, weight in zip(going_on, weights, strict=True):
                group, own = groups[i], sizes[i]
                if len(own) <= part:
                    continue
                if weight:
                    rest = self.answers(rates[i], own[part] - own[part - 1])
                    still.append(i)
                else:
                    rest = ()
                probe, rewards = Probed(own[0], weight), group.rewards + rest
                groups[i] = Group.verified(group.task, rewards, uid=group.uid, probe=probe)
            going_on = [i for i in still if len(groups[i].rewards) < SIZE]
        return groups

    def answers(self, rate: float, number: int) -> tuple[float, ...]:
        return tuple(self.rng.binomial(1, rate, number).astype(float))


def make(probes, seed: int = 0, **arguments) -> TaskMixer:
    return TaskMixer(
        TASKS,
        batch_size=16,
        weighting=Fixed(dict.fromkeys(TASKS, 0.5)),
        sampler=OneRoundSampler(probes=probes, **arguments),
        seed=seed,
    )


def step(mixer: TaskMixer, prompts: Prompts):
    batch = mixer.new_batch()
    groups = prompts.generate(batch, batch.ask())
    batch.tell(groups)
    assert batch.ask() == {}
    mixer.update()
    return batch, groups


def signal(group: Group) -> float:
    """What a whole group's gradient is in proportion to."""
    share = sum(group.rewards) / len(group.rewards)
    return share * (1 - share)


class OneProbe:
    """In the place of a rule: this probe for all tasks."""

    def __init__(self, probe: Probe) -> None:
        self.chosen = probe

    def probes(self, acceptance, counts, group_size: int) -> list[Probe]:
        return [self.chosen] * len(acceptance)


@pytest.mark.parametrize("probe", [ONE, APART], ids=["one", "apart"])
def test_gradient_mean_and_acceptance_are_unbiased(probe):
    """A known truth: 24,000 prompts, hard ones among them, against what whole groups would give."""
    prompts, rng = Prompts(0), np.random.default_rng(1)
    batch = type("Batch", (), {})()

    sums = {task: np.zeros((2, 4)) for task in TASKS}  # sums and squares of what is estimated
    for _ in range(300):
        batch.probes = StepProbes(TASKS, OneProbe(probe), np.ones(2), np.ones(2), informative, rng)
        for group in prompts.generate(batch, dict.fromkeys(TASKS, 40)):
            is_mixed = 0 < sum(group.rewards) < len(group.rewards)
            values = np.array(
                [
                    group.weight,
                    group.weight * signal(group),
                    group.mean_accuracy,
                    group.weight * is_mixed,
                ]
            )
            sums[group.task] += [values, values**2]

    draws = np.random.default_rng(2)
    for task in TASKS:
        rates = Prompts(3).rates(task, 400_000)
        share = draws.binomial(SIZE, rates) / SIZE
        truth = [
            1.0,
            (share * (1 - share)).mean(),
            rates.mean(),
            ((share > 0) & (share < 1)).mean(),
        ]

        mean, square = sums[task] / 12_000
        error = np.sqrt(np.maximum(square - mean**2, 0) / 12_000) + 1e-3
        assert (abs(mean - truth) < 4 * error).all(), (task, mean, truth, error)


@pytest.mark.parametrize("rate", [0.0, 0.04, 0.5, 0.9, 1.0])
def test_each_kind_of_prompt_counts_one_on_average(rate):
    """Hard, easy and even ones; and the gradient of a prompt, rate (1 - rate), is that of it."""
    prompts, rng = Prompts(0), np.random.default_rng(1)
    prompts.rates = lambda task, count: np.full(count, rate)
    batch = type("Batch", (), {})()

    values = []
    for _ in range(200):
        batch.probes = StepProbes(TASKS, OneProbe(APART), np.ones(2), np.ones(2), informative, rng)
        groups = prompts.generate(batch, {"hard": 40})
        values += [(group.weight, group.weight * signal(group)) for group in groups]

    mean = np.mean(values, axis=0)
    error = np.std(values, axis=0) / np.sqrt(len(values)) + 1e-9
    truth = [1.0, rate * (1 - rate) * (SIZE - 1) / SIZE]
    assert (abs(mean - truth) < 4 * error).all(), (mean, truth, error)


def test_over_steps_shares_are_the_weights_with_probes_too():
    """What groups stand for counts on both sides: in a step, and in what steps have on average."""
    shares = {}
    for probes in (FIXED, None):
        mixer, prompts, total = make(probes), Prompts(0), 0.0
        for _ in range(400):
            batch = mixer.new_batch()
            request = batch.ask()
            if probes is None:
                groups = []
                for task, count in request.items():
                    for rate in prompts.rates(task, count):
                        rewards = tuple(prompts.rng.binomial(1, rate, SIZE).astype(float))
                        groups.append(Group.verified(task, rewards, uid=prompts.number))
                        prompts.number += 1
            else:
                groups = prompts.generate(batch, request)
            batch.tell(groups)
            batch.ask()
            mixer.update()
            total += mixer.report.loss_shares["hard"]
        shares[probes is None] = total / 400

    assert shares[True] == pytest.approx(0.5, abs=0.06)
    assert shares[False] == pytest.approx(shares[True], abs=0.06)


def test_of_constant_probes_a_share_of_q_goes_on_and_each_alike():
    rng = np.random.default_rng(0)
    constant = [Group.verified("hard", (0.0,) * 4) for _ in range(10)]
    counts = np.zeros(10)

    for _ in range(2000):
        probes = StepProbes(TASKS, ProbeRule(FIXED, 2), np.ones(2), np.ones(2), informative, rng)
        assert probes.of("hard", SIZE) == ONE
        weights = probes.weights(constant)
        assert set(weights) <= {0, 4.0}
        assert sum(w > 0 for w in weights) in (2, 3)
        counts += np.array(weights) > 0

    assert counts / 2000 == pytest.approx(np.full(10, 0.25), abs=0.04)


def test_all_right_and_all_wrong_probes_have_chances_of_their_own():
    rng = np.random.default_rng(0)
    wrong = [Group.verified("hard", (0.0,) * 4) for _ in range(10)]
    right = [Group.verified("hard", (1.0,) * 4) for _ in range(10)]

    probes = StepProbes(TASKS, OneProbe(APART), np.ones(2), np.ones(2), informative, rng)
    probes.of("hard", SIZE)
    weights = probes.weights([*wrong, *right])
    assert sum(w == pytest.approx(1 / 0.3) for w in weights[:10]) == 3
    assert sum(w == pytest.approx(1 / 0.7) for w in weights[10:]) == 7
    assert sum(w > 0 for w in weights) == 10


def test_at_a_later_stage_mixed_groups_keep_what_they_count_and_constant_ones_count_more():
    probes = StepProbes(
        TASKS, OneProbe(APART), np.ones(2), np.ones(2), informative, np.random.default_rng(0)
    )
    probes.of("hard", SIZE)
    so_far = Probed(4, 2.0)
    constant = [Group.verified("hard", (0.0,) * 8, probe=so_far) for _ in range(10)]
    mixed = [Group.verified("hard", (0.0,) * 7 + (1.0,), probe=so_far)] * 3

    weights = probes.weights([*constant, *mixed])
    assert sorted(weights[:10]) == [0] * 5 + [4.0] * 5
    assert weights[10:] == [2.0] * 3


@pytest.mark.parametrize(
    ("size", "probe", "message"),
    [
        (5, None, r"with 5 completions; allowed: 4, 8; generate groups in parts"),
        (8, None, r"must say what the group counts so far; give it Probed\(4, weight\)"),
        (8, Probed(4, 0), r"must say what the group counts so far"),
    ],
)
def test_groups_that_are_at_no_stage_are_refused(size, probe, message):
    probes = StepProbes(
        TASKS, OneProbe(APART), np.ones(2), np.ones(2), informative, np.random.default_rng(0)
    )
    probes.of("hard", SIZE)
    with pytest.raises(StateError, match=message):
        probes.weights([Group.verified("hard", (0.0,) * size, probe=probe)])


def test_mixed_probes_always_go_on_and_count_one():
    probes = StepProbes(
        TASKS, ProbeRule(FIXED, 2), np.ones(2), np.ones(2), informative, np.random.default_rng(0)
    )
    probes.of("hard", SIZE)
    assert probes.weights([Group.verified("hard", (1.0, 0.0, 0.0, 0.0))] * 3) == [1, 1, 1]


def test_the_first_step_small_groups_and_graded_tasks_have_whole_groups():
    rule, rates, counts = ProbeRule("auto", 2), np.array([0.1, 0.1]), np.array([20, 20])
    assert rule.probes(rates, counts, 32) == [Probe.whole(32)] * 2

    rule.observe(np.array([2.0, 0.0]), np.array([40.0, 0.0]))  # the second is graded
    known, graded = rule.probes(rates, counts, 32)
    assert known.size < 32
    assert graded == Probe.whole(32)
    assert rule.probes(rates, counts, 8) == [Probe.whole(8)] * 2


def test_what_is_chosen_follows_each_task():
    mixer, prompts = make("auto"), Prompts(0)
    for _ in range(30):
        batch, _ = step(mixer, prompts)
    hard, even = (batch.probes.chosen[task] for task in TASKS)
    assert hard.size == even.size < SIZE
    assert hard.chance_wrong < 1
    assert even.completes_all


def test_the_mean_is_that_of_all_completions_where_all_groups_are_completed():
    assert ONE.num_sampled(SIZE) == 4
    assert Probe((Stage(4), Stage(8))).num_sampled(SIZE) == SIZE
    assert Probe.whole(SIZE).num_sampled(SIZE) == SIZE


def test_partial_groups_are_counted_and_never_trained_on():
    mixer, prompts = make(FIXED), Prompts(0)
    num_rollouts = 0
    for _ in range(20):
        batch, groups = step(mixer, prompts)
        num_rollouts += sum(len(group.rewards) for group in groups)
        assert all(len(group.rewards) == SIZE for group in batch.groups)
        assert not batch.surplus

        estimate = sum(g.weight for g in groups if informative(g).keep and g.task == "hard")
        assert mixer.report.num_informative.get("hard", 0) == estimate
        assert len(groups) == 16
    assert mixer.num_rollouts == num_rollouts < 20 * 16 * SIZE


def test_a_filter_that_keeps_everything_keeps_no_probe_that_was_not_completed():
    mixer, prompts = make(FIXED, group_filter=lambda group: Verdict(True)), Prompts(0)
    for _ in range(10):
        batch, _ = step(mixer, prompts)
        assert all(len(group.rewards) == SIZE for group in batch.groups)
    assert mixer.report.dropped["hard"]["constant_reward"] > 0


def test_probes_without_a_filter_are_refused():
    with pytest.raises(ConfigError, match=r"with group_filter='none'.*leave probes out"):
        OneRoundSampler(probes="auto", group_filter="none")
    OneRoundSampler(group_filter="none")


def test_a_group_counts_in_the_loss_what_it_stands_for():
    rewards = (0.0,) * (SIZE - 1) + (1.0,)
    batch = make(FIXED).new_batch()
    request = batch.ask()
    few = [Group.verified("hard", rewards, probe=Probed(4, 4.0))]
    few += [Group.verified("even", rewards, probe=Probed(4, 1))] * 4
    for task, count in request.items():
        filling = Group.verified(task, (0.0,) * 4, probe=Probed(4, 0))
        own = [group for group in few if group.task == task]
        batch.tell(own + [filling] * (count - len(own)))
    assert batch.ask() == {}
    assert batch.counts.num_informative == {"hard": 4.0, "even": 4}
    assert batch.loss_shares == pytest.approx({"hard": 0.5, "even": 0.5})


@pytest.mark.parametrize("probes", [FIXED, STAGES, "auto"])
def test_a_resumed_run_makes_the_same_decisions(probes):
    whole, half = make(probes), make(probes)
    prompts, again = Prompts(0), Prompts(0)
    for _ in range(6):
        step(whole, prompts)
    for _ in range(3):
        step(half, again)

    resumed = make(probes, seed=9)
    resumed.load_state_dict(json.loads(json.dumps(half.state_dict())))
    for _ in range(3):
        step(resumed, again)
    assert resumed.state_dict() == whole.state_dict()


def test_a_half_told_round_is_resumed_with_the_same_decisions():
    mixer, prompts = make(FIXED), Prompts(0)
    for _ in range(3):
        step(mixer, prompts)
    batch = mixer.new_batch()
    groups = prompts.generate(batch, batch.ask())
    batch.tell(groups[:7])

    resumed = make(FIXED, seed=9)
    resumed.load_state_dict(json.loads(json.dumps(mixer.state_dict())))
    for each in (mixer, resumed):
        each.batch.tell(groups[7:])
        each.batch.ask()
    assert [g.uid for g in resumed.batch.groups] == [g.uid for g in mixer.batch.groups]
    assert [g.probe for g in resumed.batch.groups] == [g.probe for g in mixer.batch.groups]

    request = dict.fromkeys(TASKS, 8)
    for each in (mixer, resumed):
        each.update()
    assert resumed.report.probes == mixer.report.probes == dict.fromkeys(TASKS, ONE)
    assert resumed.metrics() == mixer.metrics()
    assert resumed.metrics()["task/hard/probe_size"] == 4
    a, b = (each.new_batch() for each in (mixer, resumed))
    constant = [Group.verified(task, (0.0,) * 4) for task, n in request.items() for _ in range(n)]
    for each in (a, b):
        assert [each.probes.of(task, SIZE) for task in TASKS] == [ONE] * 2
    assert a.probes.weights(constant) == b.probes.weights(constant)


def test_resuming_with_probes_where_there_were_none_is_refused_and_the_other_way_round():
    with pytest.raises(
        StateError, match=r"saved without probes, now with; .*resume without probes"
    ):
        make("auto").load_state_dict(make(None).state_dict())
    with pytest.raises(StateError, match=r"saved with probes, now without; .*resume with probes"):
        make(None).load_state_dict(make("auto").state_dict())


def test_another_kind_of_sampler_is_named_as_such():
    state = OneRoundSampler(probes="auto").state_dict()
    del state["costs"], state["probes"]
    with pytest.raises(StateError, match="saved by another kind than OneRoundSampler"):
        OneRoundSampler(probes="auto").load_state_dict(state)


def test_resuming_with_other_probes_names_both():
    other = {"size": 2, "chance": 0.5}
    with pytest.raises(
        StateError, match=r"saved with probes='auto', now probes=\{'size': 4, 'chance': 0.25\}"
    ):
        make(FIXED).load_state_dict(make("auto").state_dict())
    with pytest.raises(StateError, match=r"probes=\{'size': 4.*, now probes=\{'size': 2"):
        make(other).load_state_dict(make(FIXED).state_dict())


def test_states_of_one_size_and_one_chance_are_still_loaded():
    """As 0.2 wrote them before probes had stages."""
    mixer, prompts = make(FIXED), Prompts(0)
    batch = mixer.new_batch()
    groups = prompts.generate(batch, batch.ask())
    batch.tell(groups[:7])
    state = json.loads(json.dumps(mixer.state_dict()))
    (chosen,) = _dicts_with(state, "planned")
    assert chosen["probes"] == {"hard": [[4, 0.25, 0.25]], "even": [[4, 0.25, 0.25]]}

    chosen["probes"] = {"hard": [4, 0.25], "even": [4, 0.25]}
    resumed = make(FIXED)
    resumed.load_state_dict(state)
    assert resumed.batch.probes.chosen == dict.fromkeys(TASKS, ONE)


def _dicts_with(state, key):
    if not isinstance(state, dict):
        return []
    inner = [found for value in state.values() for found in _dicts_with(value, key)]
    return [state, *inner] if key in state else inner


def test_resuming_with_several_stages_names_them():
    with pytest.raises(StateError, match=r"saved with probes=\{'size': \[4, 8\], 'chance': \[0.5"):
        make(FIXED).load_state_dict(json.loads(json.dumps(make(STAGES).state_dict())))


def test_weights_of_a_task_whose_probe_nobody_asked_for_are_refused():
    rng = np.random.default_rng(0)
    probes = StepProbes(TASKS, ProbeRule(FIXED, 2), np.ones(2), np.ones(2), informative, rng)
    with pytest.raises(StateError, match=r"task 'hard'.*call of\(task, group_size\) first"):
        probes.weights([Group.verified("hard", (0.0,) * 4)])


def test_tasks_may_change():
    mixer, prompts = make("auto"), Prompts(0)
    for _ in range(5):
        step(mixer, prompts)
    mixer.change_tasks(("even", "hard", "third"))
    batch = mixer.new_batch()
    assert batch.probes.of("third", SIZE) == Probe.whole(SIZE)


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ("always", "allowed: auto, or a size and a chance"),
        ({"size": 8}, "allowed: auto, or a size and a chance"),
        ({"size": 1, "chance": 0.5}, "size must be a whole number of at least 2"),
        ({"size": 4.5, "chance": 0.5}, "size must be a whole number of at least 2"),
        ({"size": math.inf, "chance": 0.5}, "size must be a whole number of at least 2"),
        ({"size": math.nan, "chance": 0.5}, "size must be a whole number of at least 2"),
        ({"size": 8, "chance": 0.0}, "chance must be above 0"),
        ({"size": 8, "chance": math.nan}, "chance must be above 0"),
        (8, "allowed: auto, or a size and a chance"),
        ({"size": [8, 4], "chance": [0.5, 0.5]}, "several sizes must grow, with a chance each"),
        ({"size": [4, 8], "chance": 0.5}, "several sizes must grow, with a chance each"),
        ({"size": [], "chance": []}, "several sizes must grow, with a chance each"),
        ({"size": [4, 8], "chance": [0.5, 0.0]}, "chance must be above 0"),
        ({"size": 8, "chance": True}, "chance must be above 0"),
        ({"size": (8, 4), "chance": (0.5, 0.5)}, "several sizes must grow, with a chance each"),
    ],
)
def test_other_probes_are_refused(probes, message):
    with pytest.raises(ConfigError, match=message):
        OneRoundSampler(probes=probes)


def test_a_group_keeps_its_probe_in_its_state():
    group = Group.verified("hard", (0.0, 0.0, 1.0), probe=Probed(2, 4.0))
    assert Group.from_state(json.loads(json.dumps(group.state()))) == group
    assert group.mean_accuracy == group.mean_reward == 0.0
    assert Group.from_state(Group("hard", (1.0,)).state()).weight == 1
