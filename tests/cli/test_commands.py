"""The command line as a stranger meets it: bad input is one line and exit code 2, before a model is loaded."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtgrpo import __version__
from mtgrpo.cli import main
from mtgrpo.errors import ConfigError
from mtgrpo.presets import NAMES

Config = dict[str, Any]


def base_config(folder: Path) -> Config:
    rows = folder / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"prompt": f"say {i}", "answer": str(i)}) + "\n" for i in range(20))
    )
    (folder / "my_reward.py").write_text(
        "def exact(completions, answer, **columns):\n"
        "    return [float(c.strip() == a) for c, a in zip(completions, answer)]\n"
    )
    return {
        "output": str(folder / "run"),
        "tasks": [
            {"tiny": "zebra", "level": "easy"},
            {
                "rows": str(rows),
                "name": "say",
                "reward": f"{folder / 'my_reward.py'}:exact",
                "test_fraction": 0.2,
            },
        ],
        "steps": 2,
        "batch_size": 4,
        "group_size": 4,
    }


def jsonl(folder: Path, text: str) -> str:
    path = folder / "other.jsonl"
    path.write_text(text)
    return str(path)


def binary(folder: Path) -> str:
    path = folder / "binary.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    return str(path)


def python(folder: Path, text: str) -> str:
    path = folder / "other_reward.py"
    path.write_text(text + "\n")
    return f"{path}:exact"


def set_task(key: str, value: object) -> Callable[[Config, Path], None]:
    def change(config: Config, folder: Path) -> None:
        config["tasks"][1][key] = value(folder) if callable(value) else value

    return change


def set_key(key: str, value: object) -> Callable[[Config, Path], None]:
    def change(config: Config, folder: Path) -> None:
        config[key] = value

    return change


FAULTS: dict[str, tuple[Callable[[Config, Path], None], list[str]]] = {
    "unknown key": (
        set_key("batchsize", 3),
        ["unknown key 'batchsize'", "did you mean 'batch_size'"],
    ),
    "wrong type": (set_key("steps", "ten"), ["steps", "'ten' is text"]),
    "unknown task kind": (
        lambda c, f: c["tasks"].append({"tinny": "zebra"}),
        ["tasks[2]", "'tinny'"],
    ),
    "unknown task": (
        lambda c, f: c["tasks"].append({"tiny": "zebr", "level": "easy"}),
        ["tasks[2]", "'zebr'"],
    ),
    "unknown dataset": (
        lambda c, f: c["tasks"].append({"reasoning_gym": "zebra_puzles"}),
        ["zebra_puzles", "did you mean 'zebra_puzzles'"],
    ),
    "duplicate names": (set_task("name", "zebra-easy"), ["zebra-easy"]),
    "reward module": (set_task("reward", "no_such_module:f"), ["no_such_module"]),
    "reward attribute": (set_task("reward", "math:nothing_there"), ["nothing_there"]),
    "missing column": (set_task("prompt", "question"), ["question", "prompt"]),
    "missing file": (set_task("rows", "no/such/file.jsonl"), ["no/such/file.jsonl"]),
    "empty dataset": (set_task("rows", lambda f: jsonl(f, "")), ["other.jsonl"]),
    "bad JSON": (
        set_task("rows", lambda f: jsonl(f, '{"prompt": "a"}\n{"prompt": \n')),
        ["other.jsonl:2"],
    ),
    "no text file": (set_task("rows", lambda f: binary(f)), ["binary.jsonl", "cannot be read"]),
    "a directory": (set_task("rows", lambda f: str(f)), ["a directory"]),
    "reward that breaks": (
        set_task("reward", lambda f: python(f, "raise RuntimeError('first\\nsecond')")),
        ["RuntimeError: first second"],
    ),
    "no reward function": (
        set_task("reward", lambda f: python(f, "exact = 3")),
        ["exact is a int"],
    ),
    "no import path": (set_task("reward", "math"), ["'math' is no import path", "module:function"]),
    "unknown weighting key": (
        set_key("weighting", {"temprature": 1.0}),
        ["weighting", "did you mean 'temperature'"],
    ),
    "weights of other tasks": (
        set_key("weighting", {"rule": "fixed", "weights": {"zebra-easy": 1.0}}),
        ["weights for ['zebra-easy']", "'say'"],
    ),
    "negative seed": (set_key("seed", -1), ["seed: -1"]),
    "no number": (set_key("learning_rate", float("nan")), ["learning_rate: nan"]),
    "group size": (set_key("group_size", 1), ["group_size: 1"]),
    "does not divide": (set_key("updates_per_step", 3), ["batch_size: 4", "updates_per_step: 3"]),
    "TRL field": (
        set_key("trl", {"temprature": 0.5}),
        ["temprature", "did you mean 'temperature'"],
    ),
    "type of a TRL field": (
        set_key("trl", {"temperature": "hot"}),
        ["trl.temperature", "'hot' is text"],
    ),
    "managed TRL field": (set_key("trl", {"max_steps": 5}), ["trl.max_steps"]),
}


def overlap(config: Config, folder: Path) -> None:
    config["tasks"][1].pop("test_fraction")
    config["tasks"][1]["test"] = config["tasks"][1]["rows"]


FAULTS["overlapping rows"] = (overlap, ["say 0"])


def leak(config: Config, folder: Path) -> None:
    """A test prompt of the second task among the training rows of a third."""
    other = folder / "leaking.jsonl"
    other.write_text((folder / "rows.jsonl").read_text())
    task = {**config["tasks"][1], "rows": str(other), "name": "leaking"}
    task.pop("test_fraction")
    config["tasks"].append(task)


FAULTS["test prompt trained on by another task"] = (
    leak,
    ["'leaking', train row", "is test row", "of task 'say'", "take it out of one of them"],
)


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import PreTrainedModel

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", refuse)


@pytest.mark.parametrize("name", sorted(FAULTS))
@pytest.mark.usefixtures("no_model")
def test_bad_input_is_one_line_and_exit_code_2(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, parts = FAULTS[name]
    config = base_config(tmp_path)
    change(config, tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    assert main(["train", str(path)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"error: {path}: ")
    assert "\n" not in error
    for part in parts:
        assert part in error, error
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_model")
def test_errors_say_what_the_command_line_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(base_config(tmp_path)))
    change = ["--set", "tasks.1.rows=none.jsonl", "--set", "steps=3"]
    started = f"{path} (with --set tasks.1.rows, steps): tasks[1] ('say'): "

    for command in (["train"], ["train", "--dry-run"], ["tasks", "list"], ["tasks", "profile"]):
        assert main([*command, str(path), *change]) == 2
        assert capsys.readouterr().err.startswith(f"error: {started}"), command

    assert main(["tasks", "profile", str(path), *change, "--model", "none"]) == 2
    with_model = f"{path} (with --set tasks.1.rows, steps, --model none): tasks[1] ('say'): "
    assert capsys.readouterr().err.startswith(f"error: {with_model}")

    path.write_text(yaml.safe_dump({**base_config(tmp_path), "tasks": [{"rows": "none.jsonl"}]}))
    assert main(["tasks", "profile", str(path), "--model", "none"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path} (with --model none): tasks[0]"), "not the model's fault"


def test_a_model_that_cannot_be_is_blamed_on_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**base_config(tmp_path), "model": str(tmp_path / "none")}))

    for command in (["train"], ["train", "--dry-run"], ["eval"]):
        assert main([*command, str(path)]) == 2
        assert f"error: {path}: model: " in capsys.readouterr().err, command

    sound = tmp_path / "sound.yaml"
    sound.write_text(yaml.safe_dump(base_config(tmp_path)))
    assert main(["tasks", "profile", str(sound), "--model", "none"]) == 2
    blamed = f"error: {sound} (with --model none): model: 'none' cannot be loaded"
    assert blamed in capsys.readouterr().err

    assert main(["eval", str(sound), "--model", "none"]) == 2
    blamed = f"error: {sound} (with model none): model: 'none' cannot be loaded"
    assert blamed in capsys.readouterr().err


@pytest.mark.usefixtures("no_model")
def test_a_model_that_cannot_be_made_is_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mtgrpo.jobs import profile, run

    def damaged(name: str) -> None:
        raise ConfigError(f"model: {name!r}: damaged in the cache")

    monkeypatch.setattr(profile, "make_model", damaged)
    monkeypatch.setattr(run, "make_model", damaged)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(base_config(tmp_path)))

    for command in (["train"], ["eval"], ["tasks", "profile"]):
        assert main([*command, str(path)]) == 2
        assert f"error: {path}: model: 'tiny': damaged" in capsys.readouterr().err, command
    assert main(["eval", str(path), "--model", "other"]) == 2
    assert f"error: {path} (with model other): model: 'other': dam" in capsys.readouterr().err


def test_an_adapter_that_cannot_be_is_blamed_on_the_file_for_another_model_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("peft")
    path = tmp_path / "config.yaml"
    peft = {"r": 4, "target_modules": ["nowhere"]}
    path.write_text(yaml.safe_dump({**base_config(tmp_path), "peft": peft}))
    assert main(["eval", str(path), "--model", "tiny"]) == 2
    assert f"error: {path} (with model tiny): peft" in capsys.readouterr().err


@pytest.mark.usefixtures("no_model")
def test_dry_run_prints_the_plan_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = base_config(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    assert main(["train", str(path), "--dry-run"]) == 0
    text = capsys.readouterr().out
    for part in (
        "say",
        "zebra-easy",
        "grpo_fair",
        "16 rows",
        "rollouts per step",
        "total per process",
    ):
        assert part in text
    assert not (tmp_path / "run").exists()


def test_list_show_and_check_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = base_config(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    assert main(["tasks", "list"]) == 0
    assert "reasoning_gym" in capsys.readouterr().out
    assert main(["tasks", "list", str(path)]) == 0
    assert "say" in capsys.readouterr().out
    assert main(["tasks", "show", str(path), "--task", "zebra-easy", "--num", "1"]) == 0
    assert "reward 1, accuracy 1" in capsys.readouterr().out
    assert main(["tasks", "check", str(path), "--num", "5"]) == 0
    assert main(["tasks", "show", str(path), "--task", "zebra"]) == 2
    assert "zebra-easy" in capsys.readouterr().err


def test_rows_are_shown_with_what_rewards_see(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "2+2?"}]
    rows = tmp_path / "sums.jsonl"
    rows.write_text(json.dumps({"prompt": chat, "answer": "4\x1b[2J", "level": 3}) + "\n")
    (tmp_path / "my.py").write_text("def right(completions, **columns):\n    return [0.0]\n")
    task = {"name": "sums", "rows": str(rows), "reward": f"{tmp_path / 'my.py'}:right"}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**base_config(tmp_path), "tasks": [task]}))

    assert main(["tasks", "show", str(path), "--num", "1"]) == 0

    assert capsys.readouterr().out.splitlines()[1:] == [
        "system: Be short.",
        "user: 2+2?",
        "answer: '4\\x1b[2J'",
        "level: 3",
    ]


def test_the_oracle_of_a_chat_is_shown_with_its_worth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.py").write_text(
        "from mtgrpo.tasks import Task\n"
        "ROWS = [{'prompt': [{'role': 'user', 'content': '2+2?'}], 'answer': '4'}]\n"
        "def right(completions, answer, **columns):\n"
        "    return [float(c[0]['content'] == a) for c, a in zip(completions, answer)]\n"
        "def make():\n"
        "    return Task('sums', ROWS, [], right, 1.0, oracle=lambda row: row['answer'])\n"
    )
    path = tmp_path / "config.yaml"
    task = {"task": f"{tmp_path / 'my.py'}:make"}
    path.write_text(yaml.safe_dump({**base_config(tmp_path), "tasks": [task]}))

    assert main(["tasks", "show", str(path), "--num", "1"]) == 0
    assert "reward 1, accuracy 1" in capsys.readouterr().out


def test_presets_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(NAMES)
    assert main(["presets", "mt_grpo", "--variant", "released"]) == 0
    assert "optimizer: adam" in capsys.readouterr().out
    assert main(["presets", "mt"]) == 2


def test_simulate_shows_methods_and_sweeps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--preset", "grpo", "--preset", "mt_grpo", "--steps", "20"]) == 0
    assert "mt_grpo" in capsys.readouterr().out
    figure = tmp_path / "sweep.png"
    assert (
        main(["simulate", "--sweep", "lam=0.1,0.4", "--steps", "20", "--figure", str(figure)]) == 0
    )
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert main(["simulate", "--sweep", "lam"]) == 2
    assert "lam=0.1,0.2,0.4" in capsys.readouterr().err
    assert main(["simulate", "three_taks"]) == 2


def test_files_that_are_not_there_are_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world, study = tmp_path / "world.yaml", tmp_path / "study.json"

    assert main(["simulate", str(world)]) == 2
    assert capsys.readouterr().err == (
        f"error: {world}: no such file; give a world's YAML file, three_tasks or nine_tasks\n"
    )
    assert main(["report", str(study)]) == 2
    assert capsys.readouterr().err == (
        f"error: {study}: cannot be read as results of a study (No such file or directory)\n"
    )


def test_reports_of_nothing_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_version_and_missing_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"mtgrpo {__version__}, torch ")
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("resume runs/x", "unknown command 'resume'; write: mtgrpo train --resume runs/x"),
        ("check 'my c.yaml'", "unknown command 'check'; write: mtgrpo tasks check 'my c.yaml'"),
        ("trian demo", "unknown command 'trian' (did you mean 'train'?); allowed: compare, doctor"),
    ],
)
def test_an_unknown_command_names_the_one_that_is_meant(
    command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shlex.split(command)) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: mtgrpo: {message}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["study", "three_tasks", "--seeds", "0,a"], "'0,a'; whole numbers separated by commas"),
        (["study", "three_tasks", "--jobs", "0"], "'0'; a whole number of at least 1 is needed"),
        (["tasks", "show", "demo", "--num", "-1"], "'-1'; a whole number of at least 1 is needed"),
        (["tasks", "show", "demo", "--num", "x"], "'x'; a whole number of at least 1 is needed"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(
    command: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_an_output_is_a_path_whatever_yaml_would_make_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for output in ("1e5", "2024-01-01", "null", "a: b", "[x]"):
        assert main(["train", "demo", "--dry-run", "--output", output]) == 0
        assert f"output  {output} (new)\n" in capsys.readouterr().out


@pytest.mark.usefixtures("no_model")
def test_a_result_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mtgrpo.jobs import run

    monkeypatch.setattr(run, "evaluate", lambda *_, **__: {"title": "t", "tasks": {}})
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file" / "result.json", tmp_path):
        assert main(["eval", "demo", "--json", str(target)]) == 2
        error = capsys.readouterr().err
        assert f"{target}: cannot be written" in error
        assert error.count("\n") == 1
    assert main(["eval", "demo", "--json", str(tmp_path / "new" / "result.json")]) == 0
    assert json.loads((tmp_path / "new" / "result.json").read_text())["title"] == "t"


@pytest.mark.usefixtures("no_model")
def test_eval_of_a_run_measures_what_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtgrpo.config import load_config
    from mtgrpo.jobs import run
    from mtgrpo.runlog import RunLog

    with RunLog.create(tmp_path / "run", ["a"]) as log:
        log.write_config(load_config("demo", ["learning_rate=0.5"]).as_dict())
        log.write_summary({"status": "finished"})
    (tmp_path / "run" / "model").mkdir()

    measured: list[tuple[float, str | None]] = []

    def evaluate(run, *, model):  # type: ignore[no-untyped-def]
        measured.append((run.learning_rate, model))
        return {"title": "t", "tasks": {}}

    monkeypatch.setattr(run, "evaluate", evaluate)
    assert main(["eval", str(tmp_path / "run")]) == 0
    assert main(["eval", str(tmp_path / "run"), "--model", "tiny"]) == 0
    assert main(["eval", "demo"]) == 0
    assert [model for _, model in measured] == [str(tmp_path / "run" / "model"), "tiny", None]
    assert measured[0][0] == 0.5
