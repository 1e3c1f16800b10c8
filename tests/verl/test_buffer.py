"""Our dataset and replay buffer with verl's own loader, fetching methods and queue on Ray; the rollouts are made up."""

from __future__ import annotations

import io
import shutil
import types
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import torch
import transfer_queue
from omegaconf import OmegaConf
from torchdata.stateful_dataloader import StatefulDataLoader
from transformers import AutoTokenizer
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.utils.dataset.rl_dataset import collate_fn
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from mtgrpo.errors import ConfigError, RewardError, StateError
from mtgrpo.integrations.verl import MultiTaskDataset, MultiTaskReplayBuffer
from mtgrpo.integrations.verl.groups import TICKET, read_tickets

WEIGHTS = {"copy": 0.5, "digit": 0.25, "rare": 0.25}
FIXED = {
    "preset": "mt_grpo",
    "weighting": {"rule": "fixed", "weights": WEIGHTS},
    "accuracy_key": "acc",
    "poll_interval": 0.01,
}
Outcome = Callable[[str, int], "list[float] | str"]


@pytest.fixture(scope="module", autouse=True)
def queue() -> Iterator[None]:
    # Ray makes its workers as nice as can be: beside other work on a machine they would hardly get started.
    quick = {"worker_niceness": 0}
    ray.init(
        num_cpus=8,
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=False,
        _system_config=quick,
    )
    transfer_queue.init(
        OmegaConf.create({"backend": {"SimpleStorage": {"num_data_storage_units": 1}}})
    )
    yield
    transfer_queue.close()
    ray.shutdown()


@pytest.fixture(autouse=True)
def empty_queue() -> Iterator[None]:
    yield
    for partition, items in (transfer_queue.kv_list() or {}).items():
        if items:
            transfer_queue.kv_clear(keys=list(items), partition_id=partition)


def informative(task: str, ticket: int) -> list[float]:
    """Four rewards; copy informs always, digit every second time, rare every third."""
    every = {"copy": 1, "digit": 2, "rare": 3}[task]
    return [1.0, 0.0, 0.1, 1.0] if ticket % every == 0 else [0.1, 0.0, 0.0, 0.1]


def length(task: str, i: int) -> int:
    """Tokens of a completion: tasks answer at different lengths."""
    return (i + 2) * {"copy": 1, "digit": 3, "rare": 7}[task]


def loss_shares(keys: list[str]) -> dict[str, float]:
    """Each task's share of a token-mean loss with the advantages that verl has computed."""
    names = ["data_source", "uid", "rm_scores", "response_mask", "advantages"]
    data = transfer_queue.kv_batch_get(keys=keys, partition_id="train", select_fields=names)
    tasks = [str(getattr(task, "data", task)) for task in data["data_source"]]
    uids = [str(getattr(uid, "data", uid)) for uid in data["uid"]]
    rewards, masks, scaled = (
        torch.nn.utils.rnn.pad_sequence(list(data[name].unbind()), batch_first=True)
        for name in names[2:]
    )
    plain, _ = compute_grpo_outcome_advantage(rewards, masks, uids)

    weights = torch.where(plain != 0, scaled / plain, 0.0).sum(-1)  # (rows,)
    sums = Counter[str]()
    for task, weight in zip(tasks, weights.tolist(), strict=True):
        sums[task] += weight / float(weights.sum())
    return dict(sums)


