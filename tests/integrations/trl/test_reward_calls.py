"""What goes into users' reward functions, what comes out, and what is said of their faults."""

import asyncio
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mtgrpo.errors import RewardError, StateError
from mtgrpo.integrations.trl.reward_calls import RewardCalls
from mtgrpo.integrations.trl.rollouts import DatasetRow

HERE = str(Path(__file__).relative_to(Path.cwd()))

ROWS = [
    DatasetRow({"prompt": "x", "answer": "1"}, "a", 0),
    DatasetRow({"prompt": "y", "level": 3}, "b", 7),
    DatasetRow({"prompt": "x", "answer": "2"}, "a", 1),
]
ARGUMENTS = {
    "prompts": ["x", "y", "x"],
    "completions": ["1", "1", "1"],
    "completion_ids": [[1], [2], [3]],
    "answer": ["1", None, "2"],
    "level": [None, 3, None],
    "trainer_state": None,
}


def exact(completions, answer, **columns):
    assert "level" not in columns, "a column of other tasks' rows"
    return [float(c == a) for c, a in zip(completions, answer, strict=True)]


async def slow(completions, **columns):
    return [0.5 for _ in completions]


async def slow_and_wrong(completions, **columns):
    raise LookupError("no such\nthing")


def raises_at_seven(completions, level, log_metric, **columns):
    log_metric("rows", len(completions))
    return [1 / (value is None) for value in level]


class Judge(torch.nn.Module):
    """Gives each row the sum of its tokens, and knows how many rows it was asked about."""

    num_asked = 0

    def forward(self, input_ids, attention_mask):
        self.num_asked += len(input_ids)
        return SimpleNamespace(logits=(input_ids * attention_mask).sum(1, keepdim=True).float())


def called(function, tasks=None, rows=ROWS, **arguments):
    """What TRL gets of a function that is for these tasks."""
    trainer = SimpleNamespace(reward_funcs=[function])
    calls = RewardCalls([None if tasks is None else frozenset(tasks)])
    with calls.watched(trainer, rows):
        (watched,) = trainer.reward_funcs
        result = watched(**(arguments or ARGUMENTS))
        result = asyncio.run(result) if asyncio.iscoroutine(result) else result
    assert trainer.reward_funcs == [function], "the user's own is back"
    return result


def test_functions_of_some_tasks_are_asked_about_their_rows_alone():
    assert called(exact, "a") == [1.0, None, 0.0]
    assert called(slow, "b") == [None, 0.5, None]
    assert called(slow) == [0.5, 0.5, 0.5]
    assert called(exact, "c") == [None, None, None]


def test_extra_columns_of_the_log_have_gaps_where_a_function_was_not_asked():
    logged = {}

    def says(completions, log_extra, **columns):
        log_extra("length", [len(c) for c in completions])
        return [0.0 for _ in completions]

    called(says, "b", **ARGUMENTS, log_extra=logged.__setitem__)
    assert logged == {"length": [None, 1, None]}


def test_a_model_of_some_tasks_is_asked_about_their_rows_and_runs_on_every_process():
    inputs = {"input_ids": torch.tensor([[1, 2], [3, 4], [5, 6]])}
    inputs["attention_mask"] = torch.tensor([[1, 1], [1, 0], [1, 1]])
    judge = Judge()
    logits = called(judge, "a", **inputs).logits[:, 0]
    assert logits.tolist() == pytest.approx([3.0, math.nan, 11.0], nan_ok=True)
    assert judge.num_asked == 2

    assert called(judge, "c", **inputs).logits.isnan().all()
    assert judge.num_asked == 3, "one row, though none is its own"

    trainer = SimpleNamespace(reward_funcs=[judge])
    with RewardCalls([None]).watched(trainer, ROWS):
        assert trainer.reward_funcs == [judge], "TRL's own where all rows are"


def test_a_fault_is_said_with_task_row_function_and_place():
    def log_metric(name, value):
        assert value == 3, "asking again logs nothing"

    with pytest.raises(RewardError) as caught:
        called(raises_at_seven, **ARGUMENTS, log_metric=log_metric)

    first = raises_at_seven.__code__.co_firstlineno
    assert str(caught.value) == (
        f"task 'b', prompt 7: reward function {__name__}.raises_at_seven ({HERE}:{first}) raised "
        f"ZeroDivisionError: division by zero ({HERE}:{first + 2}); one number or None for any "
        "completion is needed; correct it there"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_async_fault_names_the_tasks_and_is_one_line():
    with pytest.raises(
        RewardError, match=r"^tasks 'a', 'b': .* LookupError: no such thing .*:"
    ) as e:
        called(slow_and_wrong)
    assert "\n" not in str(e.value)


def test_nan_is_none_as_in_trl_and_said_once(caplog):
    trainer = SimpleNamespace(reward_funcs=[lambda completions, **columns: [1.0, math.nan, None]])
    calls = RewardCalls([None])
    for _ in range(2):
        with calls.watched(trainer, ROWS):
            values = trainer.reward_funcs[0](**ARGUMENTS)
        assert values == pytest.approx([1.0, math.nan, None], nan_ok=True)
    (record,) = caplog.records
    assert "task 'b', prompt 7: reward function" in record.getMessage()
    assert "returned nan; it counts as None, as in TRL" in record.getMessage()


@pytest.mark.parametrize(
    "values", [(1, True, None), torch.tensor([1.0, 2.0, 3.0]), iter([1, 2, 3])]
)
def test_what_trl_takes_is_taken(values):
    assert len(called(lambda **arguments: values)) == 3


def test_a_batch_of_somebody_else_is_refused():
    with pytest.raises(StateError, match="3 completions, but 2 rows to score"):
        called(exact, "a", rows=ROWS[:2])
