"""Multi-task GRPO with TRL: `MultiTaskGRPOTrainer` in place of ``trl.GRPOTrainer``."""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback
from trl import GRPOConfig

from mtgrpo.core.method import Method
from mtgrpo.core.report import StepReport
from mtgrpo.integrations.trl import setup as trl_setup
from mtgrpo.integrations.trl.callback import StepCallback
from mtgrpo.integrations.trl.checkpoints import TrainerCheckpoints
from mtgrpo.integrations.trl.checks import check_arguments, check_sources, check_trainer
from mtgrpo.integrations.trl.datasets import data_of_datasets, data_of_tasks
from mtgrpo.integrations.trl.evaluation import TaskEvaluation
from mtgrpo.integrations.trl.hooks import TrainerHooks
from mtgrpo.integrations.trl.loss_shares import TaskLossShares
from mtgrpo.integrations.trl.prompt_sharing import PromptSharing
from mtgrpo.integrations.trl.replay import RolloutReplay
from mtgrpo.integrations.trl.reward_columns import AccuracyRule, RewardColumns
from mtgrpo.integrations.trl.rollouts import DatasetInputRows, InputRows
from mtgrpo.integrations.trl.run_log import RunLogWriter
from mtgrpo.integrations.trl.schedule import make_schedule, warn_about_batch
from mtgrpo.integrations.trl.scores import TaskScores
from mtgrpo.integrations.trl.step import TrainingStep
from mtgrpo.runlog import RunLog
from mtgrpo.tasks.scoring.scorer import Scorer
from mtgrpo.tasks.task_set import TaskSet


