"""Rewards that no call can succeed with are refused; whatever works is let through."""

import functools
import inspect

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks import GeneratedRows, Task, each
from mtgrpo.tasks.several_rewards import SeveralRewards
from mtgrpo.tasks.signatures import defect_of_call

ROWS = [{"prompt": "2+2?", "answer": "4", "source": "book"}, {"prompt": "?", "hint": "no"}]
GENERATED = GeneratedRows(3, lambda i: ROWS[0])


def narrow(completions, answer):
    return [0.0 for _ in completions]


def wide(completions, answer, **kwargs):
    return [0.0 for _ in completions]


async def later(completions, **kwargs):
    return [0.0 for _ in completions]


def of_prompt(prompt, completions, **kwargs):
    return [0.0 for _ in completions]


def misspelt(completions, anser, **kwargs):
    return [0.0 for _ in completions]


def by_position(completions, /, **kwargs):
    return [0.0 for _ in completions]


def renamed(function):
    @functools.wraps(function)
    def call(**arguments):
        return function(arguments["completions"], arguments["answer"])

    return call


class Judge:
    def __init__(self, reward):
        self.reward = reward

    def __call__(self, completions, **columns):
        return [self.reward for _ in completions]

    def method(self, prompts, completions):
        return [self.reward for _ in completions]


def lying(**arguments):
    return [0.0 for _ in arguments["completions"]]


lying.__signature__ = inspect.signature(narrow)


@pytest.mark.parametrize(
    "reward",
    [
        wide,
        Judge(1.0),
        functools.partial(wide, answer=["4"]),
        functools.partial(misspelt, anser=["4"]),
        renamed(narrow),
        lying,
        each(lambda text, row: 0.0),
        SeveralRewards([wide, Judge(0.0).__call__]),
        lambda prompts, completions, answer, source, hint=None, environments=None: [0.0],
        lambda completions, environments, **kwargs: [0.0],  # with an environment
        lambda completions, hint, **kwargs: [0.0],  # in other rows
        dict,  # a builtin without a signature
    ],
)
def test_what_may_work_is_let_through(reward):
    assert Task("a", ROWS, [], reward).reward is reward


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (
            narrow,
            r"narrow \(.*test_signatures.py:\d+\) takes completions and answer, but not prompts and "
            r"source; .* with prompts, completions, answer and source; add \*\*kwargs",
        ),
        (Judge(1.0).method, r"Judge.method .*takes prompts and completions, but not answer and so"),
        (
            len,
            "len takes nothing by name, but not prompts, completions.* wrapped in mtgrpo.tasks.each",
        ),
        (
            functools.partial(narrow, answer=["4"]),
            "takes completions and answer, but not prompts and",
        ),
        (of_prompt, r"needs prompt \(did you mean 'prompts'\?\), which it does not get"),
        (misspelt, r"needs anser \(did you mean 'answer'\?\), .* give the rows such a column"),
        (by_position, "takes completions by position only; .* take the / out"),
        (SeveralRewards([wide, misspelt]), r"misspelt \(.*\) needs anser"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(reward, message):
    with pytest.raises(TaskError, match=f"^task 'a': .*{message}") as caught:
        Task("a", ROWS, [], reward)
    assert "\n" not in str(caught.value)


def test_rows_that_are_generated_are_not_made():
    assert Task("a", GENERATED, [], misspelt).reward is misspelt
    with pytest.raises(TaskError, match="takes completions and answer, but not prompts; rewards"):
        Task("a", GENERATED, [], narrow)


def test_rewards_of_trl():
    passed = ("prompts", "completions", "completion_ids", "trainer_state")
    assert defect_of_call(later, passed, {*passed, "answer"}) == ""
    assert "needs answer" in defect_of_call(wide, passed, {*passed})
    assert defect_of_call(wide, passed, None) == ""
