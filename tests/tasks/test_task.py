import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from mtgrpo.errors import MissingExtra, RewardError, TaskError
from mtgrpo.tasks import Score, Task, each

ROWS = [{"prompt": "1+1?", "answer": "2"}, {"prompt": "2+2?", "answer": "4"}]


def exact(
    prompts: Sequence[str], completions: Sequence[str], answer: Sequence[str], **_: Any
) -> list[float]:
    return [float(c == a) for c, a in zip(completions, answer, strict=True)]


def returning(value: object) -> Callable[..., Any]:
    def constant_reward(**_: Any) -> object:
        return value

    return constant_reward


def make(reward: Any = exact, **options: Any) -> Task:
    return Task(
        **(
            {"name": "math", "train": ROWS, "test": [], "reward": reward, "correct_at": 1.0}
            | options
        )
    )


def test_scores_in_one_call():
    assert make().score(ROWS, ["2", "5"]) == [Score(1.0, 1.0), Score(0.0, 0.0)]
    assert make().score([], []) == []


def test_accuracy_of_plain_numbers_is_from_correct_at():
    task = make(returning([0.7, 0.8]), correct_at=0.75)
    assert task.score(ROWS, ["", ""]) == [Score(0.7, 0.0), Score(0.8, 1.0)]


def test_a_score_brings_its_own_accuracy():
    assert make(returning([Score(5.0, 0.25), 0.0])).score(ROWS, ["", ""])[0] == Score(5.0, 0.25)


def test_columns_that_only_some_rows_have():
    def columns(prompts: Any, completions: Any, **columns: Any) -> list[float]:
        assert columns == {"a": [1, None], "b": [None, 2]}
        return [0.0, 0.0]

    make(columns).score([{"prompt": "p", "a": 1}, {"prompt": "q", "b": 2}], ["", ""])


@pytest.mark.parametrize(
    "values", [np.array([1.0, 0.5]), (1, 0.5), [np.float32(1), np.int64(0)], np.array([1, 0])]
)
def test_arrays_and_their_scalars_are_numbers(values: Any):
    assert make(returning(values)).score(ROWS, ["", ""])[0] == Score(1.0, 1.0)


def test_torch_tensors_are_numbers():
    torch = pytest.importorskip("torch")
    assert make(returning(torch.tensor([1.0, 0.5]))).score(ROWS, ["", ""]) == [
        Score(1.0, 1.0),
        Score(0.5, 0.0),
    ]


@pytest.mark.parametrize(
    "value",
    [None, math.nan, math.inf, -math.inf, 1e39, 3e38, -1e39, 10**400, "1", np.str_("1"), [1.0], 1j, Score(math.nan, 0.0),
     Score(1.0, 1.5), Score(1.0, -0.1), Score(1.0, math.nan), Score(1e39, 1.0), np.array([1.0, 2.0]), np.array([])],
)  # fmt: skip
def test_what_is_no_finite_number_names_task_and_prompt(value: object):
    with pytest.raises(
        RewardError,
        match=r"^task 'math', prompt 17: reward function .*constant_reward .*returned .*need",
    ):
        make(returning([0.0, value])).score(ROWS, ["", ""], [4, 17])


@pytest.mark.parametrize(
    "values", [None, 1.0, "ab", [1.0], [1.0] * 3, {"a": 1, "b": 2}, np.float64(1), Score(1, 1)]
)
def test_wrong_number_of_values(values: object):
    with pytest.raises(
        RewardError, match=r"task 'math', prompts 4 to 17: .*one number per completion is needed"
    ):
        make(returning(values)).score(ROWS, ["", ""], [4, 17])


def test_a_reward_that_raises_names_the_prompt_and_is_chained():
    task = make(each(lambda text, row: 1 / (row["answer"] != "4")))
    with pytest.raises(
        RewardError,
        match=r"^task 'math', prompt 17: reward function .*lambda.* raised ZeroDivisionError: division",
    ) as caught:
        task.score(ROWS, ["", ""], [4, 17])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_reward_that_only_raises_on_batches():
    def only_one(prompts: Any, **_: Any) -> list[float]:
        if len(prompts) > 1:
            raise ValueError("one at a time")
        return [0.0]

    with pytest.raises(RewardError, match=r"prompts 0 to 1 \(only together.*one at a time"):
        make(only_one).score(ROWS, ["", ""])


