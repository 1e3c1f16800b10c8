"""A run that goes on with other data: tasks joined, left, grew or shrank since its checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.prompts import PromptStream
from mtgrpo.core.task_news import TaskNews
from mtgrpo.errors import StateError
from mtgrpo.integrations.verl.settings import WHERE

logger = logging.getLogger(__name__)


def resume(ledger: RolloutLedger, state: Mapping[str, Any], families: Mapping[str, str]) -> None:
    """Load a ledger's state, whatever has become of the tasks since; what changed is logged.

    Args:
        ledger: Of the tasks and rows that there are now.
        state: From `RolloutLedger.state_dict`.
        families: Family of each task of now that has one.

    Raises:
        StateError: Prompts of the saved tasks were on their way, or another seed, batch size or
            weighting.
        ConfigError: The method cannot follow.
    """
    saved: Mapping[str, Any] = state.get("streams", {})
    sizes = {name: stream["size"] for name, stream in saved.items()}
    sizes_now = {name: stream.size for name, stream in ledger.streams.items()}
    if not sizes or list(sizes.items()) == list(sizes_now.items()):
        ledger.load_state_dict(state)
        return

    news = _news(sizes, sizes_now)
    if state["mixer"]["batch"] is not None or state["tickets"]["out"]:
        raise StateError(
            f"{WHERE}: prompts of the checkpoint are on their way, and since then {_line(news)}; "
            "resume with the same data, or from a checkpoint of trainer.v1.trainer_mode=sync"
        )

    mixer, streams = ledger.mixer, ledger.streams
    now = mixer.tasks
    if tuple(sizes) != now:
        mixer.change_tasks(tuple(sizes))
    for name, size in sizes.items():
        if name in streams:
            streams[name].resize(size)

    everyone = {
        name: streams[name] if name in streams else _stream_like(name, saved[name])
        for name in sizes
    }
    RolloutLedger(mixer, everyone).load_state_dict(state)

    for name in sizes.keys() & sizes_now.keys():
        streams[name].resize(sizes_now[name])
    if tuple(sizes) != now:
        mixer.change_tasks(now, families=families)

    # Tickets go on with their numbers; none is out.
    changed = {name: stream.state_dict() for name, stream in streams.items()}
    ledger.load_state_dict({**state, "mixer": mixer.state_dict(), "streams": changed})

    if news:
        logger.warning("%s: resumed at step %d with other data: %s", WHERE, mixer.step, _line(news))


def _stream_like(name: str, saved: Mapping[str, Any]) -> PromptStream:
    return PromptStream(name, saved["size"], saved["seed"], remember="memory" in saved)


def _news(before: Mapping[str, int], now: Mapping[str, int]) -> list[TaskNews]:
    news = [TaskNews(name, "left", size) for name, size in before.items() if name not in now]
    news += [TaskNews(name, "joined", size) for name, size in now.items() if name not in before]
    for name, size in now.items():
        if before.get(name, size) != size:
            change = "grown" if size > before[name] else "shrunk"
            news.append(TaskNews(name, change, size, before[name]))
    return news


def _line(news: Sequence[TaskNews]) -> str:
    return "; ".join(map(str, news)) or "the tasks are in another order"
