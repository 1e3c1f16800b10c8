"""What a model is asked, made of what a row's column holds: a template, a chat message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mtgrpo.errors import TaskError


@dataclass(frozen=True)
class PromptShape:
    """How the texts of a column become prompts.

    Args:
        column: Name of the column.
        template: The prompt; ``{column}``, with that column's name, stands for the row's own text.
            Nothing else is replaced: the right answer must not get into a prompt by its name.
        chat: Whether a text becomes one chat message of the user.

    Raises:
        TaskError: The template has no place for the text.
    """

    column: str = "prompt"
    template: str | None = None
    chat: bool = False

    def __post_init__(self) -> None:
        if self.template is not None and self.mark not in self.template:
            raise TaskError(
                f"template: no {self.mark} in it; put it where the text of the column "
                f"{self.column!r} belongs"
            )

    @property
    def mark(self) -> str:
        """What stands for a row's text in the template."""
        return f"{{{self.column}}}"

    def shaped(self, rows: Iterable[Mapping[str, Any]], where: str) -> list[dict[str, Any]]:
        """The rows, with prompts as they are asked; chat messages stay as they are.

        Raises:
            TaskError: A template is given, and a prompt is no text.
        """
        return [
            {**row, "prompt": self._of(row["prompt"], f"{where}: row {i}")}
            for i, row in enumerate(rows)
        ]

    def _of(self, prompt: Any, where: str) -> Any:
        if not isinstance(prompt, str):
            if self.template is None:
                return prompt
            raise TaskError(
                f"{where}: the prompt is chat messages, which no template can hold; leave template "
                "out, or name a column of texts"
            )

        text = prompt if self.template is None else self.template.replace(self.mark, prompt)
        return [{"role": "user", "content": text}] if self.chat else text
