"""TRL's batch arithmetic, as far as the mixer is concerned."""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

import logging
from dataclasses import dataclass

from trl import GRPOConfig

from mtgrpo.errors import ConfigError, counted

WHERE = "MultiTaskGRPOTrainer"

logger = logging.getLogger("mtgrpo")


@dataclass(frozen=True, slots=True)
class Schedule:
    """TRL's batch arithmetic, as far as the mixer is concerned.

    Attributes:
        batch_size: Groups per generation batch, over all processes: the mixer's B.
        group_size: Completions per group, G.
        eval_group_size: Completions per test prompt.
        accumulation: Forward passes per policy update.
        slices: Forward passes in which a generation batch is used once.
        cycle: Forward passes from one generation batch to the next.
    """

    batch_size: int
    group_size: int
    eval_group_size: int
    accumulation: int
    slices: int
    cycle: int

    @property
    def updates(self) -> float:
        """Policy updates per generation batch."""
        return self.cycle / self.accumulation


def make_schedule(args: GRPOConfig) -> Schedule:
    """The schedule of TRL's arguments.

    Raises:
        ConfigError: Groups of one, or batches that cut groups or processes apart.
    """
    size = args.num_generations or 0
    if size < 2:
        raise ConfigError(
            f"{WHERE}: args.num_generations={size}; GRPO compares completions of one prompt, "
            "at least 2 are needed"
        )

    rows, slices = args.generation_batch_size or 0, args.steps_per_generation or 1
    groups, rest = divmod(rows, size)  # over all processes
    if rest or groups % args.world_size:
        raise ConfigError(
            f"{WHERE}: args.generation_batch_size={rows} completions do not divide into whole "
            f"groups of {size} on each of {counted(args.world_size, 'process', 'processes')}; make "
            "per_device_train_batch_size x processes x steps_per_generation a multiple of "
            f"{size * args.world_size}"
        )

    return Schedule(
        batch_size=groups,
        group_size=size,
        eval_group_size=args.num_generations_eval or size,
        accumulation=args.gradient_accumulation_steps,
        slices=slices,
        cycle=slices * args.num_iterations,
    )


def warn_about_shares(schedule: Schedule) -> None:
    """Log where single policy updates do not have the exact shares."""
    if schedule.slices > schedule.accumulation:
        logger.warning(
            "%s: task shares are made in a generation batch (%g policy updates); "
            "TRL shuffles its completions, so single updates vary around them",
            WHERE,
            schedule.slices / schedule.accumulation,
        )


def warn_about_batch(schedule: Schedule, num_tasks: int) -> None:
    """Log where a batch has fewer groups than there are tasks."""
    if schedule.batch_size < num_tasks:
        rows = schedule.batch_size * schedule.group_size
        logger.warning(
            "%s: a generation batch of %d completions holds %d group%s of %d, fewer than there are "
            "tasks (%d): not every task is in every step; make per_device_train_batch_size x "
            "processes x steps_per_generation at least %d, or num_generations smaller",
            WHERE,
            rows,
            schedule.batch_size,
            "" if schedule.batch_size == 1 else "s",
            schedule.group_size,
            num_tasks,
            num_tasks * schedule.group_size,
        )
