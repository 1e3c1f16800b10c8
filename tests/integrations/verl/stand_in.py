"""A stand-in for the parts of verl 0.9.1 and TransferQueue that the replay buffer uses, in memory.

It has their names, arguments and shapes and nothing else; tests/verl runs the same on the real ones.
"""

from __future__ import annotations

import sys
import types
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.prompts import PromptStream
from mtgrpo.integrations.verl.groups import TICKET
from mtgrpo.integrations.verl.settings import make_mixer, read_settings

TRAIN = "train"


class Queue:
    """TransferQueue: rows by key, with the tags that say how far a prompt is."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.status: dict[str, str] = {}  # by uid: running, finished or failure

    def kv_batch_get(
        self, *, keys: Sequence[str], partition_id: str, select_fields: Sequence[str]
    ) -> dict[str, Any]:
        assert partition_id == TRAIN
        columns: dict[str, Any] = {
            name: [self.rows[key][name] for key in keys] for name in select_fields
        }
        if TICKET in columns:
            columns[TICKET] = torch.stack(columns[TICKET])
        if "rm_scores" in columns:
            columns["rm_scores"] = torch.nested.nested_tensor(
                columns["rm_scores"], layout=torch.jagged
            )
        return columns

    def kv_batch_put(
        self, *, keys: Sequence[str], partition_id: str, fields: Mapping[str, Any]
    ) -> None:
        assert partition_id == TRAIN
        for name, values in fields.items():
            for key, value in zip(keys, values.unbind(), strict=True):
                self.rows[key][name] = value


class ReplayBuffer:
    """verl's buffer: what it knows of the queue, and how it clears and hands out groups."""

    queue: Queue
    poll: Callable[[], None]

    def __init__(
        self,
        *,
        trainer_mode: str,
        trainer_config: Any,
        max_off_policy_threshold: int | None,
        max_off_policy_strategy: str,
        sampler_kwargs: Any,
        refill_fn: Any,
    ) -> None:
        self.trainer_mode = trainer_mode
        self.max_off_policy_threshold = max_off_policy_threshold
        self.max_off_policy_strategy = max_off_policy_strategy
        self.refill_fn = refill_fn
        self.prompt_global_steps: dict[str, dict[str, int]] = {TRAIN: {}}
        self._sync_metadata_from_transfer_queue()

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> Any:
        return f"verl's own {partition_id}", {}

    def _sync_metadata_from_transfer_queue(self) -> None:
        uids: dict[str, set[str]] = defaultdict(set)
        for uid, status in self.queue.status.items():
            uids[status].add(uid)
        self.pending_keys = {TRAIN: set[str]()}
        self.running_keys = {TRAIN: uids["running"]}
        self.finished_keys = {TRAIN: uids["finished"]}
        self.failure_keys = {TRAIN: uids["failure"]}
        self.partitions = {TRAIN: {key: {"seq_len": 2} for key in self.queue.rows}}

    def _clear_groups(self, partition_id: str, uids: set[str]) -> None:
        for uid in uids:
            self.queue.status.pop(uid, None)
        for key in [key for key in self.queue.rows if key.rsplit("_", 2)[0] in uids]:
            del self.queue.rows[key]
        self._sync_metadata_from_transfer_queue()

    def _wait_for_next_poll(self, partition_id: str, last_debug_time: float) -> float:
        self.poll()
        return last_debug_time

    def _materialize_batch(
        self,
        partition_id: str,
        selected_prompt_uids: list[str],
        partition_snapshot: dict[str, Any],
    ) -> Any:
        return types.SimpleNamespace(uids=selected_prompt_uids, keys=list(partition_snapshot))


def install(monkeypatch: Any, queue: Queue) -> None:
    """Put the stand-ins where the buffer imports them from."""
    module = types.ModuleType("transfer_queue")
    vars(module).update(kv_batch_get=queue.kv_batch_get, kv_batch_put=queue.kv_batch_put)
    monkeypatch.setitem(sys.modules, "transfer_queue", module)

    path = "verl"
    for part in ("", ".trainer", ".ppo", ".v1", ".replay_buffer"):
        path += part
        monkeypatch.setitem(sys.modules, path, types.ModuleType(path))
    vars(sys.modules[path]).update(ReplayBuffer=ReplayBuffer)


