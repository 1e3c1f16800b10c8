import itertools
from typing import Any

import pytest

from mtgrpo.errors import MissingExtra, RewardError, TaskError
from mtgrpo.tasks import GeneratedRows, Score, Scoring, Task, check_task, each
from mtgrpo.tasks.check import Findings, examine_task

TRAIN, TEST = [{"prompt": "1+1?", "answer": "2"}], [{"prompt": "2+2?", "answer": "4"}]


def make(**options: Any) -> Task:
    sound: dict[str, Any] = {
        "name": "math",
        "train": TRAIN,
        "test": TEST,
        "reward": each(lambda text, row: float(text == row["answer"])),
        "oracle": lambda row: row["answer"],
        "correct_at": 1.0,
    }
    return Task(**(sound | options))


def explode(row: Any) -> str:
    raise KeyError("solution")


def test_a_sound_task_has_no_problem():
    assert check_task(make()) == []
    assert check_task(make(oracle=None)) == []


COUNTER = itertools.count()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"oracle": lambda row: "5"},
            "test row 0 and 1 more row: the oracle's completion has reward 0 and accuracy 0: '5'",
        ),
        ({"oracle": explode}, "the oracle raised KeyError: 'solution'"),
        (
            {"reward": each(lambda text, row: 1.0)},
            "an empty completion has reward 1 and accuracy 1",
        ),
        ({"reward": each(lambda text, row: float(text[0] == row["answer"]))}, "raised IndexError"),
        (
            {"reward": each(lambda text, row: -float(next(COUNTER))), "oracle": None},
            "scored differently the second time",
        ),
        (
            {"reward": lambda completions, **columns: [0.0]},
            "test row 0 and 1 more row: 11 completions in one call: reward function",
        ),
        (
            {"reward": each(lambda text, row: 0.5), "correct_at": None, "oracle": None},
            "all 58 completions tried, some made of the rows' own values, earned 0.5: where all",
        ),
        ({"test": TRAIN}, "the same prompt is test row 0"),
        (
            {"test": GeneratedRows(1, lambda i: TRAIN[0])},
            "train row 0: the same prompt is test row 0",
        ),
        ({"test": [{"prompt": "x", "answer": {1, 2}}]}, "JSON cannot hold it"),
        (
            {"test": GeneratedRows(1, lambda i: {"prompt": f"{next(COUNTER)}", "answer": "1"}, 0)},
            "not the same",
        ),
        ({"test": GeneratedRows(1, lambda i: {"question": "x"})}, "no column 'prompt'"),
    ],
)
def test_problems_are_found(options: dict[str, Any], problem: str):
    found = check_task(make(**options))
    assert any(problem in line for line in found), found


def test_a_missing_package_is_raised():
    def needs(text: str, row: Any) -> float:
        raise MissingExtra("mathx: not installed")

    with pytest.raises(MissingExtra):
        check_task(make(reward=each(needs)))


def test_rounding_is_no_problem_and_oracles_get_a_row_of_their_own():
    def oracle(row: Any) -> str:
        return row["answer"].pop()

    def reward(text: str, row: Any) -> Any:
        sure = 0.7 + 0.2 + 0.1 if [text] == row["answer"] else 0.1 + 0.2 - 0.3
        return Score(sure, sure)

    rows = [{"prompt": "1+1?", "answer": ["2"]}]
    assert check_task(make(train=rows, test=[], reward=each(reward), oracle=oracle)) == []
    assert rows == [{"prompt": "1+1?", "answer": ["2"]}]


def test_equal_problems_of_many_rows_are_one_line():
    rows = [{"prompt": f"{i}?", "answer": "2"} for i in range(50)]
    lines = check_task(make(train=rows, test=[], reward=each(lambda text, row: 1.0), oracle=None))
    assert lines == [
        "train row 0 and 19 more rows: an empty completion has reward 1 and accuracy 1; both "
        "should be 0",
        "all 60 completions tried, some made of the rows' own values, earned 1: where all earn "
        "alike there is nothing to learn; let the reward tell good answers from bad ones",
    ]

    def fails(text: str, row: Any) -> float:
        return 0.0 if not text or text[-1].isalnum() or text == "<answer>2</answer>" else 1 / 0

    lines = check_task(make(train=rows, test=[], reward=each(fails), oracle=None))
    first, others = lines
    assert first.startswith("train row 0: completion '\\\\boxed{2}' and 10 more: reward function")
    assert others.startswith("train row 1 and 1 more row: completion '\\\\boxed{2}': reward")


