"""What engines can take as prompts: checked before hours are spent, and named by task and row.

A prompt is a text or a list of chat messages, and all prompts of a run are of one kind: engines
look at the first prompt of a batch and take the others for the same.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from mtgrpo.errors import TaskError
from mtgrpo.tasks.scores import Row
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet

OWN_COLUMNS = ("mtgrpo_task", "mtgrpo_row")
"""Columns in which a row's task and number travel through an engine."""
IMAGE_COLUMNS = ("images", "image")
"""Columns that engines take for pictures of the prompt."""


class PromptKind(NamedTuple):
    """What the prompts of a run have in common.

    Attributes:
        is_chat: Whether they are chat messages; else they are texts.
        image_column: The column with their pictures; None where there is none.
    """

    is_chat: bool
    image_column: str | None = None

    def __str__(self) -> str:
        name = "chat messages" if self.is_chat else "texts"
        return name if self.image_column is None else f"{name} with a column {self.image_column!r}"


class PromptCheck:
    """Checks prompts: those in memory at once, generated ones as they come.

    Args:
        tasks: The tasks of a run.

    Attributes:
        kind: That of the first prompt, and of all.
        images_at: Where the first prompt with pictures was seen; empty where none was.

    Raises:
        TaskError: A prompt cannot be used; names task and row.
    """

    def __init__(self, tasks: TaskSet) -> None:
        self.kind: PromptKind | None = None
        self.images_at = ""
        self._first = ""  # task of the first prompt
        self._refused = ""

        self.check_all(tasks)

    def check_all(self, tasks: TaskSet) -> None:
        """Check the rows of these tasks that are there already.

        Raises:
            TaskError: A prompt cannot be used; names task and row.
        """
        for task in tasks:
            for split, rows in (("train", task.train), ("test", task.test)):
                # Making all generated rows here could take hours: one shows their kind.
                size = len(rows) if isinstance(rows, (list, tuple)) else min(1, len(rows))
                for i in range(size):
                    self.check(task, split, i, rows[i])

    def __repr__(self) -> str:
        return f"PromptCheck({self.kind})"

    def check(self, task: Task, split: str, index: int, row: Row) -> None:
        """Check a row.

        Args:
            task: Its task.
            split: ``"train"`` or ``"test"``.
            index: Its number.
            row: The row.

        Raises:
            TaskError: It cannot be used; names task and row.
        """
        where = f"task {task.name!r}, {split} row {index}"
        _check_columns(row, where)
        check_prompt(row["prompt"], where)

        kind = _kind(row)
        if self.kind is None:
            self.kind, self._first = kind, task.name
        elif kind != self.kind:
            raise TaskError(f"{where}: {self._difference(task.name, kind)}")

        if _has_images(row):
            self.images_at = self.images_at or where
            self._refuse_at(where)

    def _difference(self, name: str, kind: PromptKind) -> str:
        """What to say of prompts of task `name` that are not of the kind of the first."""
        if self.kind is None:
            return ""

        those = f"this one is {kind}"
        if name != self._first:
            those = f"those of task {name!r} are {kind}"
        found = f"prompts of task {self._first!r} are {self.kind}, {those}"

        if kind.is_chat == self.kind.is_chat:
            return f"{found}; engines need one kind in a run; give all the same column of images"

        way = "make them all texts or all chat messages"
        if name != self._first:
            texts, chats = (self._first, name) if kind.is_chat else (name, self._first)
            way = (
                f"{way}; chat: true in an entry makes its file's texts chat messages: "
                f"give it to {texts!r}, or take it from {chats!r}"
            )
        return f"{found}; engines need one kind in a run; {way}"

    def refuse_images(self, reason: str) -> None:
        """From now on prompts with pictures are refused.

        Args:
            reason: What keeps a run from having them.

        Raises:
            TaskError: There are some already; names task and row of the first.
        """
        self._refused = reason
        if self.images_at:
            self._refuse_at(self.images_at)

    def _refuse_at(self, where: str) -> None:
        if self._refused:
            raise TaskError(
                f"{where}: the prompt has images, but {self._refused}; take them out, and "
                f"rename columns called {' or '.join(map(repr, sorted(IMAGE_COLUMNS)))}"
            )


