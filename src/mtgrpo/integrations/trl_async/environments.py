"""Environments and tools of the asynchronous loop: each completion plays in one of its own.

TRL's loop resets environments between two requests, one after the other, and ends where one raises.
Here all that is the user's runs in threads, as a part of its completion: what raises or hangs costs
a group, and the loop goes on.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from mtgrpo.errors import ConfigError, RewardError, unknown
from mtgrpo.integrations.trl.own_code import COLUMN, check_description, check_names, check_reset
from mtgrpo.integrations.trl_async.seam import WHERE
from mtgrpo.tasks.numeric import LARGEST_REWARD, as_reward
from mtgrpo.tasks.own_copy import own_copy

NOT_TOOLS = frozenset({"reset", "get_reward"})


@dataclass(slots=True)
class Episode:
    """One completion, and the environment that it plays in.

    Attributes:
        prompt: The row's messages, with what `reset` returned.
        tools: What the chat template shows of functions and methods.
        calls: How TRL calls them, by name: without waiting in the loop's own thread.
        name: That of the environment's class among several.
        environment: Holds the episode's state; None without environments.
        reward: What its `get_reward` gave: NaN where it cannot be trained on; None without one.
    """

    prompt: list[dict[str, Any]]
    tools: list[Callable[..., Any]]
    calls: dict[str, Callable[..., Any]]
    name: str | None = None
    environment: Any = None
    reward: float | None = None


@dataclass
class Environments:
    """Makes environments, hands them out for one episode, and takes them back.

    Args:
        factory: TRL's ``environment_factory``: one for all rows, or several by name.
        tools: Functions for all tasks.

    Raises:
        ConfigError: A factory gives what has no method `reset`, one that cannot be described, or
            one that is called as a tool is.
    """

    factory: Callable[[], Any] | Mapping[str, Callable[[], Any]] | None = None
    tools: Sequence[Callable[..., Any]] = ()
    _free: dict[str | None, list[Any]] = field(default_factory=lambda: defaultdict(list))
    _all_methods: list[Callable[..., Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, factory in self._factories.items():
            environment = factory()
            kind = type(environment)
            check_reset(kind, kind.__name__, f"{WHERE}: environment_factory")
            methods = _methods(environment)
            names = [tool.__name__ for tool in (*self.tools, *methods)]
            check_names(names, f"{WHERE}: tools and methods of {type(environment).__name__}")

            for method in methods:
                path = f"{type(environment).__name__}.{method.__name__}"
                check_description(method, path, f"{WHERE}: environment_factory")
                self._all_methods.append(method)
            self._free[name].append(environment)

    @property
    def _factories(self) -> dict[str | None, Callable[[], Any]]:
        if isinstance(self.factory, Mapping):
            return {**self.factory}
        return {} if self.factory is None else {None: self.factory}

    @property
    def all_tools(self) -> list[Callable[..., Any]]:
        """Functions, and the methods of all environments."""
        return [*self.tools, *self._all_methods]

    async def begin(self, row: Mapping[str, Any]) -> Episode:
        """An episode of a row, whose columns `reset` gets.

        Raises:
            ConfigError: The row names no environment.
            Exception: What the environment raises.
        """
        columns = own_copy(dict(row))
        prompt, tools = columns["prompt"], list(self.tools)
        if self.factory is None:
            return Episode(prompt, tools, _calls(tools))

        name = self._name_of(columns)
        free, make = self._free[name], self._factories[name]
        environment = free.pop() if free else await in_thread(make)
        seen = await in_thread(environment.reset, **columns)

        tools += _methods(environment)
        return Episode(_observed(row["prompt"], seen), tools, _calls(tools), name, environment)

    def _name_of(self, columns: dict[str, Any]) -> str | None:
        """Which environment a row has; where there are several its column is taken out."""
        if not isinstance(self.factory, Mapping):
            return None

        name = columns.pop(COLUMN, None)
        if name not in self.factory:
            raise ConfigError(unknown(f"{WHERE}: column {COLUMN!r}", COLUMN, name, self.factory))
        return name

    async def finish(self, episode: Episode, where: str, on_error: str) -> None:
        """Ask the environment for its own reward, if it has one.

        Args:
            episode: Played to its end.
            where: Task and prompt.
            on_error: ``"fail"``, or ``"drop"`` for NaN in the place of an error.

        Raises:
            RewardError: The reward cannot be trained on.
            Exception: What the environment raises.
        """
        get_reward = getattr(episode.environment, "get_reward", None)
        if get_reward is None:
            return
        value = await (get_reward() if _is_async(get_reward) else in_thread(get_reward))
        if value is None or value != value:
            return  # as with TRL: it does not apply

        episode.reward = as_reward(value)
        if episode.reward is None:
            episode.reward = math.nan
            if on_error == "fail":
                raise RewardError(
                    f"{where}: get_reward of its environment returned {value!r}; a number within "
                    f"{LARGEST_REWARD:g} is needed, or None where there is none"
                )

    def take_back(self, episodes: Sequence[Episode | None]) -> None:
        """The environments of episodes that are over and scored may play others."""
        for episode in episodes:
            if episode is not None and episode.environment is not None:
                self._free[episode.name].append(episode.environment)


async def in_thread(call: Callable[..., Any], **arguments: Any) -> Any:
    """Call the user's code without stopping the loop, nor the program's end if it hangs.

    Raises:
        Exception: What it raises; RuntimeError for what would end the loop.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def tell(value: Any, error: Exception | None) -> None:
        if future.done():  # given up meanwhile
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    def run() -> None:
        value: Any = None
        error: Exception | None = None
        try:
            value = call(**arguments)
        except BaseException as raised:  # whatever it is: the completion must not wait for ever
            error = RuntimeError(f"{type(raised).__name__}: {raised}")
            if isinstance(raised, Exception) and not isinstance(raised, StopIteration):
                error = raised
        try:
            loop.call_soon_threadsafe(tell, value, error)
        except RuntimeError:  # the loop has ended meanwhile
            return

    # No thread of a pool: Python waits for those at its end, and a call may hang.
    threading.Thread(target=run, name="mtgrpo-environment", daemon=True).start()
    return await future


def _methods(environment: Any) -> list[Callable[..., Any]]:
    """The public methods, as TRL finds them: on the class, as properties may have effects."""
    members = inspect.getmembers(type(environment), predicate=inspect.isfunction)
    names = [name for name, _ in members if not name.startswith("_") and name not in NOT_TOOLS]
    return [getattr(environment, name) for name in names]


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function)


def _calls(tools: Sequence[Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """The tools by name, as coroutines: TRL would call plain functions in a pool of its own."""
    return {tool.__name__: tool if _is_async(tool) else _called(tool) for tool in tools}


def _called(tool: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(tool)
    async def call(**arguments: Any) -> Any:
        return await in_thread(tool, **arguments)

    return call


def _observed(prompt: Sequence[Mapping[str, Any]], seen: Any) -> list[dict[str, Any]]:
    """The messages, the last of which goes on with what `reset` returned, as in TRL."""
    messages = [dict(message) for message in prompt]
    if seen is None:
        return messages

    content: Any = messages[-1]["content"]
    if isinstance(seen, list) and isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if isinstance(seen, str) and isinstance(content, list):
        seen = [{"type": "text", "text": seen}]
    messages[-1]["content"] = content + cast("Any", seen)
    return messages
