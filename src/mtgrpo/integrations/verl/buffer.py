"""verl's replay buffer over a mixer: the groups a step trains on, and what to roll out for them."""

# verl has an environment of its own, and the one that types are checked in does not have it.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUntypedBaseClass=false
from __future__ import annotations

import time
from collections.abc import Set
from typing import Any

import torch
import transfer_queue
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from mtgrpo.core.batch import Batch
from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.types import Group
from mtgrpo.errors import ConfigError, StateError, counted
from mtgrpo.integrations.verl.checks import check_mode, check_training
from mtgrpo.integrations.verl.groups import (
    Rollouts,
    check_one_output,
    columns,
    read_groups,
    session_of,
    uid_of,
)
from mtgrpo.integrations.verl.loss_shares import BatchLossShares
from mtgrpo.integrations.verl.settings import VerlSettings

TRAIN = "train"  # verl's name for the partition that is trained on


class MultiTaskReplayBuffer(ReplayBuffer):
    """verl's replay buffer, filled with the shares the mixer asks for.

    verl's trainer makes it, with these arguments; settings are read from ``data.mtgrpo``.

    Args:
        trainer_mode: ``"sync"``, ``"colocate_async"`` or ``"separate_async"``.
        trainer_config: verl's section of that mode.
        max_off_policy_threshold: Model versions that a group may span (not in ``sync``); None
            sets no limit.
        max_off_policy_strategy: ``"drop"`` gives up older groups, ``"wait"`` uses them.
        sampler_kwargs: Refused: settings belong into ``data.mtgrpo``.
        refill_fn: The trainer's method that fetches a number of prompts and has them rolled out.

    Raises:
        ConfigError: Another mode, or arguments that would be ignored.
    """

    def __init__(
        self,
        trainer_mode: str,
        trainer_config: Any,
        max_off_policy_threshold: int | None,
        max_off_policy_strategy: str,
        sampler_kwargs: Any,
        refill_fn: Any,
    ) -> None:
        check_mode(trainer_mode, trainer_config, sampler_kwargs)
        super().__init__(
            trainer_mode=trainer_mode,
            trainer_config=trainer_config,
            max_off_policy_threshold=max_off_policy_threshold,
            max_off_policy_strategy=max_off_policy_strategy,
            sampler_kwargs=sampler_kwargs,
            refill_fn=refill_fn,
        )
        self._settings = VerlSettings()
        self._loss_agg_mode = "token-mean"
        self._shares = BatchLossShares()
        self._shares.register()
        # uids of finished groups that were read and are still in the queue.
        self._seen: set[str] = set()

    def sample(
        self, global_steps: int, partition_id: str, batch_size: int
    ) -> tuple[Any, dict[str, Any]]:
        """The groups to train on in this step, and its metrics. Validation is verl's own.

        Args:
            global_steps: verl's step, from 1 on.
            partition_id: ``"train"`` or ``"val"``.
            batch_size: Groups wanted; B for training.

        Raises:
            ConfigError: The configuration cannot work, found at the first step.
            StateError: The checkpoint that was resumed lacks the mixer's state of this step.
            RewardError: Too many groups failed.
        """
        if partition_id != TRAIN:
            return super().sample(global_steps, partition_id, batch_size)

        ledger = self._find_ledger(global_steps, batch_size)
        self._fill(ledger, global_steps)

        batch = ledger.batch
        selected = [str(group.payload) for group in batch.groups] or [self._zero_gradient(batch)]
        figures = self._settle_shares(batch)
        metrics = ledger.close() | figures

        if self.trainer_mode == "sync":  # nothing is carried over
            self._drain()
            ledger.discard_ahead()

        waiting = {str(group.payload) for group in ledger.arrived.values()}
        self._clear(self._seen - set(selected) - waiting)
        self._seen &= waiting
        return self._materialize_batch(TRAIN, selected, self._in_order(selected)), metrics

    def _find_ledger(self, global_steps: int, batch_size: int) -> RolloutLedger:
        """The ledger of the trainer's dataset, once it is known to fit this step."""
        trainer: Any = getattr(self.refill_fn, "__self__", None)
        dataset: Any = getattr(trainer, "train_dataset", None)
        ledger = getattr(dataset, "ledger", None)
        if not isinstance(ledger, RolloutLedger):
            raise ConfigError(
                f"data.custom_cls: the training data are a {type(dataset).__name__}; "
                "MultiTaskReplayBuffer needs data.custom_cls.path=pkg://mtgrpo.integrations.verl "
                "data.custom_cls.name=MultiTaskDataset"
            )

        self._settings = dataset.settings
        self.poll_interval = self._settings.poll_interval
        self._shares.exact = dataset.method.loss_shares
        self._loss_agg_mode = trainer.config.actor_rollout_ref.actor.loss_agg_mode
        check_training(trainer.config, loss_shares=self._shares.exact)

        if batch_size != ledger.mixer.batch_size:
            raise ConfigError(
                f"verl asks for {counted(batch_size, 'group')} a step, data.train_batch_size is "
                f"{ledger.mixer.batch_size}; they must be equal"
            )
        if ledger.mixer.step != global_steps - 1:
            raise StateError(
                f"verl is at step {global_steps}, the mixer has closed {ledger.mixer.step}; the "
                "checkpoint's data.pt was not written by MultiTaskDataset; to start from its "
                "weights set trainer.resume_mode=disable and actor_rollout_ref.model.path"
            )
        return ledger

    # ---- filling the batch ---------------------------------------------------------------------
    def _fill(self, ledger: RolloutLedger, global_steps: int) -> None:
        """Round by round, until the batch is final."""
        while not ledger.done:
            if ledger.num_queued:
                self.refill_fn(ledger.num_queued)

            self._wait_for_round(ledger, global_steps)
            if ledger.num_queued:  # in place of groups that were given up
                continue

            ledger.settle()
            self._clear(self._useless(ledger.batch))

    def _wait_for_round(self, ledger: RolloutLedger, global_steps: int) -> None:
        """Until the round is complete, more prompts are needed, or nothing is on its way."""
        last_note = time.time()
        while True:
            self._sync_metadata_from_transfer_queue()
            self._take_in(ledger, global_steps)

            on_the_way = self.pending_keys[TRAIN] or self.running_keys[TRAIN]
            if ledger.is_complete or ledger.num_queued or not on_the_way:
                return
            last_note = self._wait_for_next_poll(TRAIN, last_note)

    def _take_in(self, ledger: RolloutLedger, global_steps: int) -> None:
        """Read what has finished since the last look; clear what cannot be used."""
        failed = self.failure_keys[TRAIN]
        new = (self.finished_keys[TRAIN] - self._seen) | failed
        keys = [key for key in self.partitions[TRAIN] if uid_of(key) in new]
        groups = self._read(keys)

        useless = set[str]()
        for uid in sorted(new):
            rollouts = groups.get(uid)
            task = None if rollouts is None else ledger.task(rollouts.ticket)

            if rollouts is None or task is None:
                useless.add(uid)
            elif uid in failed or not rollouts.is_finite:
                useless.add(uid)
                ledger.give_up([rollouts.ticket], "failed")
            else:
                # Groups are told in the order of their tickets; verl's uids are random.
                group = Group(
                    task, rollouts.rewards, rollouts.accuracies, uid=rollouts.ticket, payload=uid
                )
                ledger.take(rollouts.ticket, group)
                self._seen.add(uid)

        useless |= self._give_up_stale(ledger, global_steps)
        self._clear(useless)

    def _read(self, keys: list[str]) -> dict[str, Rollouts]:
        if not keys:
            return {}

        data = transfer_queue.kv_batch_get(
            keys=keys, partition_id=TRAIN, select_fields=columns(self._settings)
        )
        return read_groups(keys, data, self._settings)

    def _give_up_stale(self, ledger: RolloutLedger, global_steps: int) -> set[str]:
        """Give up groups that have become too old, those of earlier steps included; their uids."""
        stale = [
            (number, str(group.payload))
            for number, group in ledger.arrived.items()
            if self._is_stale(str(group.payload), global_steps)
        ]
        ledger.give_up([number for number, _ in stale], "stale")
        return {uid for _, uid in stale}

    def _is_stale(self, uid: str, global_steps: int) -> bool:
        most = self.max_off_policy_threshold
        if self.trainer_mode == "sync" or most is None:
            return False
        if self.max_off_policy_strategy != "drop":
            return False
        return global_steps - self.prompt_global_steps[TRAIN][uid] + 1 > most

    # ---- clearing the queue --------------------------------------------------------------------
    def _useless(self, batch: Batch) -> set[str]:
        """Dropped groups. The best one stays, in case that nothing else is left to train on."""
        dropped = [str(group.payload) for group in batch.padding(batch.counts.num_generated)]
        return self._seen & set(dropped[1:])

    def _clear(self, uids: Set[str]) -> None:
        self._clear_groups(TRAIN, set(uids))
        self._seen -= uids

    def _drain(self) -> None:
        """Wait for prompts beyond the batch and clear them: on-policy training cannot use them."""
        last_note = time.time()
        while self.pending_keys[TRAIN] or self.running_keys[TRAIN]:
            last_note = self._wait_for_next_poll(TRAIN, last_note)
            self._sync_metadata_from_transfer_queue()
        self._clear((self.finished_keys[TRAIN] | self.failure_keys[TRAIN]) - self._seen)

    # ---- the batch -----------------------------------------------------------------------------
    def _settle_shares(self, batch: Batch) -> dict[str, float]:
        """Set the tasks' shares of the loss of this batch; their figures."""
        uids = {str(group.payload) for group in batch.groups}
        keys = [key for key in self.partitions[TRAIN] if uid_of(key) in uids]
        lengths: dict[str, list[int]] = {uid: [] for uid in uids}

        if keys:
            data = transfer_queue.kv_batch_get(
                keys=keys, partition_id=TRAIN, select_fields=["response_mask"]
            )
            for key, mask in zip(keys, data["response_mask"].unbind(), strict=True):
                lengths[uid_of(key)].append(int(mask.sum()))  # mask: (tokens,)

        if self._shares.exact:
            check_one_output(keys)
        figures = self._shares.settle(
            batch.groups, lengths, batch.loss_targets, self._loss_agg_mode
        )
        batch.tell_loss_shares(self._shares.now)
        return figures

    def _zero_gradient(self, batch: Batch) -> str:
        """A dropped group with its rewards made equal: verl has to train on something."""
        uid = str(batch.padding(1)[0].payload)
        keys = [key for key in self.partitions[TRAIN] if uid_of(key) == uid]

        data = transfer_queue.kv_batch_get(
            keys=keys, partition_id=TRAIN, select_fields=["rm_scores"]
        )
        data["rm_scores"] = torch.zeros_like(data["rm_scores"])  # (completions, tokens)
        transfer_queue.kv_batch_put(keys=keys, partition_id=TRAIN, fields=data)
        return uid

    def _in_order(self, selected: list[str]) -> dict[str, dict[str, Any]]:
        """The rows of these groups, group by group: verl keeps this order; rows arrive in any."""
        place = {uid: i for i, uid in enumerate(selected)}
        rows = [
            (place[uid_of(key)], *session_of(key), key)
            for key in self.partitions[TRAIN]
            if uid_of(key) in place
        ]
        return {key: self.partitions[TRAIN][key] for *_, key in sorted(rows)}
