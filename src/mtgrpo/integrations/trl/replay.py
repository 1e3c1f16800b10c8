"""The seam in TRL: its own method rolls out, is left early, and runs again on the chosen rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from mtgrpo.core.types import Group
from mtgrpo.errors import RewardError
from mtgrpo.integrations.trl.reward_columns import weighted_sum
from mtgrpo.integrations.trl.rollouts import (
    IMAGES,
    DatasetInputRows,
    DatasetRow,
    InputRows,
    RecordedRow,
    RolledOut,
    copied,
    join_generation,
    split_generation,
    with_all_images,
)
from mtgrpo.tasks.numeric import LARGEST_REWARD


class _RoundDone(Exception):
    """Leaves TRL's method as soon as a round is generated and scored."""


@dataclass(slots=True)
class _Collected:
    """What TRL's method said of a round's rows."""

    generation: tuple[Any, ...] = ()
    prompts: Sequence[Any] = ()
    completions: Sequence[Any] = ()
    rewards: torch.Tensor | None = field(default=None)


@dataclass(frozen=True, slots=True)
class _Playback:
    """What TRL's method is told of the rows that are trained on."""

    generation: tuple[Any, ...]
    rewards: torch.Tensor


class RolloutReplay:
    """Runs TRL's `_generate_and_score_completions` on a round's rows, then on the chosen ones.

    *Collect*: it runs on a round's rows and is left by an exception when the rewards of all
    processes are known; no log-probabilities are computed meanwhile. *Replay*: it runs on the
    chosen rows, `_generate` and `_calculate_rewards` return what was recorded.

    Args:
        rows: Training rows are rolled out.
        group_size: Completions per prompt.
        measure: Gives reward and accuracy, shape (rows, 2), of TRL's rewards, shape (rows,
            columns), and each row's task; by default the weighted sum and the second column.

    Attributes:
        generation_seconds: What generating the last round took, without scoring it.
    """

    def __init__(
        self,
        rows: InputRows,
        group_size: int,
        measure: Callable[[torch.Tensor, Sequence[str]], torch.Tensor] | None = None,
    ) -> None:
        self.rows, self.group_size = rows, group_size
        self.measure = measure
        self._collected: _Collected | None = None
        self._playback: _Playback | None = None
        self.generation_seconds = self._started = 0.0

    # ---- collect -------------------------------------------------------------------------------
    @property
    def collects(self) -> bool:
        """Whether TRL's method is running on a round's rows."""
        return self._collected is not None

    @contextmanager
    def in_groups_of(self, size: int | None, trainer: Any) -> Iterator[None]:
        """While parts of groups are rolled out, so many completions of each prompt; None: whole."""
        if size is None:
            yield
            return

        whole = self.group_size, trainer.num_generations
        self.group_size = trainer.num_generations = size  # TRL's: vLLM is asked for so many
        try:
            yield
        finally:
            self.group_size, trainer.num_generations = whole

    def roll_out(
        self,
        plan: Sequence[tuple[str, int]],
        first_uid: int,
        method: Callable[[list[dict[str, Any]]], Any],
        trainer: Any,
    ) -> RolledOut:
        """One group per (task, training row), in order.

        Args:
            plan: As long as a multiple of the number of processes, and the same on each.
            first_uid: Number of the first group; the others follow.
            method: TRL's `_generate_and_score_completions`.
            trainer: TRL's; weighs reward columns and may have environments.

        Raises:
            RewardError: An environment gave a reward that cannot be trained on.
        """
        accelerator = trainer.accelerator
        share = len(plan) // accelerator.num_processes
        first = accelerator.process_index * share  # place of this process's first group
        inputs = self._inputs(plan[first : first + share])

        collected = self._collect(inputs, method)
        assert collected.rewards is not None  # set just before _RoundDone
        # Reward, accuracy and what environments give: (rows of all processes, columns)
        rewards = self._without_unusable(collected.rewards, plan)

        if trainer.environment_factories is not None:
            inputs = _with_observations(inputs, collected.prompts)

        size = self.group_size
        own = rewards[first * size : (first + share) * size].tolist()
        generations = split_generation(collected.generation, len(inputs))
        pending = getattr(trainer, "_pending_extra_logs", {})
        logged = {k: list(v) for k, v in pending.items() if len(v) == len(inputs)}
        rows: list[RecordedRow] = []
        for i, row in enumerate(inputs):
            columns = {name: values[i] for name, values in logged.items()}
            rows.append(RecordedRow(row, generations[i], tuple(own[i]), extra=columns))

        names = [task for task, _ in plan for _ in range(size)]
        totals, accuracies = self._measured(rewards, names, trainer)
        groups: list[Group] = []
        for g, (task, _) in enumerate(plan):
            place = (g - first) * size
            payload = rows[place : place + size] if first <= g < first + share else None
            right = () if is_graded(totals[g], accuracies[g]) else tuple(accuracies[g])
            uid = first_uid + g
            groups.append(Group(task, tuple(totals[g]), right, uid=uid, payload=payload))

        return RolledOut(groups, collected.prompts, collected.completions)

    def _inputs(self, plan: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
        inputs: list[dict[str, Any]] = []
        for task, index in plan:
            row = self.rows.train(task, index)
            inputs += [row, *(copied(row) for _ in range(self.group_size - 1))]
        return with_all_images(inputs)

    def _measured(
        self, rewards: torch.Tensor, names: Sequence[str], trainer: Any
    ) -> tuple[list[list[float]], list[list[float]]]:
        """Rewards and accuracies group by group, of TRL's columns and each row's task."""
        if self.measure is not None:
            both = self.measure(rewards, names)  # (rows, 2)
        else:
            total = weighted_sum(rewards, trainer.reward_weights)
            both = torch.stack(
                [total.masked_fill(rewards[:, 0].isnan(), math.nan), rewards[:, 1]], 1
            )

        totals, accuracies = both.view(-1, self.group_size, 2).unbind(2)  # (groups, rows of it)
        return totals.tolist(), accuracies.tolist()

    def _without_unusable(
        self, rewards: torch.Tensor, plan: Sequence[tuple[str, int]]
    ) -> torch.Tensor:
        """The rewards, all NaN in groups whose environment gave more than engines compute with."""
        if isinstance(self.rows, DatasetInputRows):
            return rewards  # all columns are TRL's reward functions

        size, usable = self.group_size, rewards.clone()
        bad = rewards[:, 2:].abs() > LARGEST_REWARD  # (rows, environments), without NaN: no reward

        for i, column in bad.nonzero().tolist():
            task, row = plan[i // size]
            if self.rows.tasks[task].scoring.on_error == "fail":
                raise RewardError(
                    f"task {task!r}, prompt {row}: get_reward of its environment returned "
                    f"{rewards[i, 2 + column]:g}; a number within {LARGEST_REWARD:g} is needed"
                )

            start = i - i % size
            usable[start : start + size] = math.nan

        return usable

    def _collect(
        self, inputs: list[dict[str, Any]], method: Callable[[list[dict[str, Any]]], Any]
    ) -> _Collected:
        collected = self._collected = _Collected()
        self._started = time.perf_counter()
        try:
            method(inputs)
        except _RoundDone:
            pass
        finally:
            self._collected = None
        return collected

    def record_generation(self, generation: tuple[Any, ...], prompts: Sequence[Any]) -> None:
        """Keep what a round generated; at other times nothing happens."""
        if self._collected is not None:
            self.generation_seconds = time.perf_counter() - self._started
            self._collected.generation, self._collected.prompts = generation, prompts

    def record_rewards(self, rewards: torch.Tensor, completions: Sequence[Any]) -> None:
        """Keep a round's rewards, shape (rows of all processes, columns), and leave TRL's method.

        At other times nothing happens.
        """
        if self._collected is not None:
            self._collected.rewards, self._collected.completions = rewards, completions
            raise _RoundDone

    # ---- replay --------------------------------------------------------------------------------
    @contextmanager
    def playing(self, rows: Sequence[RecordedRow], accelerator: Any) -> Iterator[None]:
        """While TRL's method runs on rows of earlier rounds."""
        rewards = torch.tensor(
            [row.rewards for row in rows], dtype=torch.float32, device=accelerator.device
        )  # (rows, columns)
        self._playback = _Playback(
            join_generation([row.generation for row in rows]), accelerator.gather(rewards)
        )
        try:
            yield
        finally:
            self._playback = None

    @property
    def generation(self) -> tuple[Any, ...] | None:
        """What `_generate` returns for the rows that are played; None while none are."""
        return None if self._playback is None else self._playback.generation

    @property
    def rewards(self) -> torch.Tensor | None:
        """Rewards of all processes' rows that are played, shape (rows, columns); else None."""
        return None if self._playback is None else self._playback.rewards


def is_graded(rewards: Sequence[float], accuracies: Sequence[float]) -> bool:
    """Whether a completion was scored (its reward is no NaN) without an accuracy."""
    pairs = zip(rewards, accuracies, strict=True)
    return any(math.isnan(accuracy) and not math.isnan(reward) for reward, accuracy in pairs)


def _with_observations(
    inputs: Sequence[dict[str, Any]], prompts: Sequence[Any]
) -> list[dict[str, Any]]:
    """The rows with the prompts that environments added to; images are in the generation."""
    rows: list[dict[str, Any]] = []
    for row, prompt in zip(inputs, prompts, strict=True):
        if isinstance(row, DatasetRow):
            rows.append(row.with_prompt(prompt))
            continue
        others = {name: value for name, value in row.items() if name not in IMAGES}
        rows.append({**others, "prompt": prompt})
    return rows


@contextmanager
def environments_done(trainer: Any) -> Iterator[None]:
    """Inside, the trainer has no environments: they ran already, and are not reset again."""
    factories, trainer.environment_factories = trainer.environment_factories, None
    environments, trainer.environments = trainer.environments, None
    try:
        yield
    finally:
        trainer.environment_factories, trainer.environments = factories, environments


def no_log_probs(input_ids: torch.Tensor, num_completion: int) -> tuple[Any, ...]:
    """In place of log-probabilities that nobody reads: zeros of shape (rows, tokens)."""
    shape = (len(input_ids), num_completion)
    return input_ids.new_zeros(shape, dtype=torch.float32), None, None
