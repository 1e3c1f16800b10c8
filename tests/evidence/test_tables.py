"""Tables of a study, cell by cell, and its report."""

from __future__ import annotations

import pytest

from mtgrpo.evidence import load_results
from mtgrpo.evidence import tables as t
from mtgrpo.evidence.table import MISSING, Table
from mtgrpo.reports.study import write_study_report

from .conftest import record, study

START, LOW, HIGH = (
    [[0, 0], [1, 1]],
    [[1, 0], [2, 2]],
    [[1, 1], [2, 1]],
)  # (0, .5), (.25, 1), (.5, .75)


@pytest.fixture
def results():
    runs = [record("dapo", s, [START, LOW], [0, 200]) for s in range(2)]
    runs += [record("mt <b>|", s, [START, HIGH, (LOW, HIGH)[s]], [0, 100, 150]) for s in range(2)]
    value = study(runs)
    value["methods"]["mt <b>|"] = {"preset": "mt_grpo", "weighting": {"lam": 0.2}}
    value["methods"]["never run"] = {"preset": "grpo"}
    return load_results(value)


def rows(table: Table) -> dict:
    return {row[0]: dict(zip(table.heads, row, strict=True)) for row in table.rows}


def test_final_table(results):
    found = rows(t.final_table(results))
    assert list(found) == ["dapo", "mt <b>|"]
    assert found["mt <b>|"]["worst task, %"] == "37.5 (25.0 to 50.0)"
    assert found["mt <b>|"]["mean, %"] == "62.5 (62.5 to 62.5)"
    assert found["dapo"]["relative change vs dapo, %"] == "+0.0 (+0.0 to +0.0)"
    assert found["dapo"]["rollouts"] == "200"


def test_paired_table(results):
    steps, rollouts = (rows(t.paired_table(results, at))["mt <b>|"] for at in ("steps", "rollouts"))
    assert steps["steps"] == "10"  # the end of the shorter run
    assert steps["worst task, by seed"] == "+25.0 +25.0"
    assert steps["worst task, points"] == "+25.0 (+0.0 to +50.0)"
    assert rollouts["rollouts"] == "150"
    assert (
        rollouts["worst task, by seed"] == "+6.2 +31.2"
    )  # dapo is at three quarters of the way: 18.75


def test_thresholds_tasks_levels_sampling_and_forgetting(results):
    threshold = rows(t.threshold_table(results, 0.5))
    assert threshold["mt <b>|"]["reached by"] == "2 of 2"
    assert threshold["dapo"]["rollouts"] == MISSING
    assert rows(t.task_table(results))["dapo"]["t0-hard"] == "25.0 (25.0 to 25.0)"
    levels = t.level_table(results)
    assert levels is not None
    assert levels.heads == ("method", "hard", "easy", "t0", "t1")
    assert rows(levels)["dapo"]["easy"] == "100.0 (100.0 to 100.0)"
    sampling = rows(t.sampling_table(results))["dapo"]
    assert sampling["groups generated"] == "9.0"
    assert sampling["share error, points"] == "5.0"  # (|0| + |0|) / 2 and (|.1| + |.1|) / 2
    assert sampling["acceptance rate, %"] == "25"
    assert rows(t.forgetting_table(results))["mt <b>|"]["t0-hard"] == "12.5"


def test_markdown_keeps_hostile_names_in_their_cell(results):
    text = t.final_table(results).markdown()
    assert "| mt &lt;b>\\| |" in text
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1


def test_the_report_is_written_from_results_alone(results, tmp_path):
    pytest.importorskip("matplotlib")
    path = write_study_report(results, tmp_path / "out")
    page = path.read_text(encoding="utf-8")
    assert "mt &lt;b&gt;|" in page
    assert "mt <b>" not in page
    assert "<script src" not in page
    figures = {file.name for file in (tmp_path / "out" / "figures").iterdir()}
    names = "final final-tasks final-levels effort forgetting trade-off weights shares acceptance tasks-multi-task "
    curves = [
        f"{of}-{x}-multi-task" for of in ("worst", "mean", "change") for x in ("steps", "rollouts")
    ]
    for name in (*names.split(), *curves):
        assert {f"{name}.svg", f"{name}.png"} <= figures
    tables = (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
    assert "Difference to dapo at equal rollouts" in tables


def test_a_study_without_its_baseline_still_has_tables(tmp_path):
    value = study([record("grpo", 0, [START, LOW], [0, 9])])
    found = t.all_tables(load_results(value))
    assert "Accuracy at the end" in [table.title for table in found]
    assert not any("Difference" in table.title for table in found)
