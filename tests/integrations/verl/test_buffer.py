"""The replay buffer over a queue in memory; needs torch, but not verl. tests/verl has the same on the real one."""

from __future__ import annotations

import importlib.util

import pytest

from mtgrpo.errors import ConfigError, RewardError, StateError

pytest.importorskip("torch")
if importlib.util.find_spec("verl") is not None:
    pytest.skip("verl is installed: tests/verl has the real one", allow_module_level=True)

from .stand_in import Trainer

SHARES = {"copy": 4, "digit": 2, "rare": 2}
NO_FILTER = {"group_filter": "none"}


def informative(task: str, ticket: int) -> list[float]:
    """Four rewards; copy informs always, digit every second time, rare every third."""
    every = {"copy": 1, "digit": 2, "rare": 3}[task]
    return [1.0, 0.0, 0.1, 1.0] if ticket % every == 0 else [0.1, 0.0, 0.0, 0.1]


def test_sync_shares_are_exact_and_nothing_stays_behind(monkeypatch):
    trainer = Trainer(monkeypatch, informative)
    for _ in range(8):
        groups, metrics, tickets = trainer.step()
        assert groups == SHARES
        assert metrics["sampler/shares_met"] == 1.0
        assert metrics["sampler/failed"] == metrics["sampler/discarded"] == 0
        for task, ticket in trainer.handed_out:
            if ticket in tickets:
                assert informative(task, ticket)[0] == 1.0
        assert not trainer.queue.rows
        assert not trainer.queue.status
        assert not trainer.ledger.missing
    assert metrics["task/rare/num_generated"] > metrics["task/copy/num_generated"]


def test_what_a_batch_holds_does_not_depend_on_what_finishes_first(monkeypatch):
    rule = {"weighting": {"lam": 1.0, "weight_lr": 0.5}}
    results = []
    for newest_first in (True, False):
        trainer = Trainer(monkeypatch, informative, newest_first=newest_first, **rule)
        results.append([trainer.step() for _ in range(3)])
        assert trainer.ledger.mixer.weights()["copy"] != pytest.approx(1 / 3)
    assert results[0] == results[1]


def test_failed_groups_and_rewards_that_are_no_numbers_are_replaced(monkeypatch):
    def outcome(task: str, ticket: int) -> list[float] | str:
        if ticket in (1, 2):
            return "failure"
        return [1.0, float("nan"), 0.0, 0.0] if ticket == 3 else [1.0, 0.0, 0.0, 0.0]

    trainer = Trainer(monkeypatch, outcome)
    groups, metrics, tickets = trainer.step()
    assert groups == SHARES
    assert metrics["sampler/failed"] == 3
    assert not {1, 2, 3} & set(tickets)
    assert len(trainer.handed_out) == 11
    assert not trainer.queue.rows


def test_a_run_whose_rollouts_all_fail_stops(monkeypatch):
    trainer = Trainer(monkeypatch, lambda task, ticket: "failure")
    with pytest.raises(RewardError, match=r"step 0: \d+ of \d+ groups failed"):
        trainer.step()


def test_a_step_without_any_informative_group_trains_on_a_zero_gradient(monkeypatch):
    sampler = {"max_resamples": 1, "group_filter": "strict"}
    trainer = Trainer(monkeypatch, lambda task, ticket: [0.1, 0.0, 0.0, 0.1], sampler=sampler)
    trainer._add_prompts_to_generate(8)
    batch, metrics = trainer.buffer.sample(1, "train", 8)
    scores = [trainer.queue.rows[key]["rm_scores"] for key in batch.keys]
    assert [float(values.sum()) for values in scores] == [0.0] * 4
    assert metrics["sampler/shortfall"] == 8
    assert metrics["task/copy/reward"] == pytest.approx(0.05)  # as it was before
    assert sorted(trainer.queue.rows) == sorted(batch.keys)


def test_async_uses_prompts_ahead_oldest_first(monkeypatch):
    trainer = Trainer(monkeypatch, informative, mode="colocate_async", sampler=NO_FILTER)
    trainer._add_prompts_to_generate(8)  # verl's warm-up
    for _ in range(3):
        groups, metrics, tickets = trainer.step()
        assert groups == SHARES
        assert len(trainer.queue.status) > 0
    assert len(trainer.handed_out) == 32
    assert min(tickets) >= 16
    assert metrics["sampler/discarded"] == metrics["sampler/stale"] == 0


