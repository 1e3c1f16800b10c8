"""What counts as a number: one meaning for every type that has one, and no other."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from mtgrpo.tasks.numeric import LARGEST, LARGEST_REWARD, as_number, as_reward, as_whole


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (True, 1.0),
        (False, 0.0),
        (np.True_, 1.0),
        (np.float32(0.5), 0.5),
        (np.int8(-3), -3.0),
        (np.array(2.5), 2.5),
        (np.array([[0.5]]), 0.5),  # reward models give one column
        (Decimal("0.25"), 0.25),
        (Fraction(1, 4), 0.25),
        (LARGEST, LARGEST),
        (-LARGEST, -LARGEST),
    ],
)
def test_numbers_of_every_type(value, number):
    assert as_number(value) == number
    assert type(as_number(value)) is float


@pytest.mark.parametrize(
    "value",
    ["1", b"1", np.str_("1"), None, 1j, [1.0], (), {}, math.nan, math.inf, 1e39, 10**400, np.zeros(2), np.datetime64(1, "D")],
)  # fmt: skip
def test_no_numbers(value):
    assert as_number(value) is None


def test_tensors_are_what_they_hold():
    torch = pytest.importorskip("torch")
    assert as_number(torch.tensor(True)) == as_number(True) == 1.0
    assert as_number(torch.tensor([0.5], dtype=torch.bfloat16)) == 0.5
    assert as_number(torch.tensor(0.5, requires_grad=True)) == 0.5
    for none in (
        torch.zeros(2),
        torch.zeros(0),
        torch.tensor(math.nan),
        torch.tensor(1e39, dtype=torch.float64),
    ):
        assert as_number(none) is None


def test_engines_can_compare_the_largest_rewards_of_a_group():
    """They square differences and add them up, in float32: of 3e38 no mean is left, of 1e19 no variance."""
    rewards = np.full(2**20, LARGEST_REWARD, dtype=np.float32)
    rewards[::2] *= -1
    assert np.isfinite(np.square(rewards - rewards.mean()).sum())
    assert as_reward(-LARGEST_REWARD) == -LARGEST_REWARD
    for number in (1e19, -3e38, 1e39, math.nan, "1"):
        assert as_reward(number) is None


def test_the_largest_is_float32s():
    assert np.float32(LARGEST) == np.finfo(np.float32).max == LARGEST


@pytest.mark.parametrize(
    "value", [17, 17.0, "17", " +17 ", np.int64(17), np.float32(17), np.array([17]), Decimal(17)]
)
def test_one_number_in_many_types(value):
    assert as_whole(value) == 17
    assert type(as_whole(value)) is int


@pytest.mark.parametrize(
    "value", [17.5, "17.0", "", "x", "１７", True, np.True_, None, math.nan, math.inf, [17], "1_7"]
)
def test_no_whole_numbers(value):
    assert as_whole(value) is None