def check_prompt(prompt: Any, where: str) -> None:
    """Check one prompt.

    Args:
        prompt: A text, or a list of chat messages. A message has a role and a content, and may have
            more keys, which go to the chat template.
        where: Its place, for the error.

    Raises:
        TaskError: It is something else, it is empty, or it cannot be encoded.
    """
    if not isinstance(prompt, (str, list, tuple)):
        kind = type(prompt).__name__
        raise TaskError(f"{where}: prompt is a {kind}; a text or a list of chat messages is needed")

    if not prompt:
        raise TaskError(f"{where}: the prompt is empty: {prompt!r}; a text or messages are needed")

    if isinstance(prompt, str):
        _check_text(prompt, where)
        return

    for i, message in enumerate(cast("Sequence[Any]", prompt)):
        _check_message(message, f"{where}, message {i}")


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, Mapping):
        kind = type(message).__name__
        raise TaskError(f"{where}: found {kind}; a mapping with role and content is needed")

    message = cast("Mapping[str, Any]", message)
    for key in ("role", "content"):
        if key not in message:
            keys = ", ".join(map(str, message))
            raise TaskError(f"{where}: no {key!r}; keys there are: {keys}; give every message both")

    if not isinstance(message["role"], str):
        raise TaskError(f"{where}: role is {message['role']!r}; a text is needed")

    content = message["content"]
    if isinstance(content, str):
        _check_text(content, where)
    elif isinstance(content, (list, tuple)):
        for part in cast("Sequence[Any]", content):
            _check_part(part, where)
    elif content is not None or not message.get("tool_calls"):
        raise TaskError(
            f"{where}: content is a {type(content).__name__}; a text or a list of parts is needed, "
            "or None beside tool_calls"
        )


def _check_part(part: Any, where: str) -> None:
    if not isinstance(part, Mapping) or "type" not in part:
        raise TaskError(
            f"{where}: a part of its content is {reprlib.repr(cast('object', part))}; a mapping "
            "with a type is needed, such as {'type': 'text', 'text': ...}"
        )
    text = cast("Mapping[str, Any]", part).get("text", "")
    if isinstance(text, str):
        _check_text(text, where)


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TaskError(
            f"{where}: the character {text[error.start]!r} at {error.start} is half of a pair and "
            "no tokenizer takes it; decode the data with errors='replace'"
        ) from None


def _check_columns(row: Row, where: str) -> None:
    if "prompt" not in row:
        names = ", ".join(map(str, row))
        raise TaskError(f"{where}: no column 'prompt'; columns there are: {names}")

    for name in OWN_COLUMNS:
        if name in row:
            raise TaskError(f"{where}: column {name!r} is used by mtgrpo itself; rename it")

    kind = _kind(row)
    if kind.image_column is not None and not kind.is_chat:
        raise TaskError(
            f"{where}: for engines a column {kind.image_column!r} says that prompts have images, "
            "and texts cannot; rename it, or make the prompt chat messages"
        )


def _kind(row: Row) -> PromptKind:
    column = next((name for name in IMAGE_COLUMNS if name in row), None)
    return PromptKind(not isinstance(row["prompt"], str), column)


def _has_images(row: Row) -> bool:
    kind = _kind(row)
    if not kind.is_chat or kind.image_column is not None:
        return kind.image_column is not None

    for message in cast("Sequence[Mapping[str, Any]]", row["prompt"]):
        content = message["content"]
        if isinstance(content, (list, tuple)):
            parts = cast("Sequence[Mapping[str, Any]]", content)
            if any(part["type"] == "image" for part in parts):
                return True
    return False
