"""TaskMixer: the one object an engine holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtgrpo.core.advantages import mean_abs_advantages
from mtgrpo.core.base_sampler import Sampler, family_numbers
from mtgrpo.core.batch import Batch
from mtgrpo.core.filters import REASONS
from mtgrpo.core.report import StepReport
from mtgrpo.core.reward_scale import RewardScale, check_ranges
from mtgrpo.core.round_stats import RoundStats
from mtgrpo.core.running_stats import RunningStats
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.silence import SilentTasks
from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import State, check_same_tasks, check_task_names
from mtgrpo.core.weightings.base import GroupCounts, TaskWeighting
from mtgrpo.core.weightings.improvement_aware import ImprovementAware
from mtgrpo.errors import ConfigError, StateError, unknown

TASK_REWARDS = ("accuracy", "reward")
OBSERVATIONS = ("first_round", "step", "round")
STATE_VERSION = 7


class TaskMixer:
    """Decides which prompts to roll out, which groups to train on, and how the weights move.

        mixer = TaskMixer(["countdown", "zebra", "arc"], batch_size=32)
        batch = mixer.new_batch()                  # quotas from the weights
        while request := batch.ask():              # {"arc": 12, "zebra": 4}: prompts to roll out
            batch.tell(engine.rollout(request))    # every group, informative or not
        engine.train(batch.groups)
        mixer.update()                             # weights move
        log(mixer.metrics())

    The same seed and the same results give the same requests, on every rank of a
    distributed job.

    Args:
        tasks: Task names.
        batch_size: Groups per training batch (the paper's B, in prompts).
        weighting: Rule for the task weights; default `ImprovementAware()`.
        sampler: Rule for filling a batch; default `RatioPreservingSampler()`.
        task_reward: What J_k is: the mean ``"accuracy"`` of generated groups, before the
            filter, or their mean ``"reward"``.
        observe: Over which groups. ``"first_round"``: over those of the round in which
            the step asked the task first, see `StepCounts.first_rounds`; unbiased.
            ``"step"``: over all of the step, as in the paper. A step ends when the quotas
            are met, so lucky ones are short, and J_k is too high on average where few
            groups are informative. ``"round"``: over each generation round, one
            observation after the other, as in the released code; biased likewise.
        families: Family of each task that has one; estimates are shared within it.
        reward_ranges: Lowest and highest reward of each task of which only rewards are known, for
            those where that is known; the others' are learnt, see `RewardScale`.
        seed: Seed of all the mixer's randomness.

    Attributes:
        step: Steps closed so far.
        num_rollouts: Completions generated in them.
        num_groups: Groups generated in them.
        report: Bookkeeping of the last closed step; None before the first, and after a
            resume.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        batch_size: int,
        weighting: TaskWeighting | None = None,
        sampler: Sampler | None = None,
        task_reward: str = "accuracy",
        observe: str = "first_round",
        families: Mapping[str, str] | None = None,
        reward_ranges: Mapping[str, tuple[float, float]] | None = None,
        seed: int = 0,
    ) -> None:
        if task_reward not in TASK_REWARDS:
            raise ConfigError(unknown("TaskMixer", "task_reward", task_reward, TASK_REWARDS))
        if observe not in OBSERVATIONS:
            raise ConfigError(unknown("TaskMixer", "observe", observe, OBSERVATIONS))

        self.task_reward, self.observe = task_reward, observe
        self.tasks = check_task_names(tasks, "TaskMixer")
        self.weighting = weighting or ImprovementAware()
        self.weighting.bind(self.tasks, for_mixer=True, seed=seed)
        self.sampler = sampler or RatioPreservingSampler()
        self.sampler.bind(self.tasks, batch_size, families)
        self._families = dict(families or {})

        self.step = 0
        self.num_rollouts = 0
        self.num_groups = 0
        self.report: StepReport | None = None

        self._rng = np.random.default_rng(seed)
        self._batch: Batch | None = None
        # For the figures: what is known of tasks, and the reasons for which groups may be dropped.
        self._running = RunningStats()
        self._reasons = set(REASONS.get(self.sampler.group_filter, ()))
        self.reward_scale = RewardScale(reward_ranges)
        self._silent = SilentTasks()

    @property
    def batch_size(self) -> int:
        """Groups per training batch."""
        return self.sampler.batch_size

    @property
    def batch(self) -> Batch | None:
        """The batch of the current step; None between `update` and `new_batch`."""
        return self._batch

    def weights(self) -> dict[str, float]:
        """The current task weights z."""
        return self.weighting.weights()

    def change_tasks(
        self,
        tasks: Sequence[str],
        *,
        families: Mapping[str, str] | None = None,
        reward_ranges: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """Go on with other tasks: some added, some dropped; between two steps.

        What is known of the tasks that stay is kept: estimates, weights (scaled to sum to 1),
        banked groups, debts, figures. New ones start at their family's acceptance rate and at the
        mean level of the others; the rule makes their weights of that. What leaves is forgotten.

        Args:
            tasks: Task names from now on, in order.
            families: As the constructor, for the tasks from now on; None: each keeps its own.
            reward_ranges: Likewise.

        Raises:
            ConfigError: Bad names, families or ranges, or a rule that cannot follow.
            StateError: The batch of the step is still open.
        """
        if self._batch is not None:
            raise StateError(
                f"step {self.step}: its batch is open; call update() before change_tasks()"
            )

        change = TaskChange(self.tasks, check_task_names(tasks, "change_tasks"))
        names = change.after
        if families is None:
            families = change.known(self._families)
        if reward_ranges is None:
            reward_ranges = change.known(self.reward_scale.stated)

        # What is refused is refused before anything has moved.
        family_numbers(names, families)
        check_ranges(reward_ranges)
        self.sampler.acceptance.check_changeable()
        self.weighting.change_tasks(names)

        self.sampler.change_tasks(change, families)
        self.tasks, self._families = names, dict(families)
        self.reward_scale.change_tasks(names, reward_ranges)
        self._running.keep_tasks(names)
        self._silent.keep_tasks(names)

    def new_batch(self) -> Batch:
        """Begin a step: quotas are drawn from the current weights.

        Raises:
            StateError: The last batch has not been closed with `update`.
        """
        if self._batch is not None:
            raise StateError(
                f"step {self.step}: its batch is still open; call update() before new_batch()"
            )
        self._batch = self.sampler.new_batch(self.weighting.weight_array(), self.step, self._rng)
        return self._batch

    def update(
        self, improvements: Mapping[str, float] | Sequence[Mapping[str, float]] | None = None
    ) -> None:
        """End a step: feed its rewards and improvements to the weighting, close the batch.

        Args:
            improvements: I_k as the engine measured them, for weightings that use them
                (``weighting.uses_improvements``): one mapping, or one per minibatch.
                Rules that move once per minibatch count the mappings, so give an empty
                one for each where nothing was measured. Left out, the step counts as
                one minibatch.

        Raises:
            StateError: There is no batch, or it is still being filled.
        """
        batch = self._batch
        if batch is None:
            raise StateError(f"step {self.step}: update() without a batch; call new_batch() first")

        if not batch.done:
            raise StateError(
                f"step {self.step}: its batch is still being filled; "
                "call ask() and tell() until ask() returns {}"
            )

        weights = self.weighting.weights()
        total = batch.counts.totals()
        self.reward_scale.observe_step(batch.counts.graded_rewards)
        self._running.observe(total)
        self._reasons.update(*batch.counts.dropped.values())
        self._silent.observe(batch.counts, total)
        self._update_weighting(batch, total, improvements)

        self.num_rollouts += batch.counts.num_rollouts
        self.num_groups += batch.counts.num_generated
        self.sampler.close(batch, self.step)
        self.report = StepReport.of(
            batch,
            weights,
            scores=self._mean_scores(total),
            running_scores=self._mean_scores(self._running),
            graded=self._running.graded(),
            reasons=self._reasons,
            sampler=self.sampler,
            notices=self._silent.flat()
            | self.weighting.notices()
            | self._silent.notices(is_idle=not batch.groups),
            remarks=self.reward_scale.remarks,
        )

        self.step += 1
        self._batch = None

    def _update_weighting(
        self,
        batch: Batch,
        total: RoundStats,
        improvements: Mapping[str, float] | Sequence[Mapping[str, float]] | None,
    ) -> None:
        if not batch.groups and improvements is None:
            improvements = {}  # nothing was trained on: no improvement, rather than a missing one

        observed = total
        if self.observe == "first_round":
            observed = batch.counts.first_rounds()
        rounds = batch.counts.rounds if self.observe == "round" else [observed]

        trained: Mapping[str, float] = Counter(group.task for group in batch.groups)
        if batch.loss_shares is not None:
            num_trained = len(batch.groups)
            trained = {task: num_trained * share for task, share in batch.loss_shares.items()}

        advantages = None
        if self.weighting.uses_advantages:
            advantages = mean_abs_advantages(batch.groups)

        self.weighting.update(
            task_rewards=[self._task_rewards(stats) for stats in rounds],
            improvements=improvements,
            mean_abs_advantages=advantages,
            counts=GroupCounts(
                observed=observed.num_scored,
                generated=total.num_scored,
                informative=batch.counts.num_informative,
                trained=trained,
            ),
        )

    def _task_rewards(self, stats: RoundStats) -> dict[str, float]:
        scores = self._mean_scores(stats)
        if self.task_reward == "accuracy":
            return scores
        # Rewards of graded tasks are on scales of their own: they are compared on the common one.
        graded = {task: score for task, score in scores.items() if task in stats.num_graded}
        return stats.mean_rewards() | graded

    def _mean_scores(self, stats: RoundStats | RunningStats) -> dict[str, float]:
        """Per task, in [0, 1]: the mean accuracy, or the mean reward on its scale if graded."""
        rewards = stats.mean_rewards()
        graded = {task: self.reward_scale.level(task, rewards[task]) for task in stats.graded()}
        return stats.mean_accuracies() | graded

    def metrics(self) -> dict[str, float]:
        """Figures of the last closed step, see docs/metrics.md; empty before the first."""
        return {} if self.report is None else self.report.metrics() | self.weighting.metrics()

    def state_dict(self) -> State:
        """Everything that changes the next decision, JSON-able; valid between any two calls."""
        return {
            "version": STATE_VERSION,
            "tasks": list(self.tasks),
            "batch_size": self.batch_size,
            "step": self.step,
            "num_rollouts": self.num_rollouts,
            "num_groups": self.num_groups,
            "rng": self._rng.bit_generator.state,
            "weighting": self.weighting.state_dict(),
            "sampler": self.sampler.state_dict(),
            "running": self._running.state_dict(),
            "reasons": sorted(self._reasons),
            "scale": self.reward_scale.state_dict(),
            "silent": self._silent.state_dict(),
            "batch": None if self._batch is None else self._batch.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where the saved mixer stood; groups come back without payloads.

        Raises:
            StateError: Saved by another version, for other tasks, another batch size or
                another weighting rule.
        """
        if state.get("version") != STATE_VERSION:
            raise StateError(
                f"mixer: state version {state.get('version')!r}; this mtgrpo reads "
                f"{STATE_VERSION}; resume with the version that saved it"
            )

        check_same_tasks("mixer", state["tasks"], self.tasks)
        if state["batch_size"] != self.batch_size:
            raise StateError(
                f"mixer: saved with batch_size {state['batch_size']}, now {self.batch_size}; "
                "resume with the same number of groups per step"
            )

        self.weighting.load_state_dict(state["weighting"])
        self.sampler.load_state_dict(state["sampler"])
        self._rng.bit_generator.state = state["rng"]

        self.step = int(state["step"])
        self.num_rollouts, self.num_groups = int(state["num_rollouts"]), int(state["num_groups"])
        self.report = None
        self._running.load_state_dict(state["running"])
        self._reasons = set(state["reasons"])
        self.reward_scale.load_state_dict(state["scale"])
        self._silent.load_state_dict(state["silent"])

        self._batch = None
        if state["batch"] is not None:
            self._batch = self.sampler.restore_batch(state["batch"], self._rng)