def test_a_missing_package_is_not_the_prompts_fault():
    def needs(**_: Any) -> list[float]:
        raise MissingExtra("mathx: not installed")

    with pytest.raises(MissingExtra):
        make(needs).score(ROWS, ["", ""])


def test_score_wants_one_row_per_completion():
    with pytest.raises(TaskError, match="2 rows, 1 completion and"):
        make().score(ROWS, [""])
    with pytest.raises(
        TaskError, match="prompt 3: no column 'prompt'; columns there are: question"
    ):
        make().score([{"question": "?"}], [""], [3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "non-empty"),
        ({"name": " a"}, "space around"),
        ({"name": "a\nb"}, "printable"),
        ({"name": 3}, "task name 3"),
        ({"reward": None}, "reward is a NoneType"),
        ({"oracle": "x"}, "oracle is a str"),
        ({"train": []}, "no rows"),
        ({"train": "abc"}, "train: found str"),
        ({"train": iter(ROWS)}, "a sequence of rows"),
        (
            {"train": [{"question": "?"}]},
            "train, row 0: no column 'prompt'; columns there are: question",
        ),
        ({"test": [{"prompt": 3}]}, "test, row 0: prompt is a int"),
        ({"train": ["text"]}, "train, row 0: found str"),
        ({"train": [{"prompt": "p", "completions": 1}]}, "reserved"),
        ({"correct_at": math.nan}, "correct_at"),
        ({"correct_at": "1"}, "correct_at"),
        ({"floor": 1.0}, "floor"),
        ({"floor": -0.1}, "floor"),
    ],
)
def test_bad_attributes_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(TaskError, match=message) as caught:
        make(**options)
    assert "\n" not in str(caught.value)


def test_async_rewards_are_refused():
    async def reward(**_: Any) -> list[float]:
        return []

    with pytest.raises(TaskError, match="async"):
        make(reward)


def test_repr_is_short():
    assert repr(make()) == "Task('math', 2 train rows, 0 test rows)"


# ---- rows are the user's -----------------------------------------------------------------------------------
def uses_up(text: str, row: Any) -> float:
    """Right when every number is used once. It takes the row's own numbers out, one by one."""
    for number in text.split("+"):
        if int(number) not in row["numbers"]:
            return 0.0
        row["numbers"].remove(int(number))
    return float(not row["numbers"])


def test_a_reward_may_use_up_its_row():
    row = {"prompt": [{"role": "user", "content": "use 3 and 4"}], "numbers": [3, 4]}
    task = Task("sums", [row], [], each(uses_up), correct_at=1.0)
    for _ in range(2):  # in the next epoch, too
        assert task.score([row, row], ["3+4", "4+3"]) == [Score(1.0, 1.0)] * 2
    assert task.train[0] == {
        "prompt": [{"role": "user", "content": "use 3 and 4"}],
        "numbers": [3, 4],
    }


