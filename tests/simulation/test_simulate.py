"""The simulator: its statistics are exact, its learning is the policy gradient, its mixer is the real one."""

from __future__ import annotations

import dataclasses
import io
import json
import math

import numpy as np
import pytest
import yaml

from mtgrpo import presets
from mtgrpo.cli import main
from mtgrpo.core.advantages import group_advantages
from mtgrpo.core.metrics import filtered_shares
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.types import Group
from mtgrpo.core.weightings import Fixed
from mtgrpo.errors import ConfigError, RunError
from mtgrpo.runlog import read_run
from mtgrpo.simulation import (
    Observations,
    SimulatedTask,
    SimulationResult,
    World,
    fit,
    fit_errors,
    simulate,
    sweep,
)
from mtgrpo.simulation.command import known_floors, run_simulation
from mtgrpo.simulation.fitting import least_squares
from mtgrpo.simulation.policy import ToyPolicy, group_signals, log_choose

STILL = World(  # learns nothing: every rate stays what it is
    (
        SimulatedTask("easy", skill=1.0, spread=1.0, learning_rate=0.0),
        SimulatedTask("middle", skill=-1.0, spread=3.0, learning_rate=0.0, floor=0.1, ceiling=0.9),
        SimulatedTask("hard", skill=-6.0, spread=4.0, learning_rate=0.0),
    ),
    format_learning_rate=0.0,
)


def roll_out(toy: ToyPolicy, request: dict[str, int]) -> list[Group]:
    groups, copies = toy.draw(request)
    return [groups[i] for i in copies]


def policy(world: World, group_size: int = 8, seed: int = 0) -> ToyPolicy:
    return ToyPolicy(world, group_size, np.random.default_rng(seed))


def groups(task: str, *counts: tuple[int, int], size: int = 8) -> list[Group]:
    """Groups by (number correct, number of well-formed wrong ones)."""
    return [
        Group.verified(
            task, (1.0,) * c + (0.1,) * w + (0.0,) * (size - c - w), payload=c * (size + 1) + w
        )
        for c, w in counts
    ]


def acceptance(world: World, group_size: int) -> np.ndarray:
    rates, _ = world.pass_rates(world.array("skill"))
    return 1 - (rates**group_size + (1 - rates) ** group_size).mean(axis=1)


# ---- the run ---------------------------------------------------------------------------------------------------------
def test_same_seed_same_run() -> None:
    world = World.random(seed=3, num_tasks=4)
    one, same, other = (simulate(world, steps=15, batch_size=16, seed=seed) for seed in (5, 5, 6))
    for field in dataclasses.fields(SimulationResult):
        assert (
            np.array_equal(getattr(one, field.name), getattr(same, field.name))
            or field.name == "observed"
        )
    np.testing.assert_array_equal(one.observed, same.observed)
    assert not np.array_equal(one.accuracy, other.accuracy)


@pytest.mark.parametrize("name", presets.NAMES)
@pytest.mark.parametrize("variant", presets.VARIANTS)
def test_every_method_runs_and_counts_add_up(name: str, variant: str) -> None:
    for world in (World.three_tasks(), World.nine_tasks()):
        run = simulate(world, name, variant=variant, steps=12, batch_size=16, group_size=4)
        assert run.rollouts[-1] == run.generated.sum() * 4
        np.testing.assert_array_equal(np.diff(run.rollouts), run.groups_generated * 4)
        np.testing.assert_allclose(run.weights.sum(axis=1), 1)
        np.testing.assert_allclose(run.realized.sum(axis=1), 1)
        assert (run.informative <= run.generated).all()
        assert (run.rounds >= 1).all()
        assert run.accuracy.shape == (13, len(world.tasks))
        assert ((run.accuracy > 0) & (run.accuracy < 1)).all()
        assert np.isnan(run.observed[run.generated == 0]).all()
        json.dumps(run.summary(), allow_nan=False)


