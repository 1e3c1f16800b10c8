"""Rewards and accuracies out of the queue's columns; needs torch, but not verl."""

from __future__ import annotations

from typing import Any

import pytest

from mtgrpo.errors import ConfigError
from mtgrpo.integrations.verl.groups import TICKET, columns, read_groups, session_of, uid_of
from mtgrpo.integrations.verl.settings import VerlSettings

torch = pytest.importorskip("torch")


def data(tickets: list[int], rewards: list[float], accuracies: list[Any] | None = None) -> Any:
    """Columns as the queue returns them: the reward stands at the last token, in float32."""
    found = {
        TICKET: torch.tensor([[t] for t in tickets]),
        "rm_scores": [torch.tensor([0.0] * (i + 1) + [r]) for i, r in enumerate(rewards)],
    }
    if accuracies is not None:
        found["extra_fields"] = [{"reward_extra_info": {"acc": a}} for a in accuracies]
    return found


def test_keys_hold_uid_session_and_output():
    assert uid_of("4f-2_10_0") == "4f-2"
    assert session_of("4f-2_10_0") == (10, 0)


def test_groups_are_in_session_order_with_the_last_output_of_each():
    keys = ["b_0_0", "a_1_0", "a_0_1", "a_0_0"]
    groups = read_groups(keys, data([9, 4, 4, 4], [0.25, 0.5, 1.0, 0.125]), VerlSettings())
    assert groups["b"] == (9, (0.25,), (0.0,))
    assert groups["a"] == (4, (1.0, 0.5), (1.0, 0.0))


@pytest.mark.parametrize("correct_at", [0.9, 0.7, 1.0, 5.0, 0.1])
def test_a_reward_is_right_at_the_threshold_although_verl_keeps_float32(correct_at):
    rewards = [correct_at, correct_at - 1e-3, correct_at + 1e-3, sum([correct_at / 10] * 10)]
    keys = [f"a_{i}_0" for i in range(4)]
    groups = read_groups(keys, data([1] * 4, rewards), VerlSettings(correct_at=correct_at))
    assert groups["a"].accuracies == (1.0, 0.0, 1.0, 1.0)


def test_reported_accuracies_may_miss_their_range_by_rounding_only():
    settings = VerlSettings(accuracy_key="acc")
    assert columns(settings) == [TICKET, "rm_scores", "extra_fields"]
    keys = [f"a_{i}_0" for i in range(4)]

    values = [-2.8e-17, 1.0000000002, True, torch.tensor(0.5)]
    groups = read_groups(keys, data([1] * 4, [0.0] * 4, values), settings)
    assert groups["a"].accuracies == (0.0, 1.0, 1.0, 0.5)

    for wrong in (-0.1, 1.1, float("nan"), "high", None):
        with pytest.raises(ConfigError, match=r"accuracy_key: 'acc' is .*in \[0, 1\] is needed"):
            read_groups(keys[:1], data([1], [0.0], [wrong]), settings)
    with pytest.raises(ConfigError, match=r"returned no 'accuracy', only \['acc'\]"):
        read_groups(keys[:1], data([1], [0.0], [1.0]), VerlSettings(accuracy_key="accuracy"))


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), 1e39])
def test_a_reward_that_is_no_finite_float32_is_seen(reward):
    (rollouts,) = read_groups(
        ["a_0_0", "a_1_0"], data([1, 1], [1.0, reward]), VerlSettings()
    ).values()
    assert not rollouts.is_finite
