"""`mtgrpo tasks profile` on the embedded model: what is asked, what is written, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mtgrpo.cli import main
from mtgrpo.config import parse_config
from mtgrpo.jobs.profile import profile, profiled_run

TASKS = [{"tiny": "zebra", "level": "easy"}, {"tiny": "arc", "level": "hard"}]


def test_easy_and_hard_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text(
        json.dumps({"tasks": TASKS, "group_size": 4, "max_completion_length": 16})
    )
    out = tmp_path / "profile.json"
    source = str(tmp_path / "run.json")
    assert main(["tasks", "profile", source, "--num", "24", "--json", str(out)]) == 0

    written = json.loads(out.read_text())
    zebra, arc = written["tasks"]
    assert (zebra["name"], arc["name"]) == ("zebra-easy", "arc-hard")
    assert zebra["num_prompts"] == arc["num_prompts"] == 24
    # docs/embedded-model.md: .452 and .043, over 400 prompts
    assert 0.3 < zebra["accuracy"] < 0.6
    assert arc["accuracy"] < 0.2 < zebra["acceptance"]
    assert zebra["tokens"] < arc["tokens"] <= 16
    assert zebra["seconds"] > 0

    shown = capsys.readouterr().out
    assert "zebra-easy" in shown
    assert written["verdict"] in shown.replace("\n", " ")
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "profile.json"}


def test_the_same_seed_asks_the_same_prompts() -> None:
    run = parse_config({"tasks": TASKS[:1], "group_size": 2, "max_completion_length": 8}, "test")
    first, again = profile(run, num_prompts=6), profile(run, num_prompts=6)
    assert first.tasks[0].accuracy == again.tasks[0].accuracy


def test_graded_tasks_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"prompt": f"say {i % 3}:", "answer": str(i % 3)} for i in range(6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "own.py").write_text(
        "def length(completions, **columns):\n    return [len(c) / 20 for c in completions]\n"
    )
    reward = f"{tmp_path / 'own.py'}:length"
    graded = {"rows": str(tmp_path / "rows.jsonl"), "name": "say", "reward": reward}
    run = {"group_size": 2, "max_completion_length": 8}
    source = tmp_path / "run.json"

    source.write_text(json.dumps({**run, "tasks": [TASKS[0], graded]}))
    assert main(["tasks", "profile", str(source), "--num", "4"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "say: graded by its rewards alone, so it has no profile" in shown

    source.write_text(json.dumps({**run, "tasks": [graded]}))
    monkeypatch.setattr("mtgrpo.jobs.profile.make_model", lambda _: pytest.fail("a model is made"))
    assert main(["tasks", "profile", str(source), "--num", "4"]) == 2
    assert "all tasks (say) are graded" in " ".join(capsys.readouterr().err.split())


def test_a_model_with_tasks_of_its_own_needs_no_configuration() -> None:
    assert len(profiled_run("tiny").tasks) == 9
    assert profiled_run("smollm2").model == "smollm2"
    assert profiled_run("demo", model="elsewhere").model == "elsewhere"


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no such file"),
        (["demo", "--set", "group_size=1"], "group_size"),
        (["demo", "--set", "tasks=[{tiny: zebra, level: weird}]"], "weird"),
    ],
)
def test_wrong_input_is_one_line_and_loads_no_model(
    arguments: list[str], words: str, error_line: Callable[[], str]
) -> None:
    assert main(["tasks", "profile", *arguments]) == 2
    assert words in error_line()