def test_zero_gradient_rates_are_the_analytic_ones() -> None:
    run = simulate(STILL, "grpo", steps=100, batch_size=300, seed=1)
    expected = acceptance(STILL, 8)
    got = run.informative.sum(axis=0) / run.generated.sum(axis=0)
    error = np.sqrt(expected * (1 - expected) / run.generated.sum(axis=0))
    np.testing.assert_array_less(np.abs(got - expected), 4 * error)
    np.testing.assert_allclose(run.zero_gradient_rate, 1 - got)


def test_observed_accuracy_is_unbiased_whatever_is_filtered() -> None:
    run = simulate(STILL, "mt_grpo", steps=60, batch_size=64, seed=2)
    mean = np.nansum(run.observed * run.generated, axis=0) / run.generated.sum(axis=0)
    np.testing.assert_array_less(
        np.abs(mean - run.accuracy[0]), 4 * 0.5 / np.sqrt(run.generated.sum(axis=0))
    )
    np.testing.assert_array_equal(run.accuracy[0], run.accuracy[-1])


def test_task_blind_filtering_distorts_the_shares_as_the_formula_says() -> None:
    run = simulate(STILL, "dapo", steps=300, batch_size=64)
    rates = dict(zip(STILL.names, acceptance(STILL, 8).tolist(), strict=True))
    expected = list(filtered_shares(dict.fromkeys(STILL.names, 1 / 3), rates).values())
    np.testing.assert_allclose(run.realized.mean(axis=0), expected, atol=0.01)
    assert max(expected) - min(expected) > 0.15  # the worlds' rates do differ


def test_ratio_preserving_sampler_keeps_the_shares() -> None:
    run = simulate(STILL, "grpo_rps", steps=60, batch_size=32)
    np.testing.assert_allclose(run.realized.mean(axis=0), 1 / 3, atol=0.005)
    assert run.shortfall.mean() < 0.2


def test_grpo_lets_the_hard_task_stagnate_and_mt_grpo_does_not() -> None:
    world = World.three_tasks()
    gains = []
    for seed in range(3):
        plain, ours = (
            simulate(world, name, steps=250, batch_size=32, group_size=16, seed=seed)
            for name in ("grpo", "mt_grpo")
        )
        gains.append(ours.worst_accuracy[-1] - plain.worst_accuracy[-1])
    assert min(gains) > 0.03


def test_strict_worst_task_weights_collapse() -> None:
    world = World.three_tasks()
    strict = simulate(world, "worst_task", steps=250, seed=0)
    soft = simulate(
        world, "mt_grpo_reg", steps=250, seed=0, weighting={"eta": 1e-2, "reward_scale": 0.2}
    )
    assert strict.weights.max() > 0.9
    assert soft.weights.max() < strict.weights.max()


def test_thresholds() -> None:
    run = simulate(World.three_tasks(), steps=40, batch_size=8)
    assert run.steps_to(0.0) == 0
    assert run.rollouts_to(0.0) == 0
    assert run.steps_to(1.0) is None
    level = float(run.worst_accuracy[20:].min())
    steps = run.steps_to(level)
    assert steps is not None
    assert run.rollouts_to(level) == run.rollouts[steps]


def test_objects_in_place_of_a_preset() -> None:
    shares = {"easy": 0.5, "middle": 0.5, "hard": 0.0}
    sampler = RatioPreservingSampler(group_filter="strict", max_resamples=3)
    run = simulate(STILL, steps=5, weighting=Fixed(shares), sampler=sampler)
    np.testing.assert_allclose(run.weights, [[0.5, 0.5, 0.0]] * 5)
    assert run.generated[:, 2].sum() == 0
    assert math.isnan(run.zero_gradient_rate[2])
    assert run.group_filter == "strict"


