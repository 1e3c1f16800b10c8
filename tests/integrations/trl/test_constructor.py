"""GRPOTrainer's own constructor: a script changes by the class and the column, and plain runs are TRL's."""

import difflib
import inspect
import re
import runpy
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict
from trl import GRPOTrainer

from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

from .conftest import history, same_parameters
from .toy import make_tasks

README = Path(__file__).parents[3] / "README.md"


def length(completions, **columns):
    return [-1 - len(c) / 10 for c in completions]


def vowels(completions, answer, trainer_state, log_extra, log_metric, **columns):
    assert set(columns) <= {"prompts", "completion_ids", "data_source"}, "nothing but TRL's columns"
    assert trainer_state.global_step >= 0
    log_extra("answers", answer)
    log_metric("letters", sum(map(len, completions)) / len(completions))
    return [sum(x in "aeiou" for x in c) / max(len(c), 1) for c in completions]


def dataset(num_rows: int = 12) -> Dataset:
    return Dataset.from_list(
        [{"prompt": f"q{i}", "answer": str(i), "data_source": "ab"[i % 2]} for i in range(num_rows)]
    )


def build(lab, cls, arguments=None, **changes):
    config = {"per_device_train_batch_size": 8, "per_device_eval_batch_size": 8, **changes}
    return cls(
        lab.model(),
        [length, vowels],
        lab.config(reward_weights=[1.0, 0.5], **config),
        dataset(),
        dataset(4),
        processing_class=lab.tokenizer(),
        **(arguments or {}),
    )


def trained(trainer):
    trainer.train()
    return trainer


def test_the_signature_is_trls_and_ours_after_it():
    own = list(inspect.signature(MultiTaskGRPOTrainer.__init__).parameters.values())
    theirs = list(inspect.signature(GRPOTrainer.__init__).parameters.values())
    assert [p.name for p in own[: len(theirs)]] == [p.name for p in theirs]
    assert all(p.kind is p.KEYWORD_ONLY for p in own[len(theirs) :])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"shuffle_dataset": False, "steps_per_generation": 2, "num_iterations": 2, "max_steps": 4},
        {"multi_objective_aggregation": "normalize_then_sum", "log_completions": True},
    ],
    ids=["default", "in-order-and-reused", "gdpo"],
)
def test_one_dataset_without_a_method_is_plain_grpo(lab, changes):
    all_rows = {"skip_zero_advantages": False}
    ours = trained(build(lab, MultiTaskGRPOTrainer, all_rows, **changes))
    theirs = trained(build(lab, GRPOTrainer, **changes))
    assert same_parameters(ours, theirs)
    for mine, plain in zip(history(ours), history(theirs), strict=True):
        assert {name: mine[name] for name in plain} == plain
    assert ours._logs["extra"] == theirs._logs["extra"]
    assert ours.reward_func_names == ["length", "vowels"]
    assert ours.reward_funcs == [length, vowels]


def test_a_users_script_changes_by_two_lines(lab, model_path, tmp_path, monkeypatch):
    """README.md shows the script and the diff; both run here as they stand, but for the model."""
    text = README.read_text()
    named = dict(re.findall(r"<!-- (script|diff) -->\n```\w*\n(.*?)```", text, re.DOTALL))
    script, diff = named["script"], named["diff"]
    changed = apply(script, diff)
    lines = list(difflib.ndiff(script.splitlines(), changed.splitlines()))
    assert sum(line.startswith("- ") for line in lines) == 2
    assert len(script.splitlines()) <= 35
    monkeypatch.chdir(tmp_path)
    trainers = {}
    for name, source in (("theirs", script), ("ours", changed)):
        file = tmp_path / f"{name}.py"
        file.write_text(source.replace("Qwen/Qwen2.5-0.5B", str(model_path)))
        trainers[name] = runpy.run_path(str(file))["trainer"]
    assert type(trainers["ours"]) is MultiTaskGRPOTrainer
    assert set(trainers["ours"].mixer.tasks) == {"sum", "copy"}
    assert trainers["ours"].state.global_step == trainers["theirs"].state.global_step


def apply(script: str, diff: str) -> str:
    for block in re.findall(r"((?:^-.*\n)*)((?:^\+.*\n)+)", diff, re.MULTILINE):
        old, new = (re.sub(r"^[-+]", "", part, flags=re.MULTILINE) for part in block)
        assert old in script
        script = script.replace(old, new, 1)
    return script


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reward_funcs": make_tasks()}, "in the place of reward_funcs; write tasks=tasks"),
        ({"reward_funcs": [len], "tasks": make_tasks()}, "reward_funcs was given, but rows and"),
        ({"train_dataset": [], "tasks": make_tasks()}, "train_dataset was given, but rows and"),
        ({"accuracy": "x", "tasks": make_tasks()}, "accuracy was given beside tasks="),
        ({"correct_at": 1.0, "tasks": make_tasks()}, "correct_at was given beside tasks="),
        ({"tasks": ["easy"]}, "tasks is a list; a TaskSet is needed"),
        ({"train_dataset": {}}, "train_dataset: an empty mapping"),
        ({"train_dataset": {"a": [{"prompt": "x"}]}}, "has a list; a Dataset for each task"),
        (
            {"train_dataset": DatasetDict({"train": dataset(), "test": dataset()})},
            r"the splits 'train', 'test'.*give one of them: dataset\['train'\]",
        ),
        (
            {"train_dataset": Dataset.from_list([{"prompt": "x", "task": 3.5}])},
            "train_dataset, row 0: column 'task' is 3.5; the name of the row's task",
        ),
        (
            {"train_dataset": dataset(), "reward_range": {"b": (0, 1)}},
            "reward_range: unknown task 'b'",
        ),
        ({"method": "balancd"}, "unknown name 'balancd' .did you mean 'balanced'"),
    ],
)
def test_wrong_arguments_are_refused_before_a_model_is_loaded(lab, arguments, message):
    with pytest.raises(ConfigError, match=message) as error:
        MultiTaskGRPOTrainer("no/such-model", args=lab.config(), **arguments)
    assert "\n" not in str(error.value)


def test_best_model_without_a_metric_is_refused(lab):
    changes = {"load_best_model_at_end": True, "save_strategy": "steps", "eval_strategy": "steps"}
    with pytest.raises(ConfigError, match="does not say which model is better; name another"):
        build(lab, MultiTaskGRPOTrainer, eval_steps=1, save_steps=1, **changes)
    trainer = build(
        lab,
        MultiTaskGRPOTrainer,
        eval_steps=1,
        save_steps=1,
        metric_for_best_model="tasks/worst_score",
        **changes,
    )
    trainer.train()
    assert trainer.state.best_model_checkpoint is not None


def test_what_is_missing_is_said_in_trls_words(lab):
    with pytest.raises(ValueError, match="No reward source provided"):
        MultiTaskGRPOTrainer(lab.model(), args=lab.config(), train_dataset=dataset())
    with pytest.raises(ValueError, match="`train_dataset` is required"):
        MultiTaskGRPOTrainer(lab.model(), [length], lab.config())
    args = lab.config(accelerator_config={"dispatch_batches": True}, max_steps=-1)
    stream = dataset().to_iterable_dataset()
    with pytest.raises(ValueError, match="Iterable datasets require `dispatch_batches=False`"):
        MultiTaskGRPOTrainer(lab.model(), [length], args, stream)


def test_fewer_groups_than_tasks_are_warned_of(lab, caplog):
    build(lab, MultiTaskGRPOTrainer, {"task_column": "answer"})
    assert "holds 2 groups of 4, fewer than there are tasks (12)" in caplog.text
