"""A run whose tasks change: who is trained on now, and what is said when that changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.prompts import PromptStream
from mtgrpo.core.task_news import TaskNews
from mtgrpo.core.types import State
from mtgrpo.errors import ConfigError, StateError
from mtgrpo.integrations.trl.schedule import WHERE
from mtgrpo.tasks.task_set import TaskSet

Tell = Callable[[int, Sequence[TaskNews]], None]
"""Takes the number of the first step of which they are true, from 1, and the news."""


class ChangingTasks:
    """Keeps the mixer at the tasks that are to be trained on.

    Args:
        tasks: The run's, present or not.
        mixer: Bound to all of them that have rows to train on.
        streams: Prompts of each of these.
        make_stream: Makes those of a task's name and number of rows.
        tell: Is told what changed.

    Attributes:
        tasks: Those that may be trained on, each in its steps.
    """

    def __init__(
        self,
        tasks: TaskSet,
        mixer: TaskMixer,
        streams: dict[str, Any],
        make_stream: Callable[[str, int], PromptStream],
        tell: Tell,
    ) -> None:
        self.tasks, self.mixer, self.streams = tasks, mixer, streams
        self._make_stream, self._tell = make_stream, tell
        self._sizes: dict[str, int] = {}  # before rows were changed, until that is told
        if tasks.present(0) != mixer.tasks:
            self._move_to(tasks.present(0))

    def follow(self) -> None:
        """Before a step: those whose time has come join, others leave.

        Raises:
            ConfigError: No task is left.
        """
        before, now = self.mixer.tasks, self.tasks.present(self.mixer.step)
        left = [name for name in before if name not in now]
        joined = [name for name in now if name not in before]

        news = [TaskNews(name, "left", self._num_rows(name)) for name in left]
        news += [TaskNews(name, "joined", self._num_rows(name)) for name in joined]
        news += self._resized(now)

        if before != now:
            self._move_to(now)
        if news:
            self._tell(self.mixer.step + 1, news)

    def _move_to(self, names: tuple[str, ...]) -> None:
        if not names:
            raise ConfigError(
                f"{WHERE}: no task is left to train on in step {self.mixer.step + 1}; give one a "
                "later until_step, or an earlier from_step"
            )
        families = self.tasks.families
        self.mixer.change_tasks(
            names,
            families={name: families[name] for name in names if name in families},
            reward_ranges=self.tasks.reward_ranges,  # of tasks that are only tested, too
        )

    def _num_rows(self, name: str) -> int:
        return self.streams[name].size if name in self.streams else self._sizes[name]

    def _resized(self, names: Sequence[str]) -> list[TaskNews]:
        news: list[TaskNews] = []
        for name, size in self._sizes.items():
            now = self._num_rows(name)
            if name in names and now != size:
                news.append(TaskNews(name, "grown" if now > size else "shrunk", now, size))
        self._sizes = {}
        return news

    def replace(self, tasks: TaskSet) -> None:
        """Train on these tasks from the next step on.

        Raises:
            ConfigError: None of them is to be trained on then, or the method cannot follow.
        """
        if not tasks.present(self.mixer.step):
            raise ConfigError(
                f"{WHERE}: change_tasks: none of {list(tasks.names)} has rows to train on in step "
                f"{self.mixer.step + 1}; keep at least one that has"
            )

        self.mixer.weighting.check_changeable()
        self.mixer.sampler.acceptance.check_changeable()

        self.tasks = tasks
        shrunk: set[str] = set()
        for name in tasks.trained:
            size = len(tasks[name].train)
            if name not in self.streams:
                self.streams[name] = self._make_stream(name, size)
                continue

            if size < self.streams[name].size:
                shrunk.add(name)
            self._sizes.setdefault(name, self.streams[name].size)
            self.streams[name].resize(size)

        # What waits in the bank may be of rows that are gone.
        self.mixer.sampler.bank.keep_tasks(set(self.mixer.tasks) - shrunk)

    # ---- checkpoints ---------------------------------------------------------------------------
    def state_dict(self) -> State:
        """Where the tasks' prompts stand."""
        return {name: stream.state_dict() for name, stream in self.streams.items()}

    def load_state_dict(self, streams: State, mixer: Mapping[str, Any]) -> None:
        """Continue where a run stood, and go on with the tasks that there are now.

        Args:
            streams: From `state_dict`.
            mixer: The mixer's state.

        Raises:
            StateError: A batch is open, and its tasks are not those of now.
        """
        names = tuple(mixer["tasks"])
        if mixer["batch"] is not None and list(streams) != list(self.streams):
            raise StateError(
                f"checkpoint: a batch of the tasks {list(streams)} is half used, now there are "
                f"{list(self.streams)}; change tasks from a checkpoint at the end of a step"
            )

        if names != self.mixer.tasks:
            self.mixer.change_tasks(names)
        self.mixer.load_state_dict(mixer)
        self._sizes = {}
        for name, stream in self.streams.items():
            if name in streams:
                self._take_up(stream, streams[name])

        # What waits in the bank may be of rows that are gone.
        kept: list[str] = []
        for name in names:
            if name not in self.streams:
                self._sizes[name] = streams[name]["size"]
            elif self._sizes.get(name, 0) <= self.streams[name].size:
                kept.append(name)
        self.mixer.sampler.bank.keep_tasks(kept)

    def _take_up(self, stream: Any, saved: State) -> None:
        now = stream.size
        if isinstance(stream, PromptStream) and saved["size"] != now:
            self._sizes[stream.name] = saved["size"]
            stream.resize(saved["size"])
            stream.load_state_dict(saved)
            stream.resize(now)
        else:
            stream.load_state_dict(saved)