# ---- learning --------------------------------------------------------------------------------------------------------
def test_signals_are_the_advantages_of_the_core() -> None:
    right, own, wrong = group_signals(6)
    for c, w in [(1, 0), (3, 2), (5, 1), (0, 3), (6, 0), (0, 0), (0, 6), (2, 4)]:
        group = groups("t", (c, w), size=6)[0]
        advantages = group_advantages(group.rewards)
        code = group.payload
        assert right[code] == pytest.approx(sum(advantages[:c]) / 6, abs=1e-9)
        assert own[code] == pytest.approx(sum(advantages[c : c + w]) / 6, abs=1e-9)
        assert wrong[code] == pytest.approx(sum(advantages[c:]) / 6, abs=1e-9)


def test_learning_is_the_policy_gradient() -> None:
    """Against sampled prompts and completions, with the score function differentiated by hand."""
    task = SimulatedTask(
        "t", skill=-0.5, spread=1.5, learning_rate=1.0, floor=0.2, ceiling=0.9, format_skill=0.4
    )
    world, size, rng = World((task,)), 6, np.random.default_rng(0)
    rates, slopes = world.pass_rates(np.array([task.skill]))
    drawn = rng.integers(rates.shape[1], size=4000)
    total = 0.0
    for p, slope in zip(rates[0, drawn], slopes[0, drawn], strict=True):
        correct = rng.random(size) < p
        rewards = np.where(correct, 1.0, np.where(rng.random(size) < 0.4, 0.1, 0.0))
        score = np.where(correct, slope / p, -slope / (1 - p))
        total += float(np.mean(np.array(group_advantages(rewards.tolist())) * score))
    toy = policy(world, size)
    toy.learn(roll_out(toy, {"t": 20_000}), 1, "mean")
    assert toy.skill[0] - task.skill == pytest.approx(total / 4000, rel=0.05)


def test_pass_rates_and_their_slopes() -> None:
    world = World.random(seed=0, num_tasks=5)
    skill, h = world.array("skill"), 1e-5
    _, slopes = world.pass_rates(skill)
    numeric = (world.pass_rates(skill + h)[0] - world.pass_rates(skill - h)[0]) / (2 * h)
    np.testing.assert_allclose(slopes, numeric, atol=1e-8)


def test_outcomes_are_a_distribution_with_the_right_mean() -> None:
    toy = policy(World.nine_tasks(), 5)
    np.testing.assert_allclose(toy.outcomes.sum(axis=1), 1)
    np.testing.assert_allclose(toy.outcomes @ np.arange(6) / 5, toy.accuracy())
    np.testing.assert_allclose(np.exp(log_choose(5)), [1, 5, 10, 10, 5, 1])


def test_zero_gradient_groups_dilute() -> None:
    world = World((SimulatedTask("t"),))
    alone, diluted = policy(world), policy(world)
    before = alone.skill.copy()
    alone.learn(groups("t", (4, 0)), 1, "mean")
    diluted.learn(groups("t", (4, 0), (0, 0), (8, 0), (0, 8)), 1, "mean")
    assert diluted.skill[0] - before[0] == pytest.approx((alone.skill[0] - before[0]) / 4)


def test_all_wrong_groups_teach_format_alone() -> None:
    toy = policy(World((SimulatedTask("t"),)))
    skill, form = toy.skill.copy(), toy.format_logit.copy()
    toy.learn(groups("t", (0, 4)), 1, "mean")
    assert toy.skill == skill
    assert toy.format_logit > form


def test_transfer_and_forgetting() -> None:
    tasks = (SimulatedTask("a"), SimulatedTask("b"), SimulatedTask("c", forgetting=0.5))
    toy = policy(World(tasks, transfer=((1, 0.5, -0.25), (0, 1, 0), (0, 0, 1))))
    toy.skill = toy.skill + np.array([0, 0, 2.0])
    before = toy.skill.copy()
    toy.learn(groups("a", (4, 0)), 1, "mean")
    moved = toy.skill - before
    assert moved[0] > 0
    assert moved[1] == pytest.approx(moved[0] / 2)
    assert moved[2] == pytest.approx(-moved[0] / 4 - 0.5 * (2.0 - moved[0] / 4))