def test_prompts_and_completions_are_copies_too():
    def reward(prompts: Any, completions: Any, **_: Any) -> list[float]:
        lengths = [
            float(len(prompt) + len(completion))
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        for messages in (*prompts, *completions):
            messages.append(messages[0])
            messages[0]["content"] = ""
        return lengths

    message = {"role": "user", "content": "hello"}
    row, completion = {"prompt": [message]}, [{"role": "assistant", "content": "hi"}]
    task = Task("chat", [row], [], reward)
    for _ in range(2):
        assert [s.reward for s in task.score([row, row], [completion, completion])] == [2.0, 2.0]
    assert row == {"prompt": [{"role": "user", "content": "hello"}]}
    assert completion == [{"role": "assistant", "content": "hi"}]


def test_the_search_for_the_culprit_sees_the_row_as_it_was():
    def reward(prompts: Any, completions: Any, numbers: Any, **_: Any) -> list[float]:
        popped = [values.pop() for values in numbers]  # raises on a list that was used up before
        if "bad" in completions:
            raise ValueError("bad")
        return [float(value) for value in popped]

    row = {"prompt": "p", "numbers": [1]}
    with pytest.raises(RewardError, match=r"prompt 1: .* raised ValueError: bad"):
        Task("t", [row], [], reward).score([row, row], ["good", "bad"])


# ---- rounding decides nothing ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reward", "correct_at"),
    [
        (0.7 + 0.2 + 0.1, 1.0),
        (sum([0.1] * 10), 1.0),
        (np.float32(0.9), 0.9),
        (3 * 0.1 * 1e6, 0.3e6),
    ],
)
def test_rounding_does_not_make_an_answer_wrong(reward: Any, correct_at: float):
    assert float(reward) < correct_at or reward == pytest.approx(correct_at)
    assert (
        make(returning([reward, 0.0]), correct_at=correct_at).score(ROWS, ["", ""])[0].accuracy
        == 1.0
    )


@pytest.mark.parametrize(("reward", "correct_at"), [(0.99, 1.0), (0.9, 0.9001), (-1e-3, 0.0)])
def test_what_is_short_of_it_is_wrong(reward: float, correct_at: float):
    assert (
        make(returning([reward, 0.0]), correct_at=correct_at).score(ROWS, ["", ""])[0].accuracy
        == 0.0
    )


@pytest.mark.parametrize(
    ("given", "kept"), [(-2.8e-17, 0.0), (1.0 + 2e-16, 1.0), (np.float32(0.3), pytest.approx(0.3))]
)
def test_accuracies_that_rounding_put_outside_are_at_the_edge(given: Any, kept: float):
    assert make(returning([Score(1.0, given), 0.0])).score(ROWS, ["", ""])[0].accuracy == kept


# ---- types with one meaning --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "values", [[True, False], np.array([True, False]), [np.True_, 0], (1, False)]
)
def test_booleans_are_one_and_zero(values: Any):
    assert make(returning(values)).score(ROWS, ["", ""]) == [Score(1.0, 1.0), Score(0.0, 0.0)]
    assert make(returning([Score(2.0, True), 0.0])).score(ROWS, ["", ""])[0] == Score(2.0, 1.0)


def test_tensors_mean_what_lists_mean():
    torch = pytest.importorskip("torch")
    lists = [[True, False], [1.0, 0.5], [1, 0]]
    for values in lists:
        expected = make(returning(values)).score(ROWS, ["", ""])
        assert make(returning(torch.tensor(values))).score(ROWS, ["", ""]) == expected
        assert make(returning(torch.tensor(values)[:, None])).score(ROWS, ["", ""]) == expected


# ---- graded tasks ----------------------------------------------------------------------------------
def graded(**options) -> Task:
    def reward(completions, **_):
        return [float(completion) for completion in completions]

    return Task("essay", [{"prompt": "Write."}], [], reward, **options)


def test_without_a_word_on_what_is_right_there_is_no_accuracy():
    row = {"prompt": "Write."}
    assert graded().score([row, row], ["0.9", "-2"]) == [Score(0.9, None), Score(-2.0, None)]
    assert graded(correct_at=0.9).score([row], ["0.9"]) == [Score(0.9, 1.0)]

    silent = Task(
        "essay", [row], [], lambda completions, **_: [Score(0.5, None)] * len(completions)
    )
    assert silent.score([row], ["x"]) == [Score(0.5, None)]


@pytest.mark.parametrize("limits", [(1.0, 0.0), (0.0, 0.0), (0.0,), (0.0, float("inf")), 3, "ab"])
def test_a_range_that_is_none_is_refused(limits):
    with pytest.raises(TaskError, match=r"task 'essay': reward_range is .*the lower one first"):
        graded(reward_range=limits)


def test_a_task_is_compared_by_its_accuracy_or_by_its_rewards():
    with pytest.raises(TaskError, match="reward_range and correct_at are both given"):
        graded(reward_range=(0.0, 1.0), correct_at=1.0)
