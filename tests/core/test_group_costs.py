"""Mean costs of groups, by hand."""

import json

import numpy as np
import pytest

from mtgrpo.core.group_costs import DECAY, PRIOR, GroupCosts
from mtgrpo.core.task_change import TaskChange

FIRST = (np.array([300.0, 40.0, 0.0]), np.array([3.0, 1.0, 0.0]))


def test_nothing_is_known_at_first():
    costs = GroupCosts(3)
    assert costs.means() is None
    costs.observe(np.zeros(3), np.zeros(3))
    assert costs.means() is None


def test_a_task_leans_on_the_mean_of_all():
    costs = GroupCosts(3)
    costs.observe(*FIRST)
    overall = 340 / 4
    by_hand = [(300 + PRIOR * overall) / 3.5, (40 + PRIOR * overall) / 1.5, overall]
    assert costs.means() == pytest.approx(by_hand)


def test_what_is_old_fades_where_there_is_something_newer():
    costs = GroupCosts(3)
    costs.observe(*FIRST)
    costs.observe(np.array([600.0, 0.0, 0.0]), np.array([2.0, 0.0, 0.0]))
    spent, groups = 300 * DECAY + 600, 3 * DECAY + 2
    overall = (spent + 40) / (groups + 1)
    assert costs.means()[0] == pytest.approx((spent + PRIOR * overall) / (groups + PRIOR))
    assert costs.means()[1] == pytest.approx((40 + PRIOR * overall) / (1 + PRIOR))


def test_means_come_to_the_truth():
    costs = GroupCosts(2)
    for _ in range(50):
        costs.observe(np.array([4 * 700.0, 20 * 50.0]), np.array([4.0, 20.0]))
    assert costs.means() == pytest.approx([700, 50], rel=0.03)


def test_without_a_prior_a_task_costs_what_its_groups_cost():
    costs = GroupCosts(3, prior=0.0)
    costs.observe(*FIRST)
    assert costs.means() == pytest.approx([100, 40, 340 / 4])  # the last is not known yet


def test_state_and_change_of_tasks():
    costs, other = GroupCosts(3), GroupCosts(3)
    costs.observe(*FIRST)
    other.load_state_dict(json.loads(json.dumps(costs.state_dict())))
    assert (other.means() == costs.means()).all()

    costs.change_tasks(TaskChange(("a", "b", "c"), ("b", "new")))
    assert costs.means() == pytest.approx([40, 40])
