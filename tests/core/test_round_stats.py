"""Sums over a round's groups: by hand, merged, saved, and unbiased where prompts were passed over."""

import json
import random

import numpy as np
import pytest

from mtgrpo.core.prompts import PromptStream
from mtgrpo.core.round_stats import RoundStats
from mtgrpo.core.types import Draw

NAN = float("nan")


def test_by_hand():
    stats = RoundStats()
    stats.add("a", 0.5, 0.25, 3)
    stats.add("a", 1.0, 1.0)
    stats.add("a", NAN, NAN, 2)
    stats.add("b", NAN, NAN)
    assert stats.num_groups == {"a": 6, "b": 1}
    assert stats.num_scored == {"a": 4}
    assert stats.mean_rewards() == {"a": pytest.approx(2.5 / 4)}
    assert stats.mean_accuracies() == {"a": pytest.approx(1.75 / 4)}


def test_by_hand_with_prompts_passed_over():
    stats = RoundStats()
    stats.add("a", 0.5, 0.5, draw=Draw(0, skipped_wrong=1, skipped_right=2))
    stats.add("a", 0.5, 0.25, draw=Draw(1, chance=0.25, predicted=0.0))
    stats.add(
        "a", NAN, NAN, draw=Draw(2, skipped_wrong=7)
    )  # could not be scored: as if it had never been drawn
    # Asked: .5 and .25 / .25 = 1, mean .75; of 5 prompts 2 were asked: their share is 1 / 4.
    assert stats.mean_accuracies() == {"a": pytest.approx(0.75 / 4 + 3 / 4 * 2 / 3)}
    assert stats.mean_rewards() == {"a": pytest.approx((0.5 + 2.0) / 2 / 4 + 3 / 4 * 2 / 3)}


def test_merging_is_counting_together_and_the_state_is_json():
    groups = [
        ("a", 0.5, Draw(0, skipped_right=2)),
        ("b", 0.25, None),
        ("a", 1.0, Draw(1, 0.5, 1.0, 3)),
        ("b", NAN, None),
    ]
    whole, parts = RoundStats(), [RoundStats(), RoundStats()]
    for i, (task, value, draw) in enumerate(groups):
        whole.add(task, value, value, 1 + i % 2, draw)
        parts[i // 2].add(task, value, value, 1 + i % 2, draw)
    parts[0].merge(parts[1])
    assert parts[0] == whole
    restored = RoundStats()
    restored.load_state_dict(json.loads(json.dumps(whole.state_dict())))
    assert restored == whole


@pytest.mark.parametrize("num_groups", [1, 3, 16])
def test_the_mean_of_steps_is_that_of_all_prompts(num_groups):
    """Prompts of fixed pass rates, some passed over: whatever the number of groups, steps' means scatter about J."""
    size, group_size = 400, 8
    means, asked = [], []
    for seed in range(6):
        dice, stream = random.Random(seed), PromptStream("a", size, seed, remember=True)
        rates = 1 / (1 + np.exp(np.random.default_rng(seed).normal(1.0, 5.0, size)))
        seen = 0
        while seen < 20 * size:
            stats = RoundStats()
            for draw in stream.draw(num_groups):
                accuracy = (
                    sum(dice.random() < rates[draw.row] for _ in range(group_size)) / group_size
                )
                stream.memory.note(draw, accuracy, 0 < accuracy < 1)
                stats.add("a", accuracy, accuracy, draw=draw)
                seen += 1 + draw.num_skipped
                if seen > 3 * size:
                    asked.append(accuracy - rates.mean())
            if seen > 3 * size:
                means.append(stats.mean_accuracies()["a"] - rates.mean())
    assert abs(np.mean(means)) < 3.5 * np.std(means) / len(means) ** 0.5
    assert abs(np.mean(asked)) > 0.03, "the plain mean would do as well"
