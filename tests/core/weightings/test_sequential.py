import pytest

from mtgrpo.core.weightings import Sequential
from mtgrpo.errors import ConfigError

TASKS = ["c-easy", "c-hard", "zebra"]


def weights_over_time(weighting: Sequential, steps: int) -> list[list[float]]:
    seen = []
    for _ in range(steps):
        seen.append(list(weighting.weights().values()))
        weighting.update(task_rewards={})
    return seen


def test_phases_by_hand():
    # Two tasks for two steps, then zebra alone, to the end.
    weighting = Sequential([["c-hard", "c-easy"], ["zebra"]], steps_per_phase=2).bind(TASKS)
    assert weights_over_time(weighting, 6) == [[0.5, 0.5, 0]] * 2 + [[0, 0, 1]] * 4


def test_each_task_is_a_phase_of_its_own_by_default():
    weighting = Sequential(steps_per_phase=1).bind(TASKS)
    assert weights_over_time(weighting, 4) == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize(
    "phases",
    [[["zebra"]], [TASKS, ["zebra"]], [TASKS, []], [["c-easy", "c-hard"], ["zebra", "other"]]],
)
def test_every_task_belongs_to_one_phase(phases):
    with pytest.raises(ConfigError, match="every task belongs to exactly one phase"):
        Sequential(phases).bind(TASKS)


def test_steps_per_phase_is_positive():
    with pytest.raises(ConfigError, match="steps_per_phase=0"):
        Sequential(steps_per_phase=0)
