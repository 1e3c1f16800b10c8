"""Where a run goes on: in the directory given, from the newest checkpoint that is its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtgrpo.config import ResolvedRun, parse_config
from mtgrpo.errors import RunError
from mtgrpo.jobs.display import Silent
from mtgrpo.jobs.resume import check_same_run
from mtgrpo.jobs.run import train as run_job
from mtgrpo.runlog import checkpoints, load_state, save_state
from mtgrpo.runlog.continuity import LogEnd

from .conftest import contents, train


def reseal(checkpoint: Path) -> None:
    """Declare a changed checkpoint whole, and of the run it was of."""
    file = checkpoint / checkpoints.SEAL_FILE
    seal = load_state(file)
    file.unlink()
    checkpoints.seal(checkpoint, seed=seal["seed"], log=LogEnd.from_dict(seal["log"]))


def spoil(checkpoint: Path, file: str, change: Callable[[Any], None]) -> None:
    """Change what a file of a checkpoint says, and seal it again."""
    path = checkpoint / file
    if file == "mixer.json":
        state = load_state(path)
        change(state)
        save_state(path, state)
    else:
        state = json.loads(path.read_text())
        change(state)
        path.write_text(json.dumps(state))
    reseal(checkpoint)


# ---- the directory ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("source", ["", "config.yaml"])
def test_a_copied_run_goes_on_in_the_copy_and_leaves_the_original_alone(
    source: str, finished: Path, ended: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(finished)
    assert train(ended / source, "--resume") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{ended}: its configuration names {finished}; going on in {ended}" in printed
    assert contents(finished) == before
    assert json.loads((ended / "summary.json").read_text())["status"] == "finished"
    assert yaml.safe_load((ended / "config.yaml").read_text())["output"] == str(ended)

    assert train(ended / source, "--resume") == 0
    printed = capsys.readouterr().out
    assert "already finished" in printed
    assert "its configuration names" not in printed


def test_a_run_that_was_moved_is_found_where_it_is(
    ended: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = ended.rename(ended.with_name("moved"))
    assert train(moved, "--resume") == 0
    assert (moved / "model").is_dir()
    assert not ended.exists()
    capsys.readouterr()


def test_the_output_that_is_stated_wins_over_the_directory(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(finished)
    for number, more in enumerate((["--output"], ["--set"])):
        other = tmp_path / f"1e{number}"  # which YAML would take for a number
        value = str(other) if more == ["--output"] else f"output={other}"
        assert train(finished, *more, value, "--set", "steps=1") == 0
        assert (other / "model").is_dir()
    assert contents(finished) == before
    capsys.readouterr()


# ---- the checkpoint --------------------------------------------------------------------------------------------------
def renamed(run: Path, tmp_path: Path) -> None:
    (run / "checkpoints" / "checkpoint-4").rename(run / "checkpoints" / "checkpoint-9")


def of_another_seed(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert train(run, "--output", str(other), "--set", "seed=5") == 0
    shutil.rmtree(run / "checkpoints" / "checkpoint-4")
    shutil.copytree(other / "checkpoints" / "checkpoint-4", run / "checkpoints" / "checkpoint-4")


def state_without(key: str) -> Callable[[Path, Path], None]:
    def spoiled(run: Path, tmp_path: Path) -> None:
        spoil(run / "checkpoints" / "checkpoint-4", "mixer.json", lambda state: state.pop(key))

    return spoiled


def of_another_batch(run: Path, tmp_path: Path) -> None:
    folder = run / "checkpoints"
    shutil.copy(folder / "checkpoint-2" / "mixer.json", folder / "checkpoint-4" / "mixer.json")
    reseal(folder / "checkpoint-4")


def with_groups_of_two(run: Path, tmp_path: Path) -> None:
    def change(state: dict[str, Any]) -> None:
        group = ["zebra-easy", [0.0, 1.0], [0.0, 1.0], 7]
        state["mixer"]["sampler"]["bank"]["kept"] = [[3, *group]]

    spoil(run / "checkpoints" / "checkpoint-4", "mixer.json", change)


def with_nonsense(run: Path, tmp_path: Path) -> None:
    def change(state: dict[str, Any]) -> None:
        state["mixer"]["weighting"] = []

    spoil(run / "checkpoints" / "checkpoint-4", "mixer.json", change)


def without_a_step(run: Path, tmp_path: Path) -> None:
    spoil(
        run / "checkpoints" / "checkpoint-4",
        "trainer_state.json",
        lambda state: state.update(global_step=None),
    )


MISFITS: dict[str, tuple[Callable[[Path, Path], None], int, str]] = {
    "renamed": (renamed, 9, "step 4"),
    "another seed": (of_another_seed, 4, "seed"),
    "no streams": (state_without("streams"), 4, "KeyError: 'streams'"),
    "another batch": (of_another_batch, 4, "is of batch 2"),
    "another group size": (with_groups_of_two, 4, "groups of 2 completions"),
    "nonsense": (with_nonsense, 4, "its contents make no sense"),
    "no step": (without_a_step, 4, "trainer_state.json is of step None"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_sealed_checkpoint_that_is_not_the_runs_own_is_passed_over_by_name(
    name: str, finished: Path, ended: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, step, reason = MISFITS[name]
    change(ended, tmp_path)
    capsys.readouterr()
    assert train(ended, "--resume") == 0
    printed = " ".join(capsys.readouterr().out.split())
    bad = ended / "checkpoints" / f"checkpoint-{step}"
    assert f"{bad}: " in printed
    assert reason in printed
    assert "going back to checkpoint-2" in printed
    assert f"resuming from {ended / 'checkpoints' / 'checkpoint-2'}" in printed
    last = "checkpoints/checkpoint-4/mixer.json"
    assert (ended / last).read_bytes() == (finished / last).read_bytes()
    weights = "model/model.safetensors"
    assert (ended / weights).read_bytes() == (finished / weights).read_bytes()


@pytest.mark.usefixtures("no_model")
def test_without_a_checkpoint_of_its_own_a_run_is_refused_and_left_as_it_is(
    ended: Path, error_line: Callable[[], str]
) -> None:
    for step in (2, 4):
        spoil(
            ended / "checkpoints" / f"checkpoint-{step}",
            "mixer.json",
            lambda state: state["streams"]["zebra-easy"].update(seed=99),
        )
    before = contents(ended)
    assert train(ended, "--resume") == 2
    line = error_line()
    assert str(ended / "checkpoints" / "checkpoint-4") in line
    assert "seed" in line
    assert "no checkpoint of this run can be used (2 tried)" in line
    assert contents(ended) == before, "no stray summary, no other trace"


# ---- the configuration -----------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("group_size=2", ["group_size=4, now 2", "resume with the same configuration"]),
        ("group_size=8", ["group_size=4, now 8"]),
        ("batch_size=8", ["batch_size=4, now 8"]),
        ("weighting.gap=0.1", ["started with weighting.gap=None, now 0.1 (1 key"]),
        (
            "evaluation.samples_per_prompt=4",
            ["evaluation.samples_per_prompt=2, now 4", "mtgrpo eval"],
        ),
        ("evaluation.prompts_per_task=8", ["would not be comparable", "mtgrpo eval"]),
        ("evaluation.seed=8", ["evaluation.seed=1234, now 8", "mtgrpo eval"]),
    ],
)
def test_what_must_be_equal_is_named_before_a_model_is_loaded(
    change: str, parts: list[str], ended: Path, error_line: Callable[[], str]
) -> None:
    before = contents(ended)
    assert train(ended, "--resume", "--set", change) == 2
    line = error_line()
    for part in (str(ended), *parts):
        assert part in line, line
    assert contents(ended) == before


def test_how_long_and_how_closely_may_change(ended: Path) -> None:
    changes = ("steps=6", "evaluation.every=1", "checkpoint.every=3")
    assert train(ended, "--resume", *(part for c in changes for part in ("--set", c))) == 0
    lines = (ended / "evaluations.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 4, 5, 6]


def test_a_run_goes_on_with_other_tasks_and_names_each_change(
    ended: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = "tasks=[{tiny: zebra, level: easy}, {tiny: arc, level: easy, from_step: 5}]"
    assert train(ended, "--resume", "--set", tasks, "--set", "steps=6") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "tasks: {level: easy, tiny: countdown} is not there any more" in printed
    assert "tasks: {tiny: arc, level: easy, from_step: 5} is new" in printed

    changes = [json.loads(line) for line in (ended / "changes.jsonl").read_text().splitlines()]
    names = [(line["step"], line["change"]) for line in changes]
    assert names == [(5, "left"), (6, "joined")]
    for line in changes:
        assert f"step {line['step']}: task '{line['task']}' {line['change']} (" in printed

    last = json.loads((ended / "metrics.jsonl").read_text().splitlines()[-1])
    trained = {name for name in last if name.startswith("task/") and name.endswith("/weight")}
    assert len(trained) == 2
    assert not any("countdown" in name for name in last)


@pytest.mark.parametrize(("was", "is_now"), [(0.1, 0.2), (0.2, None), (None, 0.1)])
def test_rows_are_not_divided_otherwise(
    was: float | None, is_now: float | None, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"prompt": "say {i}"}}\n' for i in range(40)))
    (tmp_path / "own.py").write_text("def one(completions, **_):\n    return [1.0]\n")
    rows = {
        "rows": str(tmp_path / "rows.jsonl"),
        "name": "say",
        "reward": f"{tmp_path / 'own.py'}:one",
    }

    def run(fraction: float | None, **more: Any) -> ResolvedRun:
        own = {} if fraction is None else {"test_fraction": fraction}
        return parse_config({"tasks": [{**rows, **own, **more}], "output": str(tmp_path)}, "test")

    (tmp_path / "config.yaml").write_text(yaml.safe_dump(run(was).as_dict()))
    with pytest.raises(RunError, match=r"tasks\[0\].test_fraction=.* could become test rows"):
        check_same_run(tmp_path, run(is_now))

    assert check_same_run(tmp_path, run(was)) == []
    assert len(check_same_run(tmp_path, run(was, floor=0.1))) == 2
    assert len(check_same_run(tmp_path, run(is_now, name="another"))) == 2


def test_resuming_where_there_is_no_run_says_that_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told(Silent):
        def message(self, text: str) -> None:
            told.append(text)

    def stop(*arguments: Any) -> None:
        raise RunError("as far as this")

    told: list[str] = []
    monkeypatch.setattr("mtgrpo.jobs.run._run_log", stop)
    config = {"tasks": [{"tiny": "zebra", "level": "easy"}], "output": str(tmp_path / "run")}
    for resume in (False, True):
        with pytest.raises(RunError, match="as far as this"):
            run_job(parse_config(config, "test"), resume=resume, display=Told())
    assert told == [f"{tmp_path / 'run'}: no run to resume there; starting one"]
