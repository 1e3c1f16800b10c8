"""Prompts that no engine can take are refused with task and row, in memory at once and generated as they come."""

from collections.abc import Sequence

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks import Task, TaskSet
from mtgrpo.tasks.prompts import PromptCheck, check_prompt

GOOD = [{"role": "user", "content": "2 + 2?"}]
CALL = [{"id": "1", "function": {"name": "add", "arguments": {}}}]


def reward(prompts, completions, **columns):
    return [0.0] * len(completions)


def task(name: str, *rows, test: Sequence = ()) -> Task:
    return Task(
        name, [{"prompt": p} if isinstance(p, (str, list)) else p for p in rows], test, reward
    )


class Generated(Sequence):
    """Rows that are made when they are asked for."""

    def __init__(self, *rows):
        self.rows, self.made = rows, []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        self.made.append(i)
        return self.rows[i]


BAD = {
    "no text": (17, "prompt is a int; a text or a list of chat messages is needed"),
    "empty text": ("", "the prompt is empty: ''"),
    "no messages": ([], r"the prompt is empty: \[\]"),
    "half a pair": ("a\ud83d", r"the character '\\ud83d' at 1 is half of a pair"),
    "half a pair in a message": (
        [{"role": "user", "content": "\ud83d"}],
        r"message 0: the character '\\ud83d' at 0 is half of a pair",
    ),
    "half a pair in a part": (
        [{"role": "user", "content": [{"type": "text", "text": "\ud83d"}]}],
        "message 0: the character",
    ),
    "a text among messages": ([*GOOD, "more"], "message 1: found str; a mapping with role"),
    "no content": ([{"role": "user"}], "message 0: no 'content'; keys there are: role; give"),
    "no role": ([*GOOD, {"content": "x"}], "message 1: no 'role'; keys there are: content"),
    "a number": ([{"role": "user", "content": 4}], "message 0: content is a int; a text or a list"),
    "nothing": ([{"role": "user", "content": None}], "content is a NoneType; .*beside tool_calls"),
    "a role of None": ([{"role": None, "content": "x"}], "message 0: role is None; a text"),
    "a part": ([{"role": "user", "content": ["x"]}], "a part of its content is 'x'; a mapping"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_no_engine_can_take_is_named(name):
    prompt, message = BAD[name]
    with pytest.raises(TaskError, match=rf"^task 'a', train row 3.*{message}") as caught:
        check_prompt(prompt, "task 'a', train row 3")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "prompt",
    [
        "2 + 2?",
        " ",
        "\N{GRINNING FACE}",
        GOOD,
        tuple(GOOD),
        [{"role": "system", "content": ""}, *GOOD],
        [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image"}]}],
        [*GOOD, {"role": "assistant", "content": None, "tool_calls": CALL}],
        [{**GOOD[0], "name": "Ada", "tool_calls": None}],
    ],
)
def test_what_engines_can_take(prompt):
    check_prompt(prompt, "here")


def test_one_chat_among_texts_is_found_at_the_start():
    tasks = TaskSet(task("a", *["x"] * 399, GOOD))
    with pytest.raises(
        TaskError,
        match=r"^task 'a', train row 399: prompts of task 'a' are texts, this one is chat messages",
    ):
        PromptCheck(tasks)


def test_another_task_must_have_the_same_kind():
    tasks = TaskSet(task("a", GOOD), task("b", GOOD, test=[{"prompt": "x"}]))
    with pytest.raises(
        TaskError,
        match=r"^task 'b', test row 0: prompts of task 'a' are chat messages, those of task 'b' are "
        "texts; engines need one kind in a run; make them all texts or all chat messages; "
        "chat: true in an entry makes its file's texts chat messages: give it to 'b', or take it "
        "from 'a'$",
    ):
        PromptCheck(tasks)


def test_of_generated_rows_the_first_is_looked_at_and_the_others_as_they_come():
    rows = Generated({"prompt": "x"}, {"prompt": "y"}, {"prompt": GOOD})
    tasks = TaskSet(Task("a", rows, [], reward))
    check = PromptCheck(tasks)
    assert rows.made == [0]
    check.check(tasks["a"], "train", 1, rows[1])
    with pytest.raises(TaskError, match=r"^task 'a', train row 2: .* this one is chat messages"):
        check.check(tasks["a"], "train", 2, rows[2])


def test_generated_rows_without_a_prompt_are_named():
    tasks = TaskSet(Task("a", Generated({"question": "x"}), [], reward))
    with pytest.raises(TaskError, match=r"^task 'a', train row 0: no column 'prompt'; .* question"):
        PromptCheck(tasks)


@pytest.mark.parametrize("name", ["mtgrpo_task", "mtgrpo_row"])
def test_columns_of_our_own_are_refused(name):
    with pytest.raises(TaskError, match=rf"^task 'a', train row 1: column '{name}' is used by"):
        PromptCheck(TaskSet(task("a", "x", {"prompt": "y", name: 4})))


@pytest.mark.parametrize("name", ["image", "images"])
def test_texts_have_no_columns_of_images(name):
    with pytest.raises(
        TaskError, match=rf"^task 'a', train row 1: for engines a column '{name}' .* rename it"
    ):
        PromptCheck(TaskSet(task("a", "x", {"prompt": "y", name: None})))


def test_columns_of_images_are_the_same_in_all_rows():
    pictured = {"prompt": GOOD, "image": object()}
    check = PromptCheck(TaskSet(task("a", pictured, pictured)))
    assert str(check.kind) == "chat messages with a column 'image'"
    assert check.images_at == "task 'a', train row 0"
    with pytest.raises(
        TaskError,
        match=r"^task 'b', train row 0: prompts of task 'a' are chat messages with a column "
        "'image', those of task 'b' are chat messages; .* give all the same column of images$",
    ):
        PromptCheck(TaskSet(task("a", pictured), task("b", GOOD)))


def test_images_can_be_refused_before_and_after_they_are_seen():
    part = [{"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image"}]}]
    check = PromptCheck(TaskSet(task("a", GOOD, part)))
    assert check.images_at == "task 'a', train row 1"
    with pytest.raises(
        TaskError, match=r"^task 'a', train row 1: the prompt has images, but this model reads none"
    ):
        check.refuse_images("this model reads none")

    rows = Generated({"prompt": GOOD}, {"prompt": part})
    tasks = TaskSet(Task("a", rows, [], reward))
    check = PromptCheck(tasks)
    check.refuse_images("this model reads none")
    check.check(tasks["a"], "train", 0, rows[0])
    for _ in range(2):
        with pytest.raises(TaskError, match=r"^task 'a', train row 1: the prompt has images"):
            check.check(tasks["a"], "train", 1, rows[1])