class MultiTaskGRPOTrainer(TrainerHooks):
    """TRL's `GRPOTrainer` over several tasks, with adaptive task weights and exact task shares.

    The arguments are TRL's, and mean what they mean there; those after the star are ours. A script
    with a `GRPOTrainer` needs another class and the name of the column that names each row's task.

    Args:
        model: A name, a directory, a model or a PEFT model.
        reward_funcs: Functions, reward models and their names, one or a list of them; or a mapping
            from each task to its own.
        args: TRL's own `GRPOConfig`. A generation batch holds
            ``generation_batch_size / num_generations`` groups: the mixer's batch size B.
        train_dataset: A dataset, with or without a length, whose `task_column` names the task of
            each row; or a mapping with a dataset for each task. Without the column it is one task,
            "default": with no `method`, that is plain GRPO, in TRL's own order.
        eval_dataset: As TRL takes it; results are by task.
        processing_class: Tokenizer or processor; by default the model's own.
        reward_processing_classes: Tokenizers of the reward models.
        callbacks: Callbacks of the trainer.
        optimizers: Optimizer and scheduler of the policy; by default what `args` says.
        quantization_config: How the model is quantized.
        peft_config: Adapter to train.
        tools: Functions the model may call.
        rollout_func: Custom generation.
        environment_factory: Environments; rewards get them as ``environments``, and those with a
            ``get_reward`` are a reward of their own.
        tasks: Instead of rewards and datasets: a task set, each task of which has its own rows and
            reward. Tasks without training rows are only evaluated.
        task_column: Column that names a row's task.
        accuracy: What says how right a completion is: the name of a reward function whose values
            are in [0, 1], or a function of a completion's rewards by name; for all tasks or a
            mapping from some of them. Tasks without it, and without `correct_at`, are graded by
            their rewards alone.
        correct_at: A completion is right from this value on, of what `accuracy` says or else of
            its rewards' weighted sum; for all tasks or by task.
        reward_range: Lowest and highest reward of graded tasks, for all of them or by task; by
            default it is learnt. See `Task`.
        method: What is trained on, and how the task weights move: a `Method`, or the name of a
            preset, such as ``"balanced"``. Default: `ImprovementAware` weights and a
            `RatioPreservingSampler`; for a dataset that is one task, the preset ``"grpo"``. Its
            clip is used where `args` leaves ``epsilon`` and ``epsilon_high`` at TRL's defaults.
        share_prompts: Compute each prompt once for all its completions, in generation and in the
            loss: faster for small models, the same distribution, but other draws than TRL's for a
            seed. See docs/trl.md.
        eval_seed: Seed of the evaluation's own randomness: evaluating never changes training, and
            runs are compared on the same draws.
        run_log: Where metrics, evaluations and completions go, besides TRL's ``report_to``.
        on_mixer_step: Called as ``on_mixer_step(step, report)`` on the main process when a step is
            closed.

    Raises:
        ConfigError: Arguments that cannot work, before a model is loaded.
    """

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: GRPOConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        reward_processing_classes: Any = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        quantization_config: Any = None,
        peft_config: Any = None,
        tools: list[Callable[..., Any]] | None = None,
        rollout_func: Any = None,
        environment_factory: Any = None,
        *,
        tasks: TaskSet | None = None,
        task_column: str = "task",
        accuracy: AccuracyRule | Mapping[str, AccuracyRule] | None = None,
        correct_at: float | Mapping[str, float] | None = None,
        reward_range: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
        method: Method | str | None = None,
        share_prompts: bool = False,
        eval_seed: int = 1234,
        run_log: RunLog | None = None,
        on_mixer_step: Callable[[int, StepReport], None] | None = None,
    ) -> None:
        args = trl_setup.default_args(model) if args is None else args
        rows = {"train_dataset": train_dataset, "eval_dataset": eval_dataset}
        said = {"accuracy": accuracy, "correct_at": correct_at, "reward_range": reward_range}
        check_sources(tasks, args, reward_funcs, rows, said)

        self.schedule = schedule = make_schedule(args)
        if tasks is not None:
            self.data = data_of_tasks(tasks)
            self.scores = TaskScores(self.data.tasks)
        else:
            self.data = data_of_datasets(
                train_dataset,
                args,
                schedule,
                column=task_column,
                reward_ranges=reward_range,
                is_plain=method is None,
            )
            names = self.data.tasks.names
            self.scores = RewardColumns(
                reward_funcs, names, accuracy=accuracy, correct_at=correct_at
            )

        self.tasks = self.data.tasks
        is_plain = self.data.loader is not None
        self.method = method = trl_setup.find_method(method, is_plain=is_plain)
        args = trl_setup.with_clip(args, method)
        check_arguments(tasks, args, schedule, method.weighting)
        self._make_parts(args, method, eval_seed, run_log, on_mixer_step)

        if tasks is not None:
            sizes = [stream.size for stream in self.streams.values()]
            train_dataset = trl_setup.placeholder_dataset(sizes, schedule.batch_size)
            eval_dataset = self.evaluation.rows
        super().__init__(
            model,
            reward_funcs=self.scores.functions,
            args=args,
            train_dataset=self.data.train_dataset if tasks is None else train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            reward_processing_classes=reward_processing_classes,
            callbacks=[StepCallback(self.step), *(callbacks or [])],
            optimizers=optimizers,
            quantization_config=quantization_config,
            peft_config=peft_config,
            tools=tools,
            rollout_func=rollout_func,
            environment_factory=environment_factory,
        )
        self.scores.bind(self.reward_func_names, self.reward_weights)
        check_trainer(self)
        if share_prompts:
            self.sharing.switch_on(self)

    def _make_parts(
        self,
        args: GRPOConfig,
        method: Method,
        eval_seed: int,
        run_log: RunLog | None,
        on_mixer_step: Callable[[int, StepReport], None] | None,
    ) -> None:
        data, tasks, schedule = self.data, self.tasks, self.schedule
        self.rows = DatasetInputRows(tasks) if data.of_datasets else InputRows(tasks)
        scores, is_main = self.scores, args.process_index == 0
        self.step = TrainingStep(
            tasks,
            method,
            schedule,
            engine=self,
            scorer=scores.scorer if isinstance(scores, TaskScores) else Scorer(tasks),
            seed=args.seed,
            streams=data.streams,
            shuffle=data.shuffle,
            writer=RunLogWriter(run_log) if run_log is not None and is_main else None,
            on_mixer_step=on_mixer_step if is_main else None,
        )
        self.mixer, self.streams, self.banked = self.step.mixer, self.step.streams, self.step.banked
        warn_about_batch(schedule, len(self.mixer.tasks))

        self.replay = RolloutReplay(self.rows, schedule.group_size, scores.measure)
        self.sharing = PromptSharing()
        self.shares = TaskLossShares(tasks.names, args.loss_type, exact=method.loss_shares)
        self.meter = trl_setup.make_meter(tasks, args, method)
        scale = self.mixer.reward_scale
        self.evaluation = TaskEvaluation(self.rows, schedule.eval_group_size, eval_seed, scale)
        self.checkpoints = TrainerCheckpoints(self.step, tasks)

    @property
    def num_rollouts(self) -> int:
        """Completions generated for training so far."""
        return self.step.num_rollouts
