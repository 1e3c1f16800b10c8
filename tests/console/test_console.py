"""What a terminal is shown: hostile text as text, written out where it would move the cursor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from mtgrpo.cli import main
from mtgrpo.config import parse_config
from mtgrpo.console import output, study, tasks, training
from mtgrpo.evidence.table import Table
from mtgrpo.tasks import Generation, Task, each
from mtgrpo.values import printable

HOSTILE = "\x1b[31mred\x1b]0;title\x07 \x9b1m [bold]b[/bold] [/] \u202egnirts \ud800 \r\x00"
HARMFUL = "\x1b\x07\x9b\u202e\ud800\r\x00\u2028\u2066\x7f\x08"


def assert_harmless(text: str) -> None:
    assert not set(HARMFUL) & set(text), ascii(text)
    for part in ("\\x1b[31mred", "[bold]b[/bold]", "[/]", "\\u202egnirts", "\\ud800"):
        assert part in text.replace("\n", ""), ascii(text)


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(output.console, "_width", 500)
    return lambda: capsys.readouterr().out


def test_printable_keeps_what_is_text() -> None:
    assert printable("é漢👩‍🔬 [a] \\x1b") == "é漢👩‍🔬 [a] \\x1b"
    assert printable("a\n\tb") == "a\\n\\tb"
    assert printable("a\n\tb\r", lines=True) == "a\n\tb\\r"
    assert printable(Path("x")) == "x"
    assert not set(HARMFUL) & set(printable(HARMFUL))


def test_prompts_names_and_oracles(shown) -> None:  # type: ignore[no-untyped-def]
    rows = [{"prompt": f"{HOSTILE}\nsecond line"}]
    task = Task("a [/]", rows, [], each(lambda text, row: 1.0), oracle=lambda row: HOSTILE)
    tasks.show_tasks([task], 1)
    text = shown()
    assert_harmless(text)
    assert "\nsecond line\n" in text
    tasks.tasks_table([task])
    assert "a [/]" in shown()
    tasks.problems_table({HOSTILE: [HOSTILE]})
    assert_harmless(shown())
    tasks.kinds_table({"kind": HOSTILE})
    assert_harmless(shown())


def test_settings_of_a_task_are_shown_where_there_are_some(shown) -> None:  # type: ignore[no-untyped-def]
    rows = [{"prompt": "p"}]
    plain = Task("a", rows, [], each(lambda text, row: 1.0))
    cold = Task("b", rows, [], each(lambda text, row: 1.0), generation=Generation(0.5))
    tasks.tasks_table([plain])
    assert "generation" not in shown()
    tasks.tasks_table([plain, cold])
    assert "temperature 0.5" in shown()
    tasks.show_tasks([plain, cold], 1)
    assert "b: temperature 0.5" in shown()


def test_an_oracle_may_do_with_its_row_what_it_likes(shown) -> None:  # type: ignore[no-untyped-def]
    def oracle(row):  # type: ignore[no-untyped-def]
        return str(row.pop("steps").pop())

    rows = [{"prompt": "p", "steps": [1, 2]}]
    task = Task("a", rows, [], each(lambda text, row: float(text == "2")), oracle=oracle)
    tasks.show_tasks([task], 1)
    assert "oracle: 2\nreward 1" in shown()
    assert rows == [{"prompt": "p", "steps": [1, 2]}]


def test_titles_and_heads_of_tables(shown) -> None:  # type: ignore[no-untyped-def]
    row = {"accuracy": 0.5, "std_error": 0.1, "reward": 0.5, "num_prompts": 4}
    training.evaluation_table({"title": f"model {HOSTILE}", "tasks": {"a": row}})
    assert_harmless(shown())
    training.evaluation_table({"title": HOSTILE, "tasks": {}})
    assert_harmless(shown())
    training.evaluation_table({"tasks": {HOSTILE: row}})
    assert_harmless(shown())
    study.study_table(Table(HOSTILE, (HOSTILE,), ((HOSTILE,),), HOSTILE))
    assert_harmless(shown())
    training.plan_table({"run": [("model", HOSTILE)]})
    assert_harmless(shown())


def test_the_lines_of_a_run(shown) -> None:  # type: ignore[no-untyped-def]
    run = parse_config({"tasks": [{"tiny": "zebra", "level": "easy"}]}, "test")
    with training.TrainingDisplay(run) as display:
        display.message(HOSTILE)
        metrics = {
            f"task/{HOSTILE}/weight": 0.5,
            "sampler/rounds": 2.0,
            "sampler/groups_generated": 9.0,
            "sampler/shortfall": 3.0,
        }
        display.step(1, metrics, {HOSTILE: 0.25})
        display.step(2, metrics, {})
    display.finish({"accuracy_before": {HOSTILE: 0.0}, "accuracy_after": {HOSTILE: 0.5}})
    text = shown()
    assert_harmless(text)
    assert "25.0 % (weight 0.50)  mean 25.0 %  rounds 2  groups 9  short by 3" in text
    assert "step    2  no group could be scored" in text
    assert "+50.0" in text


def test_a_prompt_of_a_file_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    lines = [{"prompt": f"{i} {HOSTILE}", "answer": "a"} for i in range(4)]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "my_reward.py").write_text(
        "def fails(completions, **columns):\n    raise ValueError('\\x1b[2J bad')\n"
    )
    task = {"rows": str(rows), "name": "own", "reward": f"{tmp_path / 'my_reward.py'}:fails"}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"tasks": [task], "output": str(tmp_path / "run")}))
    assert main(["tasks", "show", str(config)]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert main(["tasks", "check", str(config)]) == 2
    text = capsys.readouterr().out
    assert "bad" in text
    assert "\x1b" not in text


def test_an_error_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "no/such\x1b[31m\nfile"]) == 2
    error = capsys.readouterr().err
    assert "no/such\\x1b[31m file" in error
    assert "\x1b" not in error
    assert error.count("\n") == 1
