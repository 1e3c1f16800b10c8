"""A run made concrete: tasks that fit the method, and a plan that says what will be done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mtgrpo.config import load_config, parse_config
from mtgrpo.core.weightings import Sequential
from mtgrpo.errors import ConfigError, TaskError
from mtgrpo.jobs.describe import describe_job
from mtgrpo.jobs.run import train
from mtgrpo.jobs.setup import Job, check_chat, prepare

TINY = [{"tiny": family, "level": "easy"} for family in ("zebra", "countdown")]


@pytest.fixture
def only_tested(tmp_path: Path) -> str:
    """The import path of a task without training rows."""
    (tmp_path / "own_task.py").write_text(
        "from mtgrpo.tasks import Task, each\n"
        "def unseen():\n"
        "    return Task('unseen', [], [{'prompt': 'x'}], each(lambda text, row: 1.0))\n"
    )
    return f"{tmp_path / 'own_task.py'}:unseen"


def config(**changes: Any) -> Any:
    return parse_config({"tasks": TINY, "batch_size": 4, "steps": 5, **changes}, "test")


def test_one_family_after_the_other_in_equal_parts(only_tested: str) -> None:
    job = prepare(config(tasks=[*TINY, {"task": only_tested}], preset="seq_grpo"))
    weighting = job.run.method.weighting
    assert isinstance(weighting, Sequential)
    assert weighting.phases == [["zebra-easy"], ["countdown-easy"]]
    assert weighting.steps_per_phase == 3
    again = parse_config(json.loads(json.dumps(job.run.as_dict())), "again")
    assert prepare(again).run.as_dict() == job.run.as_dict()


def test_weights_are_for_the_tasks_that_are_trained(only_tested: str) -> None:
    tasks = [*TINY, {"task": only_tested}]
    weights = {"zebra-easy": 1.0, "countdown-easy": 2.0}
    prepare(config(tasks=tasks, weighting={"rule": "fixed", "weights": weights}))
    with pytest.raises(ConfigError, match="unseen"):
        prepare(
            config(tasks=tasks, weighting={"rule": "fixed", "weights": {**weights, "unseen": 1.0}})
        )


def test_test_rows_are_cut_to_the_first() -> None:
    job = prepare(config(evaluation={"prompts_per_task": 3}))
    whole = prepare(config())
    for task, full in zip(job.tasks, whole.tasks, strict=True):
        assert list(task.test) == [full.test[i] for i in range(3)]
        assert len(task.train) == len(full.train)
    assert job.plan.num_evaluation_rollouts == 2 * 3 * 4


def test_evaluations_during_a_run_need_test_rows(tmp_path: Path) -> None:
    (tmp_path / "own_task.py").write_text(
        "from mtgrpo.tasks import Task, each\n"
        "def untested():\n"
        "    return Task('untested', [{'prompt': 'x'}], [], each(lambda text, row: 1.0))\n"
    )
    untested: dict[str, Any] = {"task": f"{tmp_path / 'own_task.py'}:untested"}
    with pytest.raises(ConfigError, match=r"^test: evaluation.every=2, but no task has test rows"):
        prepare(config(tasks=[untested], evaluation={"every": 2}))

    assert prepare(config(tasks=[untested])).tasks.names == ("untested",)
    some_tested = config(
        tasks=[{"tiny": "zebra", "level": "easy"}, untested], evaluation={"every": 2}
    )
    assert prepare(some_tested).run.evaluation.every == 2


def test_a_budget_that_pays_for_no_group_is_refused() -> None:
    def budgeted(unit: str, amount: float) -> Job:
        sampler = f"sampler={{budget: {{{unit}: {amount}}}}}"
        return prepare(load_config("demo", ["preset=grpo_fair", sampler]))

    for unit, amount, text in (("tokens", 1, "1 token"), ("completions", 7, "7 completions")):
        message = rf"sampler.budget: {text}; a group of 8 completions costs 8 at least"
        with pytest.raises(ConfigError, match=message):
            budgeted(unit, amount)

    assert budgeted("completions", 8)
    assert budgeted("seconds", 0.1), "what a second buys is not known"


def test_prompts_that_no_engine_can_take_are_refused_with_task_and_row(tmp_path: Path) -> None:
    rows = [{"prompt": "say e", "answer": "e"}] * 6
    rows[4] = {"prompt": [{"role": "user", "content": "say e"}], "answer": "e"}
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "rewards.py").write_text("def none(prompts, completions, **columns): ...\n")
    entry = f"{{rows: {file}, name: say, reward: '{tmp_path / 'rewards.py'}:none'}}"
    run = load_config("demo", [f"tasks=[{entry}]", f"output={tmp_path / 'run'}"])
    message = r"demo.yaml \(with --set .*\): task 'say', train row 4: .* this one is chat messages"
    with pytest.raises(TaskError, match=message):
        prepare(run)


CHAT = {"role": "user", "content": "hi"}


@pytest.fixture
def chats(tmp_path: Path) -> dict[str, Any]:
    """A configuration with prompts that are chat messages."""
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": [CHAT]}) + "\n")
    (tmp_path / "own.py").write_text("def none(completions, **_):\n    return [0.0, 1.0]\n")
    entry = {"rows": str(tmp_path / "rows.jsonl"), "name": "a"}
    return {"tasks": [{**entry, "reward": f"{tmp_path / 'own.py'}:none", "correct_at": 1.0}]}


def test_chats_on_the_embedded_model_are_refused_before_there_is_a_run(
    chats: dict[str, Any], tmp_path: Path
) -> None:
    run = config(**chats, output=str(tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"^test: model: 'tiny': prompts are chat messages, but"):
        train(run)
    assert not (tmp_path / "run").exists()

    problems = describe_job(run).problems
    assert len(problems) == 1
    assert "has no chat template" in problems[0]


def test_a_folder_that_may_have_a_chat_template_is_left_to_the_tokenizer(
    chats: dict[str, Any], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    job = prepare(config(**chats, model=str(model)))
    check_chat(job)  # nothing is known of its tokenizer

    settings = model / "tokenizer_config.json"
    settings.write_text("{}")
    with pytest.raises(ConfigError, match="no chat template"):
        check_chat(job)

    for own in ({"chat_template": "{{ messages }}"}, {"auto_map": {"AutoTokenizer": "own.Own"}}):
        settings.write_text(json.dumps(own))
        check_chat(job)

    settings.write_text("{}")
    (model / "chat_template.jinja").write_text("{{ messages }}")
    check_chat(job)
