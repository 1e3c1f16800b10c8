"""One step of the mixer inside TRL's loop: a generation batch is filled, used up, and closed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mtgrpo.core.filters import informative_filter
from mtgrpo.core.method import Method
from mtgrpo.core.prompts import PromptStream, memory_metrics, remember_groups
from mtgrpo.core.report import StepReport
from mtgrpo.core.task_news import TaskNews
from mtgrpo.core.types import Group, State
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.agreement import check_agreement
from mtgrpo.integrations.trl.banked import BankedGroups
from mtgrpo.integrations.trl.changing import ChangingTasks
from mtgrpo.integrations.trl.costs import CostTally
from mtgrpo.integrations.trl.evaluation import TaskEvaluator
from mtgrpo.integrations.trl.groups_in_parts import GroupsInParts
from mtgrpo.integrations.trl.loss_shares import TaskLossShares
from mtgrpo.integrations.trl.rollouts import in_order, plan_round, take
from mtgrpo.integrations.trl.run_log import RunLogWriter
from mtgrpo.integrations.trl.schedule import WHERE, Schedule, warn_about_shares
from mtgrpo.integrations.trl.setup import make_streams
from mtgrpo.integrations.trl.slots import Slot, training_slots
from mtgrpo.integrations.trl.step_engine import Engine
from mtgrpo.tasks.scoring.drop_limit import DropLimit
from mtgrpo.tasks.scoring.scorer import Scorer
from mtgrpo.tasks.task_set import TaskSet


class TrainingStep:
    """Fills generation batches and moves the task weights, at the moments that TRL's loop gives.

    Args:
        tasks: What is trained on.
        method: How.
        schedule: TRL's batch arithmetic.
        engine: Generates and scores.
        scorer: Says why a group could not be scored.
        seed: Seed of the mixer's and the prompts' randomness.
        streams: Prompts of each trained task; by default those of its rows.
        shuffle: Whether these are permuted in each epoch.
        writer: Writes to the run directory; on the main process only.
        listeners: Each is called as ``listener(step, report)`` when a step is closed.

    Attributes:
        mixer: Decides what is rolled out and trained on.
        streams: Prompts of each trained task.
        banked: Knows who generated which group.
        drop_limit: Stops the run when too many groups cannot be scored.
        improvements: I_k of the open step, one mapping per policy update.
        figures: Figures of the open step that the mixer does not know.
    """

    def __init__(
        self,
        tasks: TaskSet,
        method: Method,
        schedule: Schedule,
        engine: Engine,
        scorer: Scorer,
        *,
        seed: int,
        streams: Mapping[str, Any] | None = None,
        shuffle: bool = True,
        writer: RunLogWriter | None = None,
        listeners: Sequence[Callable[[int, StepReport], None]] = (),
    ) -> None:
        self.method, self.schedule, self.engine, self.scorer = method, schedule, engine, scorer
        self.writer, self.listeners = writer, listeners
        self.mixer = method.make_mixer(
            tasks.trained,
            batch_size=schedule.batch_size,
            families=tasks.families,
            reward_ranges=tasks.reward_ranges,
            seed=seed,
        )
        self.streams: dict[str, Any] = dict(streams or {}) or make_streams(
            tasks, seed, remember=method.prompt_memory, shuffle=shuffle
        )
        make_stream = partial(
            PromptStream, seed=seed, remember=method.prompt_memory, shuffle=shuffle
        )
        self.changing = ChangingTasks(tasks, self.mixer, self.streams, make_stream, self._tell)
        self.banked = BankedGroups(self.mixer, tasks)
        self.drop_limit = DropLimit({task.name: task.scoring for task in tasks})

        self.improvements: list[dict[str, float]] = []
        self.figures: dict[str, float] = {}
        self._costs = CostTally()
        self._num_discarded_rollouts = 0
        self._next_uid = 0  # of groups, unique in the run

    @property
    def num_rollouts(self) -> int:
        """Completions generated for training so far."""
        return self.mixer.num_rollouts + self._num_discarded_rollouts

    # ---- filling a batch -----------------------------------------------------------------------
    def choose_groups(self) -> list[Slot]:
        """Roll out as needed, and choose the groups of the batch; the same on every process."""
        if self.mixer.batch is not None:  # several generation batches in one policy update
            self.close()
        self.changing.follow()
        self.banked.begin_step()
        self._next_uid = self.num_rollouts // self.schedule.group_size

        batch = self.mixer.new_batch()
        informs = informative_filter(self.mixer.sampler.group_filter)
        spare: list[Group] = []
        while request := batch.ask():
            groups, spare = self._answer(request, spare)
            remember_groups(self.streams, groups, informs)
            batch.tell(groups)

        self._put_back(spare)
        self.banked.record_surplus(batch, self.engine.log_probs)

        slots = training_slots(batch, self.mixer.batch_size, self.banked.owners)
        self._agree(
            "the groups to train on",
            groups=[[s.group.task, s.group.uid, s.owner, s.trains] for s in slots],
        )
        self._num_discarded_rollouts += sum(len(group.rewards) for group in spare)
        self.figures = {
            "sampler/padded": sum(not slot.trains for slot in slots),
            "sampler/discarded": len(spare),
            **self._costs.take_tokens(),
            **memory_metrics(self.streams),
        }
        return slots

    def _answer(
        self, request: Mapping[str, int], spare: Sequence[Group]
    ) -> tuple[list[Group], list[Group]]:
        """The groups of a request, in the order of one process alone, and those to spare."""
        groups, spare = take(spare, request)

        missing = Counter(request)
        missing.subtract(group.task for group in groups)
        missing = {task: count for task, count in missing.items() if count}
        if missing:
            new, beyond = take(self.run_round(missing), missing)
            groups += new
            spare += beyond

        return in_order(groups, plan_round(request, 1)), spare

    def run_round(self, request: Mapping[str, int]) -> list[Group]:
        """Roll out what is asked for; more, if it does not divide over the processes."""
        names = plan_round(request, self.engine.accelerator.num_processes)
        draws = [self.streams[name].draw(1)[0] for name in names]
        plan = [(name, draw.row) for name, draw in zip(names, draws, strict=True)]
        self._agree("the prompts to roll out", request=dict(request), prompts=plan)

        # TRL generates a whole generation batch at once, so that much fits; vLLM schedules by
        # itself, and shared prompts are meant for models for which memory is no concern.
        at_once = len(plan) if self.engine.generates_whole_rounds else self.mixer.batch_size

        groups: list[Group] = []
        for start in range(0, len(plan), at_once):
            groups += self._roll_out_whole_or_in_parts(plan[start : start + at_once])
        groups = [replace(group, draw=draw) for group, draw in zip(groups, draws, strict=True)]

        # Of all processes' groups, so that all of them stop, if one does.
        self.drop_limit.observe(
            ((group.task, math.isnan(group.mean_reward)) for group in groups), self.scorer.reason
        )
        return groups

    def _roll_out_whole_or_in_parts(self, plan: Sequence[tuple[str, int]]) -> list[Group]:
        probes = None if self.mixer.batch is None else self.mixer.batch.probes
        if probes is None:
            return self._roll_out(plan)

        def decide(groups: Sequence[Group]) -> list[float]:
            weights = probes.weights(groups)
            self._agree("the groups to complete", weights=weights)
            return weights

        size, num_processes = self.schedule.group_size, self.engine.accelerator.num_processes
        parts = GroupsInParts(size, num_processes, self._roll_out, decide)
        groups = parts.round(plan, {task: probes.of(task, size) for task, _ in plan})
        self._num_discarded_rollouts += parts.num_unneeded
        return groups

    def _roll_out(
        self, plan: Sequence[tuple[str, int]], size: int | None = None, is_first: bool = True
    ) -> list[Group]:
        if size == self.schedule.group_size:
            size = None
        groups, prompts, completions = self.engine.roll_out(plan, self._next_uid, size)
        self._next_uid += len(plan)
        self._costs.add(groups)

        accelerator = self.engine.accelerator
        share = len(plan) // accelerator.num_processes

        for place, group in enumerate(groups):
            self.banked.owners[group.uid] = place // share

        if self.writer is not None and is_first:  # one sample a group
            first = accelerator.process_index * share
            self.writer.record(groups[first : first + share], prompts, completions)
        return groups

    def _put_back(self, spare: Sequence[Group]) -> None:
        """Undo the draws of groups that one process alone would not have drawn yet."""
        for group in spare:
            assert group.draw is not None
            self.streams[group.task].put_back([group.draw])

    def _agree(self, what: str, **decision: Any) -> None:
        # Before anything is done about it: better an error than processes that wait for each other
        # for ever.
        step, weights = self.mixer.step, self.mixer.weighting.weight_array()
        decision = {"step": step, "weights": weights, **decision}
        check_agreement(self.engine.accelerator, what, decision)

    def settle_shares(
        self, shares: TaskLossShares, micro_batches: Sequence[dict[str, Any]]
    ) -> None:
        """Set the loss shares of the batch just chosen, and note them.

        Args:
            shares: The trainer's.
            micro_batches: The inputs of the batch's forward passes.
        """
        targets = self.loss_targets()
        self.figures |= shares.settle(micro_batches, targets, self.engine.accelerator)
        if self.mixer.batch is not None:
            self.mixer.batch.tell_loss_shares(shares.now)

    def loss_targets(self) -> Mapping[str, float]:
        """The shares that the batch just chosen should have of the loss, of any sum."""
        batch = self.mixer.batch
        return self.mixer.weights() if batch is None else batch.loss_targets

    # ---- moments of TRL's loop -----------------------------------------------------------------
    def begin_training(self) -> None:
        """Before the first step.

        Raises:
            ConfigError: There is nothing to train on.
        """
        if not self.streams:
            raise ConfigError(
                f"{WHERE}: no task has rows to train on; give at least one task train rows"
            )
        warn_about_shares(self.schedule)

    def end_policy_update(self) -> None:
        """After each optimizer step, before it is logged and saved."""
        # One mapping per policy update, empty when nothing is measured: some rules move the weights
        # once for each.
        self.improvements.append(self.engine.measure_improvements())
        if self.mixer.batch is not None and self.engine.batch_is_used_up:
            self.close()

    def close(self) -> None:
        """The batch is used up: the weights move."""
        if self.writer is not None and self.mixer.batch is not None:
            self.writer.close_step(self.mixer.batch.groups)

        self.mixer.update(self.improvements)
        self.improvements = []

        # TRL averages over the steps that have a figure: no time spent is a figure, too.
        times = {f"task/{name}/reward_time_s": 0.0 for name in self.mixer.tasks}
        times |= self.scorer.take_metrics() | self._costs.take_seconds()  # times are in no state
        self.engine.log_step(self.mixer.metrics() | self.figures | times)

        if self.mixer.report is not None:
            for listener in self.listeners:
                listener(self.mixer.step, self.mixer.report)

    def _tell(self, step: int, news: Sequence[TaskNews]) -> None:
        for listener in self.listeners:
            tell = getattr(listener, "tasks_changed", None)
            if tell is not None:
                tell(step, [str(item) for item in news])

        if self.writer is not None:
            first_update = int((step - 1) * self.schedule.updates) + 1
            self.writer.write_changes(first_update, self.num_rollouts, news)

    def write_log(self, step: int, logs: Mapping[str, Any]) -> None:
        """When TRL logs metrics of training."""
        if self.writer is not None:
            self.writer.write_metrics(step, self.num_rollouts, logs)

    def write_evaluation(self, step: int, evaluation: TaskEvaluator) -> None:
        """When an evaluation is over."""
        if self.writer is not None:
            self.writer.write_evaluation(
                step, self.num_rollouts, evaluation.results, evaluation.num_samples
            )

    # ---- checkpoints ---------------------------------------------------------------------------
    def state_dict(self) -> State:
        """Everything that changes the next decision, JSON-able."""
        return {
            "mixer": self.mixer.state_dict(),
            "streams": self.changing.state_dict(),
            "dropped": self.drop_limit.state_dict(),
            "num_discarded_rollouts": self._num_discarded_rollouts,
            "improvements": self.improvements,
            "step_counts": self.figures,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where the saved step stood; `banked` restores what groups hold.

        Tasks that joined, left, grew or shrank since do so now.

        Raises:
            StateError: It was saved with other settings or a different batch size, or with a batch
                half used and other tasks.
        """
        self.changing.load_state_dict(state["streams"], state["mixer"])
        self.drop_limit.load_state_dict(state["dropped"])
        self._num_discarded_rollouts = int(state["num_discarded_rollouts"])
        self.improvements, self.figures = state["improvements"], state["step_counts"]
        if self.mixer.batch is None:
            self.changing.follow()
