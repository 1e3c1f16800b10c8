"""What ``mtgrpo simulate`` computes."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from mtgrpo.cli import main
from mtgrpo.runlog import read_run
from mtgrpo.simulation import World, least_rollouts, simulate
from mtgrpo.simulation.command import known_floors, run_simulation

from .worlds import write_run


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


def test_methods_are_held_against_the_least_possible(capsys) -> None:
    arguments = ["simulate", "three_tasks", "--steps", "12", "--preset", "grpo", "--preset", "dapo"]
    assert main(arguments) == 0
    page = capsys.readouterr().out
    assert "eta" in page
    assert "the least possible rollouts to a worst task of" in page

    outcome = run_simulation(
        world="three_tasks",
        fit_to=None,
        presets=["grpo", "dapo"],
        variant="default",
        steps=12,
        batch_size=None,
        group_size=None,
        num_seeds=1,
        sweep_over=None,
    )
    reached = min(outcome.runs[name][0].worst_accuracy[-1] for name in outcome.runs)
    assert outcome.common_accuracy == reached
    least = least_rollouts(outcome.world, reached, batch_size=32, group_size=8)
    grpo = outcome.runs["grpo"][0]
    assert outcome.efficiency["grpo"] == pytest.approx(least / grpo.rollouts_to(reached))


def test_probes_on_the_command_line(capsys) -> None:
    large = ["simulate", "three_tasks", "--steps", "3", "--group-size", "16", "--probes"]
    assert main([*large, "--preset", "grpo_fair"]) == 0
    assert main([*large, "--preset", "dapo"]) == 2
    assert "add rounds: one" in capsys.readouterr().err
    assert main([*large, "--sweep", "lam=0.1"]) == 2
    assert "--probes does not go with --sweep" in capsys.readouterr().err