def test_improvements_by_mean_and_by_sum() -> None:
    world = World((SimulatedTask("a"), SimulatedTask("b")), improvement_noise=0.0)
    batch = groups("a", (4, 0), (4, 0), (4, 0)) + groups("b", (2, 0))
    (mean,), (total,) = policy(world).learn(batch, 1, "mean"), policy(world).learn(batch, 1, "sum")
    assert total["a"] == pytest.approx(mean["a"] * 3 * 8)
    assert total["b"] == pytest.approx(mean["b"] * 8)
    toy = policy(world)
    before = toy.skill.copy()
    toy.learn(batch, 1, "mean")
    signal = group_signals(8)[0][4 * 9]
    assert (
        mean["a"] >= signal * (toy.skill - before)[0] * 0.9
    )  # first order; the rest is the format's share
    improvements = toy.learn(batch, 4, "mean")
    assert sorted(task for part in improvements for task in part) == ["a", "a", "a", "b"]


def test_an_empty_batch_teaches_nothing() -> None:
    toy = policy(STILL)
    before = toy.skill.copy()
    assert toy.learn([], 2, "mean") == [{}, {}]
    np.testing.assert_array_equal(toy.skill, before)
    assert toy.draw({}) == ([], [])


# ---- worlds ----------------------------------------------------------------------------------------------------------
def test_worlds_are_shaped_like_the_paper() -> None:
    three, nine = World.three_tasks(), World.nine_tasks()
    rates = dict(zip(three.names, 1 - acceptance(three, 72), strict=True))
    assert rates["zebra-medium"] < 0.05
    assert rates["arc-medium"] == max(rates.values())
    rates = dict(zip(nine.names, 1 - acceptance(nine, 8), strict=True))
    assert rates["arc-hard"] > 0.8
    assert rates["arc-easy"] < rates["arc-medium"] < rates["arc-hard"]


def test_world_to_and_from_plain_values() -> None:
    for world in (World.nine_tasks(), World.random(seed=1, num_tasks=3)):
        assert World.from_dict(json.loads(json.dumps(world.as_dict()))) == world
    assert World.from_dict({"tasks": [{"name": "a"}]}) == World((SimulatedTask("a"),))
    for bad in (
        {},
        {"tasks": [{"skill": 1}]},
        {"tasks": [{"name": "a", "skil": 1}]},
        {"tasks": [{"name": "a", "skill": "x"}]},
        {"tasks": [{"name": "a"}], "noise": 1},
    ):
        with pytest.raises(ConfigError):
            World.from_dict(bad)


def test_worlds_that_cannot_be() -> None:
    for wrong in (
        {"floor": 1.0},
        {"ceiling": 0.0},
        {"spread": -1.0},
        {"format_skill": 0.0},
        {"forgetting": 2.0},
    ):
        with pytest.raises(ConfigError, match="SimulatedTask 'a'"):
            SimulatedTask("a", **wrong)
    with pytest.raises(ConfigError, match="more than once"):
        World((SimulatedTask("a"), SimulatedTask("a")))
    with pytest.raises(ConfigError, match=r"\(1, 1\) is needed"):
        World((SimulatedTask("a"),), transfer=((1.0, 0.0),))
    with pytest.raises(ConfigError, match="did you mean 'three_tasks'"):
        World.named("three_task")
    with pytest.raises(ConfigError, match="batch_size"):
        simulate(STILL, batch_size=30, updates_per_step=4)


# ---- sweeps ----------------------------------------------------------------------------------------------------------
def test_sweep_is_what_simulate_gives() -> None:
    table = sweep(
        STILL, "mt_grpo", "lam", [0.1, 1.0], seeds=[3, 4], steps=6, batch_size=8, threshold=0.01
    )
    assert table.accuracy.shape == (2, 2, 3)
    run = simulate(STILL, "mt_grpo", weighting={"lam": 1.0}, steps=6, batch_size=8, seed=4)
    assert table.rollouts[1, 1] == run.rollouts[-1]
    np.testing.assert_array_equal(table.accuracy[1, 1], run.accuracy[-1])
    assert [row["lam"] for row in table.rows()] == [0.1, 1.0]
    json.dumps(table.rows(), allow_nan=False)