class Trainer:
    """verl's own methods that fetch and submit prompts, without workers. `deliver` finishes what was submitted."""

    _fetch_one_gen_batch = PPOTrainer._fetch_one_gen_batch
    _next_train_batch = PPOTrainer._next_train_batch
    _submit_batch_to_rollout = PPOTrainer._submit_batch_to_rollout
    _add_prompts_to_generate = PPOTrainer._add_prompts_to_generate
    _compute_advantage = PPOTrainer._compute_advantage

    def __init__(
        self,
        rows: Any,
        model: Any,
        outcome: Outcome,
        mode: str = "sync",
        threshold: int = 8,
        **section: Any,
    ):
        self.config = OmegaConf.create(
            {
                "data": {
                    "train_files": f"{rows}/train.parquet",
                    "val_files": f"{rows}/test.parquet",
                    "train_batch_size": 8,
                    "gen_batch_size": 1,
                    "dataloader_num_workers": 0,
                    "filter_overlong_prompts": False,
                    "reward_fn_key": "data_source",
                    "seed": 5,
                    "mtgrpo": FIXED | section,
                },
                "reward": {"reward_model": {"enable": False, "enable_resource_pool": False}},
                "algorithm": {
                    "filter_groups": {"enable": False},
                    "adv_estimator": "mtgrpo",
                    "use_kl_in_reward": False,
                    "gamma": 1.0,
                    "lam": 1.0,
                },
                "actor_rollout_ref": {
                    "actor": {"loss_agg_mode": "token-mean"},
                    "rollout": {"n": 4},
                },
            }
        )
        self.trainer_mode, self.outcome, self.global_steps = mode, outcome, 1
        self.train_dataset = MultiTaskDataset(
            self.config.data.train_files, AutoTokenizer.from_pretrained(model), self.config.data
        )
        self.train_dataloader = StatefulDataLoader(
            self.train_dataset, batch_size=1, num_workers=0, drop_last=True, collate_fn=collate_fn
        )
        self.train_dataloader_it = None
        self.agent_loop_manager = types.SimpleNamespace(generate_sequences=self._submitted)
        self.submitted: list[tuple[str, str, int]] = []  # uid, task, ticket: not finished yet
        self.handed_out: list[tuple[str, int]] = []
        self.buffer = MultiTaskReplayBuffer(
            trainer_mode=mode,
            trainer_config={},
            max_off_policy_threshold=threshold,
            max_off_policy_strategy="drop",
            sampler_kwargs=OmegaConf.create({}),
            refill_fn=self._add_prompts_to_generate,
        )
        self.buffer._wait_for_next_poll = self._next_poll  # time passes: rollouts finish

    def _submitted(self, batch: Any) -> None:
        for i in range(len(batch)):
            ticket = int(batch[TICKET][i])
            self.submitted.append((batch["uid"][i], batch["data_source"][i], ticket))
            self.handed_out.append((batch["data_source"][i], ticket))

    def _next_poll(self, partition: str, last: float) -> float:
        assert self.submitted, "the buffer waits although nothing is on its way"
        for uid, task, ticket in [
            self.submitted.pop() for _ in range(min(3, len(self.submitted)))
        ]:  # last ones first
            self.deliver(uid, task, ticket)
        return last

    def deliver(self, uid: str, task: str, ticket: int) -> None:
        rewards = self.outcome(task, ticket)
        if rewards == "failure":
            transfer_queue.kv_put(key=uid, partition_id="train", tag={"status": "failure"})
            return
        fields = [
            {
                "uid": uid,
                "data_source": task,
                TICKET: torch.tensor([ticket]),
                "rm_scores": torch.tensor([0.0] * (length(task, i) - 1) + [reward]),
                "response_mask": torch.ones(length(task, i), dtype=torch.int64),
                "extra_fields": {"reward_extra_info": {"acc": float(reward >= 1.0)}},
            }
            for i, reward in enumerate(rewards)
        ]
        transfer_queue.kv_batch_put(
            keys=[f"{uid}_{i}_0" for i in range(len(fields))],
            partition_id="train",
            fields=list_of_dict_to_tensordict(fields),
            tags=[{"status": "success", "seq_len": 2}] * len(fields),
        )
        transfer_queue.kv_put(key=uid, partition_id="train", tag={"status": "finished"})

    def step(self) -> tuple[Counter[str], dict[str, float], list[int]]:
        """verl's step: one batch of prompts, then a sample. Returns groups per task, figures and tickets."""
        self._add_prompts_to_generate(8)
        batch, metrics = self.buffer.sample(self.global_steps, "train", 8)
        data = transfer_queue.kv_batch_get(
            keys=batch.keys, partition_id="train", select_fields=["data_source", TICKET]
        )
        rows = Counter(str(getattr(task, "data", task)) for task in data["data_source"])
        tickets = list(dict.fromkeys(read_tickets(data)))
        self._compute_advantage(batch, {})
        self.shares = loss_shares(batch.keys)
        transfer_queue.kv_clear(keys=batch.keys, partition_id="train")
        self.global_steps += 1
        assert all(count % 4 == 0 for count in rows.values()), "whole groups"
        return Counter({task: count // 4 for task, count in rows.items()}), metrics, tickets


def left() -> list[str]:
    return list((transfer_queue.kv_list("train") or {}).get("train", {}))


def test_sync_shares_are_exact_and_nothing_stays_behind(toy_rows, toy_model):
    trainer = Trainer(toy_rows, toy_model, informative)
    for _ in range(8):  # past the end of the data, where verl makes a new iterator
        groups, metrics, tickets = trainer.step()
        assert groups == {"copy": 4, "digit": 2, "rare": 2}
        assert metrics["sampler/shares_met"] == 1.0
        assert metrics["task/copy/weight"] == 0.5
        assert metrics["sampler/failed"] == metrics["sampler/discarded"] == 0
        for task, ticket in trainer.handed_out:
            if ticket in tickets:
                assert informative(task, ticket)[0] == 1.0
        assert left() == []
    assert metrics["task/rare/num_generated"] > metrics["task/copy/num_generated"]
    assert len(trainer.handed_out) > len(trainer.train_dataset)


def test_decisions_do_not_depend_on_what_finishes_first(toy_rows, toy_model):
    one = Trainer(toy_rows, toy_model, informative, weighting={"lam": 1.0, "weight_lr": 0.5})
    two = Trainer(toy_rows, toy_model, informative, weighting={"lam": 1.0, "weight_lr": 0.5})
    two._next_poll = None
    two.buffer._wait_for_next_poll = lambda partition, last: (
        two.deliver(*two.submitted.pop(0)) or last
    )
    weights = [(one.step(), two.step(), one.train_dataset.ledger.mixer.weights()) for _ in range(3)]
    assert all(a == b for a, b, _ in weights)
    assert weights[0][2] != weights[2][2]


@pytest.mark.parametrize("sampler", [{}, {"rounds": "one"}], ids=["quotas", "one round"])
def test_verls_own_advantages_share_the_loss_as_the_weights_say(toy_rows, toy_model, sampler):
    section = {"preset": "balanced", "sampler": sampler}
    trainer, mean = Trainer(toy_rows, toy_model, informative, **section), Counter[str]()
    for _ in range(12):
        groups, metrics, tickets = trainer.step()
        assert all(informative(*pair)[0] == 1 for pair in trainer.handed_out if pair[1] in tickets)
        assert set(trainer.shares) == set(groups)
        for task, share in trainer.shares.items():
            assert metrics[f"task/{task}/loss_share"] == pytest.approx(share, abs=1e-6)
            mean[task] += share / 12
    if sampler:
        assert len(trainer.handed_out) == 12 * 8
        assert sum(groups.values()) < 8
    assert mean == pytest.approx(WEIGHTS, abs=0.08 if sampler else 1e-5)
    assert left() == []


def test_separate_async_is_asked_as_colocate_async_is(toy_rows, toy_model):
    trainer = Trainer(toy_rows, toy_model, informative, mode="separate_async")
    trainer._add_prompts_to_generate(8)
    for _ in range(4):
        groups, metrics, _ = trainer.step()
        assert groups == {"copy": 4, "digit": 2, "rare": 2}
        assert metrics["sampler/discarded"] == 0


def test_a_checkpoint_continues_exactly(toy_rows, toy_model):
    changes = {"weighting": {"lam": 1.0, "weight_lr": 0.5}}
    steady = Trainer(toy_rows, toy_model, informative, **changes)
    steady.step()
    steady.step()
    file = io.BytesIO()
    torch.save(steady.train_dataloader.state_dict(), file)  # as verl does
    want = [steady.step() for _ in range(3)]
    resumed = Trainer(toy_rows, toy_model, informative, **changes)
    file.seek(0)
    resumed.train_dataloader.load_state_dict(torch.load(file, weights_only=False))
    resumed.global_steps = 3
    assert [resumed.step() for _ in range(3)] == want
    fresh = Trainer(toy_rows, toy_model, informative, **changes)
    fresh.global_steps = 3
    with pytest.raises(
        StateError, match=r"verl is at step 3, the mixer has closed 0; .*resume_mode=disable"
    ):
        fresh.step()


def test_a_checkpoint_continues_with_other_tasks(toy_rows, toy_model, tmp_path):
    changes = {"preset": "balanced", "weighting": {}, "sampler": {"rounds": "refill"}}
    before = Trainer(toy_rows, toy_model, informative, **changes)
    for _ in range(5):  # past the number of rows there will be
        before.step()
    file = io.BytesIO()
    torch.save(before.train_dataloader.state_dict(), file)

    table = pq.read_table(f"{toy_rows}/train.parquet").to_pylist()
    fewer = [row for row in table if row["data_source"] != "digit"][10:]
    pq.write_table(pa.Table.from_pylist(fewer), tmp_path / "train.parquet")
    shutil.copy(f"{toy_rows}/test.parquet", tmp_path)
    resumed = Trainer(tmp_path, toy_model, informative, **changes)
    file.seek(0)
    resumed.train_dataloader.load_state_dict(torch.load(file, weights_only=False))
    resumed.global_steps = 6
    for _ in range(3):
        groups, metrics, _ = resumed.step()
        assert set(groups) <= {"copy", "rare"}
        assert metrics["task/copy/weight"] + metrics["task/rare/weight"] == pytest.approx(1.0)


def test_failed_groups_and_rewards_that_are_no_numbers_are_replaced(toy_rows, toy_model):
    def outcome(task: str, ticket: int) -> list[float] | str:
        if ticket in (1, 2):
            return "failure"
        return [1.0, float("nan"), 0.0, 0.0] if ticket == 3 else [1.0, 0.0, 0.0, 0.0]

    trainer = Trainer(toy_rows, toy_model, outcome)
    groups, metrics, tickets = trainer.step()
    assert groups == {"copy": 4, "digit": 2, "rare": 2}
    assert metrics["sampler/failed"] == 3
    assert not {1, 2, 3} & set(tickets)
    assert len(trainer.handed_out) == 11
    assert left() == []


def test_a_run_whose_rollouts_all_fail_stops(toy_rows, toy_model):
    trainer = Trainer(toy_rows, toy_model, lambda task, ticket: "failure")
    with pytest.raises(RewardError, match=r"step 0: .* groups failed"):
        trainer.step()


def test_a_step_without_any_informative_group_trains_on_a_zero_gradient(toy_rows, toy_model):
    sampler = {"max_resamples": 1, "group_filter": "strict"}
    trainer = Trainer(
        toy_rows, toy_model, lambda task, ticket: [0.1, 0.0, 0.0, 0.1], sampler=sampler
    )
    trainer._add_prompts_to_generate(8)
    batch, metrics = trainer.buffer.sample(1, "train", 8)
    assert len(batch.keys) == 4
    data = transfer_queue.kv_batch_get(
        keys=batch.keys, partition_id="train", select_fields=["rm_scores"]
    )
    assert [float(scores.sum()) for scores in data["rm_scores"]] == [0.0] * 4
    assert metrics["sampler/shortfall"] == 8
    assert metrics["task/copy/reward"] == pytest.approx(0.05)  # as it was before
    assert sorted(left()) == sorted(batch.keys)


def test_async_uses_prompts_ahead_and_waits_only_for_those_it_asked_for(toy_rows, toy_model):
    constant = Trainer(
        toy_rows, toy_model, informative, mode="colocate_async", sampler={"group_filter": "none"}
    )
    constant._add_prompts_to_generate(8)  # verl's warm-up
    for _ in range(3):
        groups, metrics, tickets = constant.step()
        assert groups == {"copy": 4, "digit": 2, "rare": 2}
        assert len(left()) > 0
    assert len(constant.handed_out) == 32
    assert min(tickets) >= 16  # oldest first: the third step trains on the third eight
    assert metrics["sampler/discarded"] == metrics["sampler/stale"] == 0


def test_async_gives_up_groups_that_are_too_old(toy_rows, toy_model):
    trainer = Trainer(
        toy_rows,
        toy_model,
        informative,
        "colocate_async",
        threshold=1,
        sampler={"group_filter": "none"},
    )
    trainer._add_prompts_to_generate(8)
    trainer.step()
    for (
        uid,
        task,
        ticket,
    ) in trainer.submitted:  # all that is ahead finishes while the policy is updated
        trainer.deliver(uid, task, ticket)
    trainer.submitted.clear()
    groups, metrics, _ = trainer.step()
    assert groups == {"copy": 4, "digit": 2, "rare": 2}
    assert metrics["sampler/stale"] == 8


def test_async_checkpoint_keeps_what_is_on_its_way(toy_rows, toy_model, tmp_path):
    trainer = Trainer(
        toy_rows, toy_model, informative, "colocate_async", sampler={"group_filter": "none"}
    )
    trainer._add_prompts_to_generate(8)
    trainer.step()
    for uid, task, ticket in trainer.submitted:
        trainer.deliver(uid, task, ticket)
    state, before = trainer.train_dataloader.state_dict(), sorted(left())
    transfer_queue.save_checkpoint(tmp_path / "transfer_queue")
    transfer_queue.kv_clear(keys=before, partition_id="train")
    transfer_queue.load_checkpoint(tmp_path / "transfer_queue")
    assert sorted(left()) == before
    resumed = Trainer(
        toy_rows, toy_model, informative, "colocate_async", sampler={"group_filter": "none"}
    )
    resumed.train_dataloader.load_state_dict(state)
    resumed.global_steps = 2
    groups, metrics, tickets = resumed.step()
    assert groups == {"copy": 4, "digit": 2, "rare": 2}
    assert tickets == list(range(8, 16)) or sorted(tickets) == list(range(8, 16))
    assert metrics["sampler/failed"] == 0


def test_what_cannot_work_is_refused_with_the_way_out(toy_rows, toy_model):
    def refused(message: str, change: dict[str, Any] | None = None, **section: Any) -> None:
        trainer = Trainer(toy_rows, toy_model, informative, **section)
        trainer.config = OmegaConf.merge(trainer.config, change or {})
        with pytest.raises(ConfigError, match=message):
            trainer.step()
        empty = left()
        if empty:
            transfer_queue.kv_clear(keys=empty, partition_id="train")

    refused("returned no 'accuracy', only", accuracy_key="accuracy")
    refused("rewards come after sampling", {"reward": {"reward_model": {"enable": True}}})
    refused("the mixer filters groups", {"algorithm": {"filter_groups": {"enable": True}}})
    trainer = Trainer(toy_rows, toy_model, informative)
    with pytest.raises(ConfigError, match="verl asks for 4 groups a step"):
        trainer.buffer.sample(1, "train", 4)
    trainer.train_dataset = None
    with pytest.raises(ConfigError, match=r"data.custom_cls.name=MultiTaskDataset"):
        trainer.buffer.sample(1, "train", 8)
    arguments = {
        "trainer_config": {},
        "max_off_policy_threshold": 8,
        "max_off_policy_strategy": "drop",
    }
    with pytest.raises(ConfigError, match=r"trainer_mode=other; .*: sync, colocate_async"):
        MultiTaskReplayBuffer(trainer_mode="other", sampler_kwargs={}, refill_fn=None, **arguments)
    with pytest.raises(ConfigError, match=r"settings belong into data.mtgrpo"):
        MultiTaskReplayBuffer(
            trainer_mode="sync", sampler_kwargs={"a": 1}, refill_fn=None, **arguments
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"dataloader_num_workers": 8},
            "set data.dataloader_num_workers=0 and data.gen_batch_size=1",
        ),
        ({"gen_batch_size": None}, "set data.dataloader_num_workers=0 and data.gen_batch_size=1"),
        (
            {"mtgrpo": {"task_key": "domain"}},
            "no column 'domain' .* columns there are: data_source",
        ),
        ({"mtgrpo": {"taskkey": "domain"}}, "unknown key 'taskkey'"),
        ({"val_files": "TRAIN"}, "data.train_files and data.val_files are both"),
    ],
)
def test_a_data_section_that_cannot_work_is_refused(toy_rows, toy_model, change, message):
    config = Trainer(toy_rows, toy_model, informative).config.data
    if change.get("val_files") == "TRAIN":
        change = {"val_files": config.train_files}
    config = OmegaConf.merge(config, change)
    with pytest.raises(ConfigError, match=message):
        MultiTaskDataset(config.train_files, AutoTokenizer.from_pretrained(toy_model), config)


def test_validation_rows_are_verls_own(toy_rows, toy_model):
    trainer = Trainer(toy_rows, toy_model, informative)
    val = MultiTaskDataset(trainer.config.data.val_files, None, trainer.config.data)
    assert val.ledger is None
    assert [val[i]["data_source"] for i in range(len(val))] == ["copy"] * 4 + ["digit"] * 4 + [
        "rare"
    ] * 4
    assert val.state_dict() == {}
    assert TICKET not in val[0]