def test_async_gives_up_groups_that_are_too_old_and_asks_for_others_at_once(monkeypatch):
    trainer = Trainer(
        monkeypatch, informative, mode="colocate_async", threshold=1, sampler=NO_FILTER
    )
    trainer._add_prompts_to_generate(8)
    trainer.step()
    trainer.deliver_all()  # all that is ahead finishes while the policy is updated
    groups, metrics, _ = trainer.step()
    assert groups == SHARES
    assert metrics["sampler/stale"] == 8


def test_async_checkpoint_takes_in_again_what_the_queue_kept(monkeypatch):
    trainer = Trainer(monkeypatch, informative, mode="colocate_async", sampler=NO_FILTER)
    trainer._add_prompts_to_generate(8)
    trainer.step()
    trainer.deliver_all()
    state, rows, status = trainer.ledger.state_dict(), trainer.queue.rows, trainer.queue.status
    steps = dict(trainer.buffer.prompt_global_steps["train"])
    resumed = Trainer(monkeypatch, informative, mode="colocate_async", sampler=NO_FILTER)
    resumed.ledger.load_state_dict(state)
    resumed.queue.rows.update(rows)
    resumed.queue.status.update(status)
    resumed.buffer.prompt_global_steps["train"].update(steps)
    resumed.handed_out += trainer.handed_out
    resumed.global_steps = 2
    groups, metrics, tickets = resumed.step()
    assert groups == SHARES
    assert sorted(tickets) == list(range(8, 16))
    assert metrics["sampler/failed"] == 0


def test_what_cannot_work_is_refused_with_the_way_out(monkeypatch):
    trainer = Trainer(monkeypatch, informative)
    assert trainer.buffer.sample(1, "val", 8) == ("verl's own val", {})
    with pytest.raises(ConfigError, match="verl asks for 9 groups a step"):
        trainer.buffer.sample(1, "train", 9)
    with pytest.raises(StateError, match=r"verl is at step 3, the mixer has closed 0"):
        trainer.buffer.sample(3, "train", 8)
    trainer.config.algorithm.filter_groups.enable = True
    with pytest.raises(ConfigError, match="the mixer filters groups"):
        trainer.buffer.sample(1, "train", 8)
    trainer.config.reward.reward_model.enable = True
    with pytest.raises(ConfigError, match="rewards come after sampling"):
        trainer.buffer.sample(1, "train", 8)
    trainer.train_dataset.ledger = None
    with pytest.raises(ConfigError, match="the training data are a SimpleNamespace"):
        trainer.buffer.sample(1, "train", 8)
    make = type(trainer.buffer)
    rest = (None, "drop")
    with pytest.raises(ConfigError, match=r"trainer_mode=other; .* sync, colocate_async, separate"):
        make("other", {}, *rest, {}, None)
    with pytest.raises(ConfigError, match=r"settings belong into data.mtgrpo"):
        make("sync", {}, *rest, {"a": 1}, None)
    with pytest.raises(ConfigError, match=r"parameter_sync_step=4 .* set it to 1"):
        make("separate_async", {"parameter_sync_step": 4}, *rest, {}, None)
    switch = {"parameter_sync_step": 1, "hybrid_rollout": {"enable_switch": True}}
    with pytest.raises(ConfigError, match=r"enable_switch=True .* set it to False"):
        make("separate_async", switch, *rest, {}, None)


# ---- shares in the loss ----------------------------------------------------------------------------
def test_the_loss_is_shared_by_the_weights_whatever_the_lengths(monkeypatch):
    trainer = Trainer(monkeypatch, informative, loss_shares=True)
    for _ in range(3):
        groups, metrics, _ = trainer.step()
        assert groups == SHARES
        for task, weight in {"copy": 0.5, "digit": 0.25, "rare": 0.25}.items():
            assert trainer.shares[task] == pytest.approx(weight, abs=1e-6)
            assert metrics[f"task/{task}/loss_share"] == pytest.approx(weight)
        assert metrics["task/rare/loss_share_unscaled"] > 0.5, "its completions are long"
        assert metrics["sampler/loss_shares_limited"] == 0


