"""What a configuration will do, before it does it: batch arithmetic, rollouts, memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mtgrpo.config import ResolvedRun
from mtgrpo.core.base_sampler import Sampler
from mtgrpo.core.budget import Budget
from mtgrpo.core.filters import keep_all
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.planners import NeededRounds, OversampledRounds
from mtgrpo.core.probe_choice import LEAST_GROUP, SIZES
from mtgrpo.core.probes import stated_probe
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.errors import ConfigError, counted

GIB = 2**30
MAX_ROLLOUTS = 1e9
"""Completions of a step's first round; more are a slip of the pen."""


@dataclass(frozen=True)
class Plan:
    """The arithmetic of a run. Rows are completions.

    Attributes:
        world_size: Training processes.
        rows_per_step: Completions trained on per step, B * G.
        rows_per_update: Completions per policy update, over all processes.
        micro_batch_size: Completions per process and forward pass (TRL's
            ``per_device_train_batch_size``).
        gradient_accumulation_steps: Forward passes per update.
        steps_per_generation: Forward passes per step.
        optimizer_steps: Policy updates of the whole run (TRL's ``max_steps``).
        min_rollouts: Completions generated per step when every group is accepted.
        max_rollouts: Completions generated in a step that uses up its budget of rounds, or of what
            one round may cost.
        num_evaluation_rollouts: Completions of one evaluation.
    """

    world_size: int
    rows_per_step: int
    rows_per_update: int
    micro_batch_size: int
    gradient_accumulation_steps: int
    steps_per_generation: int
    optimizer_steps: int
    min_rollouts: int
    max_rollouts: int
    num_evaluation_rollouts: int


