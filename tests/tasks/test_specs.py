from pathlib import Path
from typing import Any

import pytest

from mtgrpo.errors import ConfigError
from mtgrpo.tasks import Task, build_task, build_tasks, kinds

DATA = Path(__file__).parents[1] / "data" / "released_rows.jsonl"
WHERE = "config.yaml: tasks[2]"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"q": "a"}\n{"q": "b"}\n')
    (tmp_path / "test.jsonl").write_text('{"q": "c"}\n')
    (tmp_path / "mine.py").write_text(
        "from mtgrpo.tasks import Task\n"
        "def zero(prompts, **_): return [0.0] * len(prompts)\n"
        "def make(name='mine', n=1):\n"
        "    return [Task(f'{name}{i}', [{'prompt': 'p'}], [], zero) for i in range(n)]\n"
        "def one(): return make()[0]\n"
        "def nothing(): return None\n"
        "def rows(): return make() + [3]\n"
    )


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"tiny": "countdown", "level": "easy", "num_train": 2, "num_test": 1}, ["countdown-easy"]),
        (
            {
                "rows": "rows.jsonl",
                "name": "own",
                "prompt": "q",
                "reward": "mine.py:zero",
                "test": "test.jsonl",
            },
            ["own"],
        ),
        ({"released": str(DATA)}, 12),
        ({"task": "mine.py:one"}, ["mine0"]),
        ({"task": "mine.py:make", "arguments": {"name": "x", "n": 2}}, ["x0", "x1"]),
    ],
)
def test_kinds_without_extras(spec: dict[str, Any], names: list[str] | int):
    tasks = build_task(spec, WHERE)
    assert all(isinstance(task, Task) for task in tasks)
    assert len(tasks) == names if isinstance(names, int) else [task.name for task in tasks] == names


def test_kinds_from_reasoning_gym():
    pytest.importorskip("reasoning_gym")
    (task,) = build_task({"paper": "arc", "level": "medium", "num_train": 3, "seed": 4}, WHERE)
    assert (task.name, len(task.train)) == ("arc-medium", 3)
    spec = {
        "reasoning_gym": "countdown",
        "name": "cd",
        "parameters": {"min_numbers": 3, "max_numbers": 3},
        "floor": 0,
    }
    assert build_task(spec, WHERE)[0].name == "cd"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (3, "found 3; a mapping"),
        ({}, "unknown kind of task ''"),
        ({"papr": "x"}, r"unknown kind of task 'papr' \(did you mean 'paper'\?\)"),
        ({"paper": "arc", "tiny": "arc"}, "are both given"),
        ({"paper": "arc"}, "a paper task needs the key 'level': {paper"),
        (
            {"paper": "arc", "levl": "easy"},
            r"unknown key of a paper task 'levl' \(did you mean 'level'\?\)",
        ),
        ({"paper": "arc", "level": "easi"}, r"unknown level 'easi' \(did you mean 'easy'\?\)"),
        ({"paper": 3, "level": "easy"}, "paper: 3 is a whole number; text is needed"),
        (
            {"paper": "arc", "level": "easy", "num_train": "3"},
            "num_train: '3' is text; a whole number is needed; no quotes",
        ),
        (
            {"paper": "arc", "level": "easy", "num_train": True},
            "num_train: True is true/false; a whole number",
        ),
        (
            {"tiny": "arc", "level": "easy", "num_train": 1.5},
            "num_train: 1.5 is a number; a whole number",
        ),
        ({"tiny": "arx", "level": "easy"}, "unknown family 'arx'"),
        ({"rows": "rows.jsonl", "reward": "mine.py:zero"}, "needs the key 'name'"),
        ({"rows": "no.jsonl", "name": "a", "reward": "mine.py:zero"}, "no.jsonl: no such file"),
        (
            {"rows": "rows.jsonl", "name": "a", "reward": "mine.py:zro", "prompt": "q"},
            r"has no 'zro' \(did you mean 'zero'",
        ),
        (
            {"rows": "rows.jsonl", "name": "a", "reward": "mine.py:zero", "test_fraction": "x"},
            "test_fraction: 'x' is text; a number",
        ),
        ({"reasoning_gym": "countdown", "chat": 1}, "chat: 1 is a whole number; true or false"),
        (
            {"reasoning_gym": "countdown", "parameters": [1]},
            r"parameters: \[1\] is a list; a mapping",
        ),
        (
            {"reasoning_gym": "countdown", "parameters": {"name": "a"}},
            "write it beside 'parameters'",
        ),
        ({"task": "mine.py:nothing"}, "returned a NoneType; a Task"),
        ({"task": "mine.py:rows"}, "returned a int; a Task"),
        (
            {"task": "mine.py:one", "arguments": {"n": 3}},
            "cannot be called with arguments {'n': 3}",
        ),
        ({"task": "mine.py:on"}, r"has no 'on' \(did you mean 'one'"),
    ],
)
def test_mistakes_name_the_entry(spec: Any, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        build_task(spec, WHERE)
    assert str(caught.value).startswith(WHERE)
    assert "\n" not in str(caught.value)


def test_build_tasks_makes_a_set():
    tiny = [{"tiny": "countdown", "level": level} for level in ("easy", "medium")]
    assert build_tasks(tiny, "config.yaml: tasks").names == ("countdown-easy", "countdown-medium")
    with pytest.raises(
        ConfigError, match=r"^config.yaml: tasks: TaskSet: two tasks are called 'countdown-easy'"
    ):
        build_tasks(tiny[:1] * 2, "config.yaml: tasks")
    with pytest.raises(ConfigError, match=r"^config.yaml: tasks\[1\]: unknown kind"):
        build_tasks([tiny[0], {"x": 1}], "config.yaml: tasks")
    with pytest.raises(ConfigError, match="no task"):
        build_tasks([], "config.yaml: tasks")


def test_every_kind_has_an_example():
    assert set(kinds()) == {
        "tiny",
        "paper",
        "reasoning_gym",
        "rows",
        "dataset",
        "hub",
        "verifiers",
        "released",
        "task",
    }
    assert all(f"{{{name}: " in text for name, text in kinds().items())


def test_a_task_of_any_kind_may_be_for_a_part_of_a_run() -> None:
    spec = {"tiny": "countdown", "level": "easy", "from_step": 2, "until_step": 5}
    (task,) = build_task(spec, "tasks[0]")
    assert (task.from_step, task.until_step) == (2, 5)

    with pytest.raises(ConfigError, match=r"tasks\[0\]: task .*: from_step=5, until_step=5"):
        build_task({**spec, "from_step": 5}, "tasks[0]")


def test_a_group_size_of_a_task_is_refused_with_the_reason() -> None:
    spec = {"tiny": "countdown", "level": "easy", "group_size": 4}
    with pytest.raises(
        ConfigError,
        match=r"^tasks\[1\] \('countdown'\): group_size: .*TRL compares .*set the run's",
    ):
        build_tasks([{"tiny": "zebra", "level": "easy"}, spec], "tasks")