def test_without_loss_shares_they_are_measured(monkeypatch):
    trainer = Trainer(monkeypatch, informative)
    _, metrics, _ = trainer.step()
    for task, share in trainer.shares.items():
        assert metrics[f"task/{task}/loss_share"] == pytest.approx(share, abs=1e-6)
    assert "task/rare/loss_share_unscaled" not in metrics


def test_where_each_completion_counts_the_same_its_length_does_not_matter(monkeypatch):
    trainer = Trainer(monkeypatch, informative)
    trainer.config.actor_rollout_ref.actor.loss_agg_mode = "seq-mean-token-mean"
    _, metrics, _ = trainer.step()
    assert metrics["task/copy/loss_share"] == pytest.approx(0.5)
    assert metrics["task/rare/loss_share"] == pytest.approx(0.25)


def test_groups_without_a_gradient_are_no_part_of_the_loss(monkeypatch):
    trainer = Trainer(monkeypatch, informative, loss_shares=True, sampler=NO_FILTER)
    _, metrics, tickets = trainer.step()
    varied = {
        task for task, n in trainer.handed_out if n in tickets and informative(task, n)[0] == 1
    }
    total = sum(trainer.shares.values())
    assert total == pytest.approx(1.0)
    assert {task for task, share in trainer.shares.items() if share > 0} == varied
    for task in varied:
        assert metrics[f"task/{task}/loss_share"] == pytest.approx(trainer.shares[task], abs=1e-6)


def test_one_round_trains_on_all_that_inform_and_makes_the_shares_in_the_loss(monkeypatch):
    sampler = {"rounds": "one"}
    trainer, mean = Trainer(monkeypatch, informative, sampler=sampler), dict[str, float]()
    for _ in range(40):
        groups, metrics, tickets = trainer.step()
        assert len(trainer.handed_out) == 8 * trainer.global_steps - 8
        assert sum(groups.values()) == len(tickets)
        for task, share in trainer.shares.items():
            assert metrics[f"task/{task}/loss_share"] == pytest.approx(share, abs=1e-6)
            mean[task] = mean.get(task, 0.0) + share / 40
        assert not trainer.queue.rows
    assert mean["copy"] == pytest.approx(0.5, abs=0.05)
    assert mean["rare"] == pytest.approx(0.25, abs=0.05)


def test_prompts_that_never_inform_are_asked_rarely(monkeypatch):
    def by_row(task: str, ticket: int) -> list[float]:
        return [1.0, 0.0, 0.1, 1.0] if trainer.rows[ticket] % 2 else [0.1, 0.0, 0.0, 0.1]

    trainer = Trainer(monkeypatch, by_row, prompt_memory=True)
    rates = [trainer.step()[1]["task/rare/prompts_skipped_rate"] for _ in range(30)]
    assert rates[0] == 0.0
    assert sum(rates[20:]) / 10 > 0.2


def test_loss_shares_that_would_not_hold_are_refused(monkeypatch):
    trainer = Trainer(monkeypatch, informative, loss_shares=True)
    trainer.config.algorithm.adv_estimator = "grpo"
    with pytest.raises(ConfigError, match=r"takes algorithm.adv_estimator=mtgrpo .*loss_shares=fa"):
        trainer.step()

    trainer = Trainer(monkeypatch, informative, loss_shares=True)
    trainer.config.algorithm.rollout_correction = {"rollout_rs": "token_k1"}
    with pytest.raises(ConfigError, match=r"rollout_rs=token_k1 drops rows .* set it to null"):
        trainer.step()

    trainer = Trainer(monkeypatch, informative, loss_shares=True)
    deliver = trainer.deliver

    def in_two_outputs(uid: str, task: str, ticket: int) -> None:
        deliver(uid, task, ticket)
        trainer.queue.rows[f"{uid}_0_1"] = trainer.queue.rows[f"{uid}_0_0"]

    trainer.deliver = in_two_outputs
    with pytest.raises(ConfigError, match=r"several outputs a session.*adv_estimator=grpo"):
        trainer.step()
