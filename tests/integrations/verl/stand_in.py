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
from mtgrpo.integrations.verl.settings import (
    make_mixer,
    read_settings,
    resolve_method,
)

TRAIN = "train"


class Section(types.SimpleNamespace):
    """A part of a configuration: attributes, and `get`."""

    def get(self, key: str, default: Any = None) -> Any:
        return getattr(self, key, default)


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
        if "response_mask" in columns:
            columns["response_mask"] = torch.nested.nested_tensor(
                columns["response_mask"], layout=torch.jagged
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

    for path in ("", ".trainer", ".trainer.ppo", ".trainer.ppo.core_algos", ".trainer.ppo.v1"):
        monkeypatch.setitem(sys.modules, f"verl{path}", types.ModuleType(f"verl{path}"))
    path = "verl.trainer.ppo.v1.replay_buffer"
    monkeypatch.setitem(sys.modules, path, types.ModuleType(path))
    vars(sys.modules[path]).update(ReplayBuffer=ReplayBuffer)
    vars(sys.modules["verl.trainer.ppo.core_algos"]).update(
        ADV_ESTIMATOR_REGISTRY={}, compute_grpo_outcome_advantage=grpo_advantages
    )


def grpo_advantages(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    index: Sequence[str],
    epsilon: float = 1e-6,
    norm_adv_by_std_in_grpo: bool = True,
    config: Any = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    scores = token_level_rewards.sum(-1)
    for uid in set(index):
        mine = torch.tensor([other == uid for other in index])
        values = scores[mine]
        scale = values.std() + epsilon if norm_adv_by_std_in_grpo else 1.0
        scores[mine] = (values - values.mean()) / scale
    advantages = scores.unsqueeze(-1) * response_mask
    return advantages, advantages


def loss_shares(rows: Sequence[Mapping[str, Any]], tasks: Sequence[str]) -> dict[str, float]:
    """Each task's share of a token-mean loss with the advantages that verl would compute now."""
    rewards, masks = (
        torch.nn.utils.rnn.pad_sequence([row[name] for row in rows], batch_first=True)
        for name in ("rm_scores", "response_mask")
    )
    arguments = (rewards, masks, [f"u-{int(row[TICKET])}" for row in rows])
    core_algos = sys.modules["verl.trainer.ppo.core_algos"]
    scaled, _ = core_algos.ADV_ESTIMATOR_REGISTRY["mtgrpo"](*arguments)
    plain, _ = core_algos.compute_grpo_outcome_advantage(*arguments)

    # A coefficient of the loss is an advantage against what plain GRPO would give the same token.
    weights = torch.where(plain != 0, scaled / plain, 0.0).sum(-1)  # (rows,)
    sums: dict[str, float] = defaultdict(float)
    for task, weight in zip(tasks, weights.tolist(), strict=True):
        sums[task] += weight / float(weights.sum())
    return dict(sums)


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
        ours = [f"mtgrpo.integrations.verl.{name}" for name in ("buffer", "loss_shares")]
        for name in ours:
            sys.modules.pop(name, None)
        from mtgrpo.integrations.verl.buffer import MultiTaskReplayBuffer

        for name in ours:
            del sys.modules[name]  # the next one imports it anew

        weights = {"copy": 0.5, "digit": 0.25, "rare": 0.25}
        fixed = {
            "preset": "mt_grpo",
            "weighting": {"rule": "fixed", "weights": weights},
            "accuracy_key": "acc",
        }
        settings = read_settings(fixed | section)
        mixer = make_mixer(settings, list(weights), batch_size=8, seed=5)
        method = resolve_method(settings)
        streams = {
            name: PromptStream(name, 30, 5, remember=method.prompt_memory) for name in weights
        }
        ledger = RolloutLedger(mixer, streams)
        self.train_dataset = types.SimpleNamespace(ledger=ledger, settings=settings, method=method)
        reward_model = types.SimpleNamespace(enable=False, enable_resource_pool=False)
        self.config = types.SimpleNamespace(
            reward=types.SimpleNamespace(reward_model=reward_model),
            algorithm=Section(
                filter_groups=Section(enable=False),
                adv_estimator="mtgrpo" if method.loss_shares else "grpo",
            ),
            actor_rollout_ref=Section(actor=Section(loss_agg_mode="token-mean")),
        )

        self.global_steps = 1
        self.submitted: list[tuple[str, str, int]] = []  # uid, task, ticket: not finished yet
        self.handed_out: list[tuple[str, int]] = []
        self.rows: dict[int, int] = {}  # of a task's, by ticket
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
            self.rows[ticket.number] = ticket.row
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
                "rm_scores": torch.tensor([0.0] * (self.length(task, i) - 1) + [reward]),
                "response_mask": torch.ones(self.length(task, i), dtype=torch.int64),
                "extra_fields": info,
            }
        self.queue.status[uid] = "finished"

    def length(self, task: str, i: int) -> int:
        """Tokens of a completion: tasks answer at different lengths."""
        return (i + 2) * {"copy": 1, "digit": 3, "rare": 7}[task]

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
        rows = [self.queue.rows[key] for key in batch.keys]
        self.shares = loss_shares(rows, [names[int(row[TICKET])] for row in rows])
        counts: dict[str, int] = defaultdict(int)
        for ticket in tickets:
            counts[names[ticket]] += 1
        assert len(batch.keys) == 4 * len(tickets), "whole groups"
        assert [key.rsplit("_", 2)[0] for key in batch.keys[::4]] == batch.uids, "group by group"
        self.buffer._clear_groups(TRAIN, set(batch.uids))
        return dict(counts), metrics, tickets
