from dataclasses import replace

import pytest

from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.report import StepReport
from mtgrpo.core.round_stats import RoundStats
from mtgrpo.core.sampler import RatioPreservingSampler
from tests.core.driver import RATES, TASKS, Dice, fill

REPORT = StepReport(
    weights={"a": 0.75, "b": 0.25},
    quotas={"a": 6, "b": 2},
    realized={"a": 5, "b": 2},
    totals=RoundStats(
        {"a": 10, "b": 4}, {"a": 8, "b": 4}, {"a": 4.0, "b": 1.0}, {"a": 2.0, "b": 2.0}
    ),
    num_informative={"a": 5, "b": 3},
    dropped={"a": {"all_wrong": 3, "unscorable": 2}, "b": {"all_correct": 1}},
    scores={"a": 0.25, "b": 0.5},
    running_scores={"a": 0.375, "b": 0.5, "c": 0.125},
    graded=frozenset(),
    num_rounds=2,
    num_rollouts=112,
    shortfall=1,
    surplus=1,
    num_predicted=13.5,
    num_banked=2,
    num_expired=3,
    exhausted=("a",),
    notices={},
)


def test_metrics_by_hand():
    assert (
        REPORT.metrics()
        == pytest.approx(
            {
                "task/a/weight": 0.75,
                "task/a/target_ratio": 0.75,  # 6 of 8
                "task/a/realized_ratio": 5 / 7,  # of what was trained on
                "task/a/num_generated": 10,
                "task/a/num_informative": 5,
                "task/a/reward": 0.5,  # over the 8 that could be scored
                "task/a/accuracy": 0.25,
                "task/a/running_accuracy": 0.375,
                "task/a/acceptance_rate": 0.5,  # over all 10
                "task/a/dropped/all_wrong": 3,
                "task/a/dropped/unscorable": 2,
                "task/b/weight": 0.25,
                "task/b/target_ratio": 0.25,
                "task/b/realized_ratio": 2 / 7,
                "task/b/num_generated": 4,
                "task/b/num_informative": 3,
                "task/b/reward": 0.25,
                "task/b/accuracy": 0.5,
                "task/b/running_accuracy": 0.5,
                "task/b/acceptance_rate": 0.75,
                "task/b/dropped/all_correct": 1,
                "tasks/worst_accuracy": 0.125,  # of recent steps, and of tasks that had nothing in this one
                "tasks/mean_accuracy": 1 / 3,
                "sampler/rounds": 2,
                "sampler/groups_generated": 14,
                "sampler/shortfall": 1,
                "sampler/surplus": 1,
                "sampler/groups_predicted": 13.5,
                "sampler/groups_banked": 2,
                "sampler/groups_expired": 3,
                "sampler/tasks_exhausted": 1,
                "sampler/shares_met": 0.0,
            }
        )
    )


def test_shares_met():
    assert not REPORT.shares_met
    assert replace(REPORT, realized={"a": 6, "b": 2}).shares_met
    assert not replace(REPORT, realized={"a": 6, "b": 2}, quotas=None).shares_met
    assert replace(REPORT, realized={"a": 8}, quotas={"a": 8, "b": 0}).shares_met


def test_a_task_that_had_nothing_leaves_no_figures_but_its_shares():
    quiet = replace(
        REPORT,
        totals=RoundStats(),
        realized={},
        num_informative={},
        dropped={},
        scores={},
        running_scores={},
    )
    assert {key for key in quiet.metrics() if key.startswith("task")} == {
        f"task/{task}/{figure}"
        for task in "ab"
        for figure in (
            *("weight", "target_ratio", "realized_ratio", "num_generated", "num_informative"),
        )
    }


def test_without_quotas_the_target_is_the_weight():
    assert replace(REPORT, quotas=None).metrics()["task/a/target_ratio"] == 0.75


def test_the_report_is_of_the_step_and_stays():
    mixer, dice = TaskMixer(TASKS, batch_size=8, sampler=RatioPreservingSampler()), Dice(RATES)
    fill(mixer.new_batch(), dice)
    weights = mixer.weights()
    mixer.update()
    report, metrics = mixer.report, mixer.report.metrics()
    assert report.weights == weights != mixer.weights()  # those the quotas were drawn from
    assert report.num_rollouts == 4 * sum(report.totals.num_groups.values())
    fill(mixer.new_batch(), dice)
    mixer.update()
    assert report.metrics() == metrics
