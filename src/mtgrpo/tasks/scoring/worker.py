"""The process a reward runs in; `mtgrpo.tasks.scoring.reward_process` starts it and talks to it.

The first message says how to get the reward and is answered by ``{"ready": true}``. Each message
after it is a call for one group. It is answered twice: by ``{"begun": true}`` as soon as it is
taken up, and by scores or by what went wrong.
"""

from __future__ import annotations

import time
from typing import Any

from mtgrpo.errors import MissingExtra, MtgrpoError
from mtgrpo.tasks.children.channel import Channel, open_channel
from mtgrpo.tasks.scoring.recipe import reward_from_recipe
from mtgrpo.tasks.sources.generated import GeneratedRows
from mtgrpo.tasks.task import Task


def main() -> None:
    """Serve until there are no more messages."""
    channel = open_channel()
    task = None

    while (message := channel.receive()) is not None:
        start = time.perf_counter()
        try:
            if task is None:
                task = _get_ready(message)
                answer: dict[str, Any] = {"ready": True}
            else:
                answer = {"scores": _scores(channel, task, message)}
        except MissingExtra as error:
            answer = {"missing": str(error)}
        except MtgrpoError as error:
            answer = {"error": str(error)}

        answer["seconds"] = time.perf_counter() - start
        channel.send(answer)


def _get_ready(hello: dict[str, Any]) -> Task:
    name = hello["name"]
    reward = reward_from_recipe(hello["recipe"], name)
    # Rows come with the calls; of one that would be generated nobody expects columns.
    unseen = GeneratedRows(1, lambda index: {"prompt": ""})
    return Task(name, unseen, [], reward, correct_at=hello["correct_at"])


def _scores(channel: Channel, task: Task, call: dict[str, Any]) -> list[list[float | None]]:
    channel.send({"begun": True})

    completions = call["completions"]
    rows = [call["row"]] * len(completions)
    indices = [call["index"]] * len(completions)
    scores = task.score(rows, completions, indices)
    return [[score.reward, score.accuracy] for score in scores]