@pytest.mark.parametrize(
    "parameter", ["max_resamples", "planner.max_inflation", "batch_size", "group_size"]
)
def test_sweep_over_other_parameters(parameter: str) -> None:
    values = [0, 8] if parameter == "max_resamples" else [4, 8]
    table = sweep(STILL, "mt_grpo", parameter, values, seeds=[0], steps=3, batch_size=8)
    assert len(set(table.rollouts.ravel().tolist())) == 2


def test_sweep_over_methods_and_in_processes() -> None:
    alone = sweep(STILL, "grpo", "preset", ["grpo", "dapo"], seeds=[0], steps=3, batch_size=8)
    shared = sweep(
        STILL, "grpo", "preset", ["grpo", "dapo"], seeds=[0], steps=3, batch_size=8, processes=2
    )
    np.testing.assert_array_equal(alone.rollouts, shared.rollouts)


def test_sweep_refuses_what_the_method_does_not_have() -> None:
    with pytest.raises(ConfigError, match="unknown parameter 'eta'"):
        sweep(STILL, "mt_grpo", "eta", [1.0])
    with pytest.raises(ConfigError, match=r"planner\.max_inflation"):
        sweep(STILL, "mt_grpo", "planner.max_inflation_", [1.0])
    with pytest.raises(ConfigError, match="0 values"):
        sweep(STILL, "mt_grpo", "lam", [])


# ---- fits ------------------------------------------------------------------------------------------------------------
def test_fit_recovers_a_known_world() -> None:
    truth = World(
        (
            SimulatedTask("a", skill=-2.0, spread=1.5, learning_rate=0.15),
            SimulatedTask("b", skill=-6.0, spread=4.0, learning_rate=0.6),
            SimulatedTask("c", skill=-2.0, spread=1.0, learning_rate=0.2, floor=0.2),
        )
    )
    run = simulate(truth, "mt_grpo", steps=300, batch_size=32, group_size=8)
    world = fit(run, floors={"c": 0.2})
    assert max(fit_errors(world, run).values()) < 0.12  # the noise of a step's own sample is in it
    for found, task in zip(world.tasks, truth.tasks, strict=True):
        assert found.spread == pytest.approx(task.spread, rel=0.35)
        assert found.learning_rate == pytest.approx(task.learning_rate, rel=0.35)
        assert found.skill == pytest.approx(task.skill, abs=0.35 * (1 + task.spread))
    # What it is for: the same question asked of the fitted world gets the true world's answer.
    for name in ("grpo", "dapo"):
        told, real = (
            simulate(w, name, steps=300, batch_size=32, seed=9).accuracy[-1] for w in (world, truth)
        )
        np.testing.assert_allclose(told, real, atol=0.06)


def test_fit_reads_a_run_directory(tmp_path) -> None:
    run = simulate(World.three_tasks(), "grpo", steps=60, batch_size=32)
    write_run(tmp_path, run)
    world = fit(read_run(tmp_path))
    direct = fit(run)
    assert world.names == run.tasks
    np.testing.assert_allclose(world.array("skill"), direct.array("skill"))
    np.testing.assert_allclose(world.array("format_skill"), 0.5, atol=0.01)


def test_guess_floors_come_from_the_run_and_from_the_user(tmp_path, capsys) -> None:
    run = simulate(World.three_tasks(), "grpo", steps=30, batch_size=16)
    write_run(tmp_path, run)
    first = run.tasks[0]
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    config["tasks"] = [
        {"rows": "missing.jsonl", "name": name, "floor": 0.1 * k}
        for k, name in enumerate(run.tasks)
    ]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    known = known_floors(read_run(tmp_path))
    assert known == pytest.approx({name: 0.1 * k for k, name in enumerate(run.tasks)})
    arguments = {
        "world": "",
        "presets": [],
        "variant": "default",
        "steps": 1,
        "batch_size": None,
        "group_size": None,
    }
    outcome = run_simulation(
        fit_to=str(tmp_path), floors=[f"{first}=0.05"], num_seeds=1, sweep_over=None, **arguments
    )
    assert outcome.world.array("floor") == pytest.approx([0.05, 0.1, 0.2])
    for wrong in ("zebra", f"{first}=half", "nobody=0.1", f"{first}=1.5"):
        assert main(["simulate", "--fit", str(tmp_path), "--floor", wrong]) == 2
        assert "floor" in capsys.readouterr().err
    assert main(["simulate", "--floor", "zebra=0.1"]) == 2


