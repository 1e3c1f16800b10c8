"""The seam in TRL: roll out with its own method, leave once the rewards are known, replay on the chosen rows."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mtgrpo.core.types import Group
from mtgrpo.integrations.trl.evaluation import EvaluationTable
from mtgrpo.integrations.trl.loss_shares import LOSS_FACTORS, LossShareTrainer, carries_gradient
from mtgrpo.integrations.trl.rollouts import (
    ROW_KEY,
    TASK_KEY,
    RecordedRow,
    Slot,
    input_row,
    join_generation,
    share_out,
    split_generation,
)
from mtgrpo.integrations.trl.scores import TaskScores, mark_unscored
from mtgrpo.integrations.trl.setup import Schedule
from mtgrpo.integrations.trl.surrogate import TASK_NUMBERS, SurrogateMeter
from mtgrpo.tasks.task_set import TaskSet


class _RoundDone(Exception):
    """Leaves TRL's method as soon as a round is generated and scored."""


@dataclass(slots=True)
class _Playback:
    """What TRL's method said while collecting, or will be told while replaying."""

    generation: tuple[Any, ...] = ()
    prompts: list[Any] = field(default_factory=list)
    completions: list[Any] = field(default_factory=list)
    rewards: torch.Tensor | None = None


class RolloutReplayTrainer(LossShareTrainer):
    """A GRPOTrainer that trains on whatever groups `_choose_groups` decides, instead of what its loader yields.

    The two phases share TRL's own `_generate_and_score_completions`. *Collect*: it runs on a round's rows and is left
    by an exception when the rewards of all processes are known; no log-probabilities are computed meanwhile. *Replay*:
    it runs on the chosen rows, `_generate` and `_calculate_rewards` return what was recorded.
    """

    accelerator: Any
    model: Any
    tasks: TaskSet
    schedule: Schedule
    scores: TaskScores
    meter: SurrogateMeter | None
    _phase = ""  # "collect", "replay", "evaluate" or none of them
    _playback: _Playback
    _table: EvaluationTable
    _next_uid = 0  # of groups, unique in the run

    @abstractmethod
    def _choose_groups(self) -> list[Slot]:
        """Roll out as needed and say which groups fill the generation batch; the same on every process."""

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        if not self.model.training:
            return super()._generate_and_score_completions(inputs)
        state = self.accelerator
        groups = share_out(self._choose_groups(), state.num_processes, state.process_index)
        return self._replay([row for group in groups for row in group])

    # ---- collect -------------------------------------------------------------------------------------------
    def roll_out(self, plan: Sequence[tuple[str, int]]) -> list[Group]:
        """One group per (task, training row), in order. Payloads are there on the process that generated them.

        Args:
            plan: As long as a multiple of the number of processes, and the same on each.
        """
        size, processes, process = (
            self.schedule.group_size,
            self.accelerator.num_processes,
            self.accelerator.process_index,
        )
        part = len(plan) // processes
        first = process * part
        inputs: list[dict[str, Any]] = []
        for task, index in plan[first : first + part]:
            row = self.tasks[task].train[index]
            inputs += [input_row(task, index, row) for _ in range(size)]
        self._phase, self._playback = "collect", _Playback()
        try:
            super()._generate_and_score_completions(inputs)
        except _RoundDone:
            pass
        finally:
            self._phase = ""
        self._pending_extra_logs.clear()  # logged again on replay, for the rows that are trained on
        recorded = self._playback
        rewards = recorded.rewards
        assert rewards is not None  # set just before _RoundDone
        totals = (rewards * self.reward_weights.to(rewards.device)).nansum(1)
        totals = totals.masked_fill(rewards[:, 0].isnan(), math.nan).view(-1, size).tolist()
        accuracies = rewards[:, 1].view(-1, size).tolist()
        columns = rewards[first * size : (first + part) * size].tolist()
        if self.environment_factories is not None:
            # What an environment observed is part of the prompt now, and its images are in the generation.
            inputs = [
                {**{k: v for k, v in row.items() if k not in ("image", "images")}, "prompt": prompt}
                for row, prompt in zip(inputs, recorded.prompts, strict=True)
            ]
        rows = [
            RecordedRow(row, generation, tuple(values))
            for row, generation, values in zip(
                inputs, split_generation(recorded.generation, len(inputs)), columns, strict=True
            )
        ]
        groups: list[Group] = []
        for g, (task, _) in enumerate(plan):
            uid, owner, place = self._next_uid, g // part, (g - first) * size
            self._next_uid, self._owners[uid] = uid + 1, owner
            payload = rows[place : place + size] if owner == process else None
            groups.append(Group(task, tuple(totals[g]), tuple(accuracies[g]), uid, payload))
        self._rolled_out(groups[first : first + part], recorded.prompts, recorded.completions)
        return groups

    @abstractmethod
    def _rolled_out(
        self, groups: Sequence[Group], prompts: Sequence[Any], completions: Sequence[Any]
    ) -> None:
        """Take note of this process's groups of a round, with their prompts and completions row by row."""

    # ---- replay --------------------------------------------------------------------------------------------
    def _replay(self, rows: Sequence[RecordedRow]) -> Any:
        device = self.accelerator.device
        rewards = torch.tensor([row.rewards for row in rows], dtype=torch.float32, device=device)
        self._playback = _Playback(
            generation=join_generation([row.generation for row in rows]),
            rewards=self.accelerator.gather(rewards),
        )
        factories, self.environment_factories = (
            self.environment_factories,
            None,
        )  # they ran already: no reset
        self.environments, self._phase = None, "replay"
        if self.log_completions:
            self._pending_extra_logs["task"].extend(row.inputs[TASK_KEY] for row in rows)
        try:
            with self._recorded_log_probs(rows):
                output = super()._generate_and_score_completions([row.inputs for row in rows])
        finally:
            self.environment_factories, self._phase, self._playback = factories, "", _Playback()
        numbers = {name: k for k, name in enumerate(self.tasks.names)}
        output[TASK_NUMBERS] = torch.tensor(
            [numbers[row.inputs[TASK_KEY]] if row.trains else -1 for row in rows], device=device
        )
        output[LOSS_FACTORS] = carries_gradient(output["advantages"], self.schedule.group_size)
        return output

    # ---- what TRL's method calls ---------------------------------------------------------------------------
    def _generate(self, prompts: Any) -> Any:
        if self._phase == "replay":
            return self._playback.generation
        generation = super()._generate(prompts)
        if self._phase == "collect":
            self._playback.generation, self._playback.prompts = generation, prompts
        return generation

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any
    ) -> Any:
        if self._phase == "replay":
            return self._playback.rewards
        collects = self._phase == "collect"
        self.scores.compute(
            inputs,
            completions,
            self.environments,
            group_size=self.schedule.group_size if collects else self.schedule.eval_group_size,
            first=self.accelerator.process_index * len(inputs),
            timed=collects,
        )
        # TRL reads the columns' names from the first row; ours differ from task to task and are not needed any more.
        bare = [{"prompt": row.get("prompt")} for row in inputs]
        rewards = mark_unscored(
            super()._calculate_rewards(bare, prompts, completions, completion_ids_list)
        )
        if self._phase == "collect":
            self._playback.rewards, self._playback.completions = rewards, completions
            raise _RoundDone
        if self._phase == "evaluate":
            numbers = {name: k for k, name in enumerate(self.tasks.names)}
            places = [(numbers[row[TASK_KEY]], row[ROW_KEY]) for row in inputs]
            places = self.accelerator.gather(torch.tensor(places, device=rewards.device))
            self._table.add(places.tolist(), rewards[:, :2].tolist())
        return rewards

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Any,
        attention_mask: Any,
        logits_to_keep: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        # While collecting, most rows will not be trained on; an evaluation has no loss. With vLLM, TRL's metrics of
        # an evaluation compare these numbers with vLLM's, so they must be real.
        if self._phase == "collect" or (self._phase == "evaluate" and not self.use_vllm):
            nothing = input_ids.new_zeros((len(input_ids), logits_to_keep), dtype=torch.float32)
            return nothing, None, None
        given = (model, input_ids, attention_mask, logits_to_keep, *args)
        found = super()._get_per_token_logps_and_entropies(*given, **kwargs)
        if self.meter is not None:
            self.meter.record(given, kwargs, found[0])
        return found

    # ---- the loss ------------------------------------------------------------------------------------------
    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if self.meter is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        with self.meter.recording(inputs):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def _measure_improvements(self) -> dict[str, float]:
        """I_k of the optimizer step just done."""
        assert self.meter is not None

        def forward(*args: Any, **kwargs: Any) -> torch.Tensor:
            plain = {
                k: False if k in ("compute_entropy", "compute_aux_loss") else v
                for k, v in kwargs.items()
            }
            return super(RolloutReplayTrainer, self)._get_per_token_logps_and_entropies(
                *args, **plain
            )[0]

        return self.meter.measure(
            forward, lambda tensor: self.accelerator.reduce(tensor, reduction="sum")
        )
