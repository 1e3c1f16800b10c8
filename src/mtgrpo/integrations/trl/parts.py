"""The trainer's parts, made from its arguments before TRL's constructor runs."""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from trl import GRPOConfig

from mtgrpo.core.method import Method
from mtgrpo.core.report import StepReport
from mtgrpo.integrations.trl.checkpoints import TrainerCheckpoints
from mtgrpo.integrations.trl.checks import check_arguments, check_own, check_sources
from mtgrpo.integrations.trl.datasets import Data, data_of_datasets, data_of_tasks
from mtgrpo.integrations.trl.evaluation import TaskEvaluator
from mtgrpo.integrations.trl.generation_checks import (
    check_generation,
    warn_about_nucleus,
    what_else_writes,
)
from mtgrpo.integrations.trl.given_rows import columns_of
from mtgrpo.integrations.trl.loss_shares import TaskLossShares
from mtgrpo.integrations.trl.notices import NoticeLog
from mtgrpo.integrations.trl.own_code import check_factories
from mtgrpo.integrations.trl.packing import RowPacking
from mtgrpo.integrations.trl.replay import RolloutReplay
from mtgrpo.integrations.trl.reward_columns import RewardColumns
from mtgrpo.integrations.trl.rollouts import DatasetInputRows, InputRows
from mtgrpo.integrations.trl.run_log import RunLogWriter
from mtgrpo.integrations.trl.schedule import WHERE, Schedule, make_schedule, warn_about_batch
from mtgrpo.integrations.trl.scores import TaskScores
from mtgrpo.integrations.trl.setup import find_method, make_meter, placeholder_dataset, with_clip
from mtgrpo.integrations.trl.step import TrainingStep
from mtgrpo.integrations.trl.step_engine import Engine
from mtgrpo.integrations.trl.surrogate import SurrogateMeter
from mtgrpo.integrations.trl.task_generation import TaskGeneration
from mtgrpo.integrations.trl.trainer_arguments import Arguments
from mtgrpo.integrations.trl.vllm_version import check_vllm
from mtgrpo.tasks.scoring.scorer import Scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the trainer has.

    Attributes:
        args: TRL's, with the method's clip.
        method: What is trained on, and how the weights move.
        schedule: TRL's batch arithmetic.
        data: Tasks, and where their rows come from.
        rows: The rows as they travel through TRL.
        scores: TRL's reward functions.
        step: Fills generation batches and moves the weights.
        replay: Runs TRL's generation on chosen rows.
        shares: The tasks' shares of the loss.
        meter: Measures I_k.
        packing: Leaves rows without a gradient out of the loss.
        sampling: Samples rows as their tasks ask for.
        evaluation: Results per task.
        checkpoints: The mixer's part of TRL's.
        train_dataset: What TRL's loader yields.
        eval_dataset: What TRL evaluates.
    """

    args: GRPOConfig
    method: Method
    schedule: Schedule
    data: Data
    rows: InputRows
    scores: TaskScores | RewardColumns
    step: TrainingStep
    replay: RolloutReplay
    shares: TaskLossShares
    meter: SurrogateMeter
    packing: RowPacking
    sampling: TaskGeneration
    evaluation: TaskEvaluator
    checkpoints: TrainerCheckpoints
    train_dataset: Any
    eval_dataset: Any


def make_parts(given: Arguments, engine: Engine) -> Parts:
    """Check the arguments, and make the parts of them.

    Args:
        given: The trainer's arguments.
        engine: Generates and scores for the step.

    Raises:
        ConfigError: Arguments that cannot work.
    """
    args = given.args
    rows = {"train_dataset": given.train_dataset, "eval_dataset": given.eval_dataset}
    said = {
        "accuracy": given.accuracy,
        "correct_at": given.correct_at,
        "reward_range": given.reward_range,
    }
    check_sources(given.tasks, args, given.reward_funcs, rows, said)
    check_own(
        switches={
            "share_prompts": given.share_prompts,
            "skip_zero_advantages": given.skip_zero_advantages,
        },
        eval_seed=given.eval_seed,
        run_log=given.run_log,
        on_mixer_step=given.on_mixer_step,
    )

    check_vllm(args.use_vllm, WHERE)

    schedule = make_schedule(args)
    data, scores, scorer = _data_and_scores(given, schedule)
    scored = None if data.of_datasets else data.tasks
    check_factories(given.environment_factory, scored, f"{WHERE}: environment_factory")
    method = find_method(given.method, is_one_task=data.loader is not None)
    args = with_clip(args, method)
    check_arguments(given.tasks, args, schedule, method.weighting)
    sampling = TaskGeneration(
        data.tasks,
        partial(
            check_generation,
            args=vars(args),
            num_processes=args.world_size,
            calls=what_else_writes(given.has_environments, given.tools, given.rollout_func),
        ),
    )

    warn_about_nucleus(vars(args))

    if args.max_steps > 0:
        data.tasks.check_present(math.ceil(args.max_steps / schedule.updates))
    step = _make_step(given, method, schedule, data, scorer, engine)
    warn_about_batch(schedule, len(step.mixer.tasks))

    input_rows = DatasetInputRows(data.tasks) if data.of_datasets else InputRows(data.tasks)
    evaluation = TaskEvaluator(
        input_rows, schedule.eval_group_size, given.eval_seed, step.mixer.reward_scale
    )

    train_dataset, eval_dataset = data.train_dataset, given.eval_dataset
    if not data.of_datasets:
        sizes = [stream.size for stream in step.streams.values()]
        train_dataset = placeholder_dataset(sizes, schedule.batch_size)
        eval_dataset = evaluation.rows

    return Parts(
        args=args,
        method=method,
        schedule=schedule,
        data=data,
        rows=input_rows,
        scores=scores,
        step=step,
        replay=RolloutReplay(input_rows, schedule.group_size, scores.measure),
        shares=TaskLossShares(data.tasks.names, args.loss_type, exact=method.loss_shares),
        meter=make_meter(data.tasks, args, method),
        packing=RowPacking(args.loss_type, schedule),
        sampling=sampling,
        evaluation=evaluation,
        checkpoints=TrainerCheckpoints(step, data.tasks, may_change=not data.of_datasets),
        train_dataset=train_dataset,
        eval_dataset=eval_dataset,
    )


def _data_and_scores(
    given: Arguments, schedule: Schedule
) -> tuple[Data, TaskScores | RewardColumns, Scorer]:
    if given.tasks is not None:
        data = data_of_tasks(given.tasks)
        task_scores = TaskScores(data.tasks)
        return data, task_scores, task_scores.scorer

    data = data_of_datasets(
        given.train_dataset,
        given.args,
        schedule,
        column=given.task_column,
        reward_ranges=given.reward_range,
        leave_to_loader=given.method is None,
        needs_prompts=not given.has_environments,
    )
    scores = RewardColumns(
        given.reward_funcs,
        data.tasks.names,
        accuracy=given.accuracy,
        correct_at=given.correct_at,
        # Custom generation may give rows more of them.
        columns=None if given.rollout_func else columns_of(given.train_dataset),
    )
    return data, scores, Scorer(data.tasks)


def _make_step(
    given: Arguments,
    method: Method,
    schedule: Schedule,
    data: Data,
    scorer: Scorer,
    engine: Engine,
) -> TrainingStep:
    is_main, run_log = given.args.process_index == 0, given.run_log
    listeners: list[Callable[[int, StepReport], None]] = []
    if is_main and given.on_mixer_step is not None:
        listeners.append(given.on_mixer_step)
    if is_main and not getattr(given.on_mixer_step, "shows_notices", False):
        listeners.append(NoticeLog())

    return TrainingStep(
        data.tasks,
        method,
        schedule,
        engine=engine,
        scorer=scorer,
        seed=given.args.seed,
        streams=data.streams,
        shuffle=data.shuffle,
        writer=RunLogWriter(run_log) if run_log is not None and is_main else None,
        listeners=listeners,
    )