def test_what_may_be_wrong_is_only_remarked_on():
    rows = [{"prompt": "1+1?", "answer": "two", "steps": ["1", 1]}]
    never = examine_task(make(train=rows, test=[], reward=each(lambda text, row: 0.0), oracle=None))
    assert never.problems == []
    assert "earned 0; see that a right answer earns more" in never.remarks[0]

    part = each(lambda text, row: 0.8 * (text == row["answer"]))
    out_of_reach = examine_task(make(train=rows, test=[], reward=part, oracle=None))
    assert out_of_reach.problems == []
    assert "count as wrong, and earned up to 0.8 where correct_at is 1;" in out_of_reach.remarks[0]

    earned = each(lambda text, row: float(text == "<answer>1</answer>"))
    assert examine_task(make(train=rows, test=[], reward=earned, oracle=None)) == Findings()


CHAT = [{"prompt": [{"role": "user", "content": f"{i}+1?"}], "answer": "x"} for i in range(20)]


def of_messages(completions: Any, answer: Any, **kwargs: Any) -> list[float]:
    return [float(c[0]["content"] == a) for c, a in zip(completions, answer, strict=True)]


def of_texts(completions: Any, answer: Any, **kwargs: Any) -> list[float]:
    return [float(c.strip() == a) for c, a in zip(completions, answer, strict=True)]


def test_completions_have_the_form_that_training_gives_for_the_prompt():
    texts = [{"prompt": f"{i}+1?", "answer": "x"} for i in range(2)]

    assert check_task(make(train=CHAT, test=[], reward=of_messages)) == []
    assert check_task(make(train=texts, test=[], reward=of_texts)) == []
    assert "AttributeError" in check_task(make(train=CHAT, test=[], reward=of_texts))[0]
    assert check_task(make(train=texts, test=[], reward=of_messages))


def test_a_reward_of_trl_for_chats_passes():
    rewards = pytest.importorskip("trl.rewards")
    task = make(train=CHAT, test=[], reward=rewards.think_format_reward, oracle=None)
    assert check_task(task) == []


def test_a_number_for_a_list_is_one_problem():
    def one_number(completions: Any, **kwargs: Any) -> Any:
        return 1.0

    (line,) = check_task(make(train=CHAT, test=[], reward=one_number))
    assert line.startswith("train row 0 and 19 more rows: RewardError: reward function")


def test_what_raises_now_and_then_is_said_and_drop_advised_only_where_it_is_not_set():
    def make_now_and_then() -> Any:
        calls = itertools.count()

        def now_and_then(completions: Any, **kwargs: Any) -> list[float]:
            return [1 / next(calls) for _ in completions]

        return now_and_then

    for scoring, is_advised in ((Scoring(), True), (Scoring(on_error="drop"), False)):
        task = make(reward=make_now_and_then(), scoring=scoring)
        with pytest.raises(RewardError, match=r"not when it was called again") as caught:
            task.score(TRAIN, ["2"])
        assert ("on_error: drop" in str(caught.value)) == is_advised


def test_a_class_and_an_async_reward_are_refused_with_a_way_out():
    class Judge:
        def __call__(self, completions: Any, **kwargs: Any) -> list[float]:
            return [0.0 for _ in completions]

    async def slow(completions: Any, **kwargs: Any) -> list[float]:
        return [0.0 for _ in completions]

    with pytest.raises(TaskError, match=r"Judge is a class; an instance is needed: give Judge\(\)"):
        make(reward=Judge)
    with pytest.raises(TaskError, match=r"call it with asyncio\.run"):
        make(reward=slow)

    def needs(completions: Any, solution: Any, **kwargs: Any) -> list[float]:
        return [0.0 for _ in completions]

    with pytest.raises(TaskError, match="needs solution, which it does not get"):
        make(reward=needs)