class Trainer:
    """verl's trainer as the buffer sees it: fetches prompts, has them rolled out, asks for a batch a step."""

    def __init__(
        self,
        monkeypatch: Any,
        outcome: Callable[[str, int], list[float] | str],
        *,
        mode: str = "sync",
        threshold: int = 8,
        newest_first: bool = True,
        **section: Any,
    ) -> None:
        self.queue, self.outcome, self.newest_first = Queue(), outcome, newest_first
        install(monkeypatch, self.queue)
        sys.modules.pop("mtgrpo.integrations.verl.buffer", None)
        from mtgrpo.integrations.verl.buffer import MultiTaskReplayBuffer

        del sys.modules["mtgrpo.integrations.verl.buffer"]  # the next one imports it anew

        weights = {"copy": 0.5, "digit": 0.25, "rare": 0.25}
        fixed = {"weighting": {"rule": "fixed", "weights": weights}, "accuracy_key": "acc"}
        settings = read_settings(fixed | section)
        mixer = make_mixer(settings, list(weights), batch_size=8, seed=5)
        ledger = RolloutLedger(mixer, {name: PromptStream(name, 30, 5) for name in weights})
        self.train_dataset = types.SimpleNamespace(ledger=ledger, settings=settings)
        reward_model = types.SimpleNamespace(enable=False, enable_resource_pool=False)
        self.config = types.SimpleNamespace(
            reward=types.SimpleNamespace(reward_model=reward_model),
            algorithm=types.SimpleNamespace(filter_groups=types.SimpleNamespace(enable=False)),
        )

        self.global_steps = 1
        self.submitted: list[tuple[str, str, int]] = []  # uid, task, ticket: not finished yet
        self.handed_out: list[tuple[str, int]] = []
        monkeypatch.setattr(ReplayBuffer, "queue", self.queue, raising=False)
        monkeypatch.setattr(ReplayBuffer, "poll", staticmethod(self._poll), raising=False)
        self.buffer = MultiTaskReplayBuffer(
            trainer_mode=mode,
            trainer_config={},
            max_off_policy_threshold=threshold,
            max_off_policy_strategy="drop",
            sampler_kwargs={},
            refill_fn=self._add_prompts_to_generate,
        )

    @property
    def ledger(self) -> RolloutLedger:
        return self.train_dataset.ledger

    def _add_prompts_to_generate(self, num_prompts: int) -> None:
        for _ in range(num_prompts):
            ticket = self.ledger.next_prompt()
            uid = f"u-{ticket.number}"
            self.submitted.append((uid, ticket.task, ticket.number))
            self.handed_out.append((ticket.task, ticket.number))
            self.queue.status[uid] = "running"
            self.buffer.prompt_global_steps[TRAIN][uid] = self.global_steps

    def _poll(self) -> None:
        assert self.submitted, "the buffer waits although nothing is on its way"
        for _ in range(min(3, len(self.submitted))):
            self.deliver(*self.submitted.pop(-1 if self.newest_first else 0))

    def deliver(self, uid: str, task: str, ticket: int) -> None:
        rewards = self.outcome(task, ticket)
        if isinstance(rewards, str):
            self.queue.status[uid] = rewards
            return

        for i, reward in enumerate(rewards):
            info = {"reward_extra_info": {"acc": float(reward >= 1.0)}}
            self.queue.rows[f"{uid}_{i}_0"] = {
                TICKET: torch.tensor([ticket]),
                "rm_scores": torch.tensor([0.0] * (i + 1) + [reward]),
                "extra_fields": info,
            }
        self.queue.status[uid] = "finished"

    def deliver_all(self) -> None:
        for item in self.submitted:
            self.deliver(*item)
        self.submitted.clear()

    def step(self, fetched: int = 8) -> tuple[dict[str, int], dict[str, float], list[int]]:
        """One step of verl. Returns groups per task, metrics and tickets of the batch, which is used up."""
        self._add_prompts_to_generate(fetched)
        batch, metrics = self.buffer.sample(self.global_steps, TRAIN, 8)
        self.global_steps += 1

        tickets = [int(uid.removeprefix("u-")) for uid in batch.uids]
        names = {ticket: task for task, ticket in self.handed_out}
        counts: dict[str, int] = defaultdict(int)
        for ticket in tickets:
            counts[names[ticket]] += 1
        assert len(batch.keys) == 4 * len(tickets), "whole groups"
        assert [key.rsplit("_", 2)[0] for key in batch.keys[::4]] == batch.uids, "group by group"
        self.buffer._clear_groups(TRAIN, set(batch.uids))
        return dict(counts), metrics, tickets
