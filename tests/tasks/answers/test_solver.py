import pytest

from mtgrpo.tasks import score_countdown
from mtgrpo.tasks.answers.solver import countdown_oracle, solve_countdown


@pytest.mark.parametrize(
    ("numbers", "target"),
    [
        ([7], 7),
        ([8, 73, 96], 841 - 841 + 177),
        ([1, 1, 89, 40], 50),
        ([8, 3, 8, 3], 24),  # only with fractions: 8 / (3 - 8/3)
        ([75, 1, 89, 76, 1], 62),
        ([86, 43, 20, 38, 5, 8], 83),
        ([1, 2], -1),
    ],
)
def test_finds_a_right_expression(numbers: list[int], target: int):
    found = solve_countdown(numbers, target)
    assert found is not None
    assert score_countdown(f"\\boxed{{{found}}}", numbers, target).accuracy == 1.0


def test_says_when_there_is_none():
    assert solve_countdown([1, 1], 5) is None
    assert solve_countdown([], 5) is None
    assert solve_countdown([1] * 7, 7) is None
    with pytest.raises(ValueError, match="no expression over"):
        countdown_oracle({"numbers": [1, 1], "target": 5})