def make_plan(run: ResolvedRun, *, world_size: int = 1, num_test_prompts: int = 0) -> Plan:
    """The batch arithmetic of a run.

    Args:
        run: From `load_config`.
        world_size: Training processes.
        num_test_prompts: Test prompts of all tasks.

    Raises:
        ConfigError: Batch, processes and micro batches do not divide; the message says what would.
    """
    groups, size = run.batch_size, run.group_size
    first, most = _prompts_per_group(run.method.sampler, groups)
    first *= _least_part(run.method.sampler, size)
    if groups * size * first > MAX_ROLLOUTS or not math.isfinite(groups * size * most):
        raise ConfigError(
            f"batch_size: {counted(groups, 'group')} of {size} completions, oversampled "
            f"{first:g} times and "
            f"up to {most:g} times in all; a step's first round may have {MAX_ROLLOUTS:.0e}"
        )

    if (groups // run.updates_per_step) % world_size:
        raise ConfigError(
            f"batch_size: {counted(groups, 'group')} in {counted(run.updates_per_step, 'update')} "
            f"do not divide over {counted(world_size, 'process', 'processes')}; make batch_size "
            "a multiple of "
            f"{run.updates_per_step * world_size}"
        )

    rows_per_update = groups * size // run.updates_per_step
    rows_per_process = rows_per_update // world_size
    micro = _micro_batch_size(run, rows_per_process)
    accumulation = rows_per_process // micro

    return Plan(
        world_size=world_size,
        rows_per_step=groups * size,
        rows_per_update=rows_per_update,
        micro_batch_size=micro,
        gradient_accumulation_steps=accumulation,
        steps_per_generation=accumulation * run.updates_per_step,
        optimizer_steps=run.steps * run.updates_per_step,
        min_rollouts=round(groups * first) * size,
        max_rollouts=round(groups * most) * size,
        num_evaluation_rollouts=num_test_prompts * run.evaluation.samples_per_prompt,
    )


def _micro_batch_size(run: ResolvedRun, rows_per_process: int) -> int:
    micro = rows_per_process if run.micro_batch_size is None else run.micro_batch_size
    if micro >= 1 and rows_per_process % micro == 0:
        return micro

    small = [d for d in range(1, math.isqrt(rows_per_process) + 1) if rows_per_process % d == 0]
    divisors = [*small, *(rows_per_process // divisor for divisor in reversed(small))]
    nearest = min(divisors, key=lambda divisor: abs(divisor - micro))
    raise ConfigError(
        f"micro_batch_size: {micro} does not divide the {rows_per_process} completions that each "
        f"process trains on per update; the nearest that does is {nearest}"
    )


def _prompts_per_group(sampler: Sampler, batch_size: int) -> tuple[float, float]:
    """Prompts that a step asks for per group of a batch: at least, and at most."""
    if isinstance(sampler, OneRoundSampler):
        return _share_of_batch(Budget(sampler.budget), batch_size)
    if not isinstance(sampler, RatioPreservingSampler):
        return 1.0, 1.0

    num_rounds = sampler.max_resamples + 1
    limit = math.inf
    if sampler.max_prompts_per_group is not None:
        limit = sampler.max_prompts_per_group

    if sampler.group_filter is keep_all:  # the first round is the batch
        return 1.0, min(num_rounds, limit)

    planner = sampler.planner
    if isinstance(planner, OversampledRounds):
        return planner.oversampling, min(planner.oversampling * num_rounds, limit)

    # Rounds sized by need ask for what is missing, later for up to `max_inflation` times that.
    per_round = planner.max_inflation if isinstance(planner, NeededRounds) else 1.0

    return 1.0, min(per_round * num_rounds, limit)


def _least_part(sampler: Sampler, group_size: int) -> float:
    """The part of a group that is generated at least, where there are probes."""
    if not isinstance(sampler, OneRoundSampler) or sampler.probes is None:
        return 1.0
    if isinstance(sampler.probes, str):
        return SIZES[0] / group_size if group_size >= LEAST_GROUP else 1.0
    return min(1.0, stated_probe(sampler.probes).size / group_size)


def _share_of_batch(budget: Budget, batch_size: int) -> tuple[float, float]:
    if budget.is_measured:  # how many groups that is, depends on what they will cost
        return 1 / batch_size, 1.0

    share = min(1.0, max(1.0, budget.amount) / batch_size)
    return share, share


@dataclass(frozen=True)
class MemoryEstimate:
    """Accelerator memory of one training process in bytes, by use. An estimate, good to about 20 %.

    Attributes:
        weights: Parameters, and their gradients.
        optimizer: AdamW's two moments.
        activations: One micro batch at full length, with gradient checkpointing.
        logits: Log-probabilities of one micro batch at full length: the float32 logits and their
            gradient.
    """

    weights: float
    optimizer: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        """Sum, in bytes, without the share that a colocated generation engine is given."""
        return self.weights + self.optimizer + self.activations + self.logits


def estimate_memory(
    *,
    num_parameters: float,
    bytes_per_parameter: int,
    hidden_size: int,
    num_layers: int,
    vocab_size: int,
    micro_batch_size: int,
    sequence_length: int,
    completion_length: int,
    num_adapted: float | None = None,
) -> MemoryEstimate:
    """Memory of training with AdamW and gradient checkpointing on one process, without sharding.

    Args:
        num_parameters: Parameters; trainable ones without an adapter.
        bytes_per_parameter: Bytes of a weight as loaded: 4 for float32 (TRL's default), 2 for
            bfloat16.
        hidden_size: Width of the model.
        num_layers: Depth of the model.
        vocab_size: Logits per token.
        micro_batch_size: Sequences per forward pass.
        sequence_length: Tokens of prompt and completion.
        completion_length: Tokens of the completion; logits are computed for these alone.
        num_adapted: Parameters of an adapter, which peft keeps in float32 and which alone are
            trained; None without one.
    """
    tokens = micro_batch_size * sequence_length
    weights = optimizer = 2.0 * bytes_per_parameter * num_parameters
    if num_adapted is not None:
        optimizer = 2 * 4.0 * num_adapted
        weights = bytes_per_parameter * num_parameters + 2 * 4.0 * num_adapted

    return MemoryEstimate(
        weights=weights,
        optimizer=optimizer,
        # One checkpoint per layer in 2 bytes, and the recomputed inside of one layer, about 34
        # hidden sizes a token.
        activations=tokens * hidden_size * (2 * num_layers + 34),
        logits=3 * 4.0 * micro_batch_size * completion_length * vocab_size,
    )
