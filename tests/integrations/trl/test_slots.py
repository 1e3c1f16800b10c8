"""Marks of a training batch's rows."""

import torch

from mtgrpo.integrations.trl.rollouts import LOSS_FACTORS, TASK_NUMBERS, RecordedRow
from mtgrpo.integrations.trl.slots import carries_gradient, mark_rows


def test_rows_are_marked_with_their_task_and_whether_their_group_carries_a_gradient():
    rows = [
        RecordedRow({"mtgrpo_task": task}, (), (), trains)
        for task, trains in [("b", True), ("b", True), ("a", True), ("a", True), ("b", False)] * 2
    ][:6]
    output = {"advantages": torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 2.0])}
    mark_rows(output, rows, ("a", "b"), group_size=2)
    assert output[TASK_NUMBERS].tolist() == [1, 1, 0, 0, -1, 1]
    assert output[LOSS_FACTORS].tolist() == [1, 1, 0, 0, 1, 1]


def test_one_token_of_one_row_is_enough_for_a_gradient():
    advantages = torch.zeros(4, 3)
    advantages[2, 1] = -0.5
    assert carries_gradient(advantages, 2).tolist() == [0, 0, 1, 1]