def test_guess_floors_of_the_embedded_tasks_are_known(tmp_path) -> None:
    world = World((dataclasses.replace(World.three_tasks().tasks[0], name="zebra-medium"),))
    run = simulate(world, "grpo", steps=8)
    write_run(tmp_path, run)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    config["tasks"] = [{"tiny": "zebra", "level": "medium"}]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert known_floors(read_run(tmp_path))["zebra-medium"] > 0


def test_fit_refuses_what_it_cannot_use(tmp_path) -> None:
    run = simulate(STILL, "grpo", steps=3, batch_size=8)
    with pytest.raises(RunError, match="at least 5"):
        fit(run)
    with pytest.raises(ConfigError, match="did you mean 'easy'"):
        fit(run, floors={"eazy": 0.1})
    with pytest.raises(ConfigError, match=r"\[0, 1\)"):
        fit(run, floors={"easy": 1.0})
    write_run(tmp_path, run)
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(RunError, match="group_size"):
        fit(read_run(tmp_path))


def test_acceptance_under_a_filter_on_format_is_left_aside() -> None:
    run = simulate(STILL, "mt_grpo", variant="paper", setting="nine_tasks", steps=6, batch_size=8)
    assert run.group_filter == "lenient"
    assert np.isnan(Observations.of_result(run).acceptance).all()


def test_least_squares_finds_a_line() -> None:
    x = np.linspace(0, 1, 20)
    found = least_squares(lambda point: point[0] + point[1] * x - (3 - 2 * x), np.zeros(2))
    np.testing.assert_allclose(found, [3, -2], atol=1e-4)


def write_run(path, run: SimulationResult) -> None:
    (path / "run.json").write_text(json.dumps({"version": 1, "tasks": list(run.tasks)}))
    (path / "config.yaml").write_text(
        f"group_size: {run.group_size}\nsampler: {{group_filter: {run.group_filter}}}\n"
    )
    with open(path / "metrics.jsonl", "w") as file:
        for t in range(run.steps):
            line: dict[str, float] = {
                "step": t + 1,
                "rollouts": int(run.rollouts[t + 1]),
                "elapsed_s": 0.0,
            }
            for k, name in enumerate(run.tasks):
                line[f"task/{name}/num_generated"] = int(run.generated[t, k])
                line[f"task/{name}/realized_ratio"] = float(run.realized[t, k])
                if run.generated[t, k]:
                    accuracy = float(run.observed[t, k])
                    line[f"task/{name}/accuracy"] = accuracy
                    line[f"task/{name}/reward"] = accuracy + 0.05 * (1 - accuracy)
                    line[f"task/{name}/acceptance_rate"] = float(
                        run.informative[t, k] / run.generated[t, k]
                    )
            file.write(json.dumps(line) + "\n")


# ---- figures ---------------------------------------------------------------------------------------------------------
def test_figures_can_be_drawn() -> None:
    pytest.importorskip("matplotlib")
    from mtgrpo.reports.simulation import comparison_figure, curves_figure, tradeoff_figure

    runs = [simulate(STILL, name, steps=5, batch_size=8) for name in ("grpo", "mt_grpo")]
    table = sweep(STILL, "mt_grpo", "lam", [0.1, 1.0], seeds=[0, 1], steps=3, batch_size=8)
    for figure in (curves_figure(runs[0]), comparison_figure(runs), tradeoff_figure(table)):
        png = io.BytesIO()
        figure.savefig(png, format="png")
        assert png.getvalue()[:4] == b"\x89PNG"
