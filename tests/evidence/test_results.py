"""Results apart from run directories: written, read again, refused when they are something else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mtgrpo.errors import RunError
from mtgrpo.evidence import compare, load_results
from mtgrpo.jobs.study import write_results

from .conftest import record, study

COUNTS = [[[0, 1, 2], [2, 2, 2]], [[2, 2, 2], [1, 1, 1]]]


def test_means_over_a_run_count_every_step_once():
    """Two stretches, of three steps and of one."""
    value = record("dapo", 0, COUNTS, [0, 9])
    value["series"] |= {"num_steps": [3, 1], "sampler/rounds": [1.0, 5.0]}
    value["series"] |= {"task/a/acceptance_rate": [0.5, 0.1], "task/a/num_generated": [2.0, 10.0]}
    run = load_results(study([value])).runs[0]
    assert run.mean_of("sampler/rounds") == 2.0
    rate = run.mean_of("task/a/acceptance_rate", of="task/a/num_generated")
    assert rate == pytest.approx((3 * 2 * 0.5 + 10 * 0.1) / (3 * 2 + 10))
    assert np.isnan(run.mean_of("not logged"))


def test_runs_on_other_prompts_are_named_and_not_paired():
    short = [[counts[:2] for counts in rows] for rows in COUNTS]
    runs = [record("dapo", 0, COUNTS, [0, 9]), record("mt_grpo", 0, short, [0, 9])]
    results = load_results(study(runs))
    assert "mt_grpo, seed 0 (not as dapo, seed 0)" in results.evaluation_warning
    with pytest.raises(RunError, match="was evaluated on 2 prompts here and 3 there"):
        compare(results.of("mt_grpo"), results.of("dapo"))
    assert load_results(study(runs[:1])).evaluation_warning == ""


def test_written_results_are_read_again(tmp_path):
    value = study(
        [record("dapo", 1, COUNTS, [0, 9]), record("dapo", 0, COUNTS, [0, 7])], worlds={"kept": 1}
    )
    write_results(value, tmp_path / "deep" / "results.json")
    results = load_results(tmp_path / "deep" / "results.json")
    assert [run.seed for run in results.of("dapo")] == [0, 1]
    run = results.of("dapo")[0]
    np.testing.assert_allclose(run.accuracy, [[0.5, 1.0], [1.0, 0.5]])
    assert run.worst.tolist() == [0.5, 0.5]
    assert run.mean.tolist() == [0.75, 0.75]
    assert run.forgotten.tolist() == [0.0, 0.5]
    assert run.prompts["t0-hard"].tolist() == [[0.0, 0.5, 1.0], [1.0, 1.0, 1.0]]
    assert results.extra == {"worlds": {"kept": 1}}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"experiment": "x", "runs": 3}', "\0"])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(RunError, match=r"x\.json"):
        load_results(path)
    with pytest.raises(RunError, match="missing"):
        load_results(tmp_path / "missing.json")


def test_an_older_format_says_how_to_collect_again():
    value = study([record("dapo", 0, COUNTS, [0, 9])])
    value["runs"] = [{"method": "dapo", "seed": 0, "evaluations": []}]
    with pytest.raises(RunError, match=r"older format.*--no-train") as caught:
        load_results(value)
    assert "\n" not in str(caught.value)


def test_a_damaged_run_is_refused():
    value = study([record("dapo", 0, COUNTS, [0, 7])])
    for key, item in (
        ("accuracy", {}),
        ("prompts", {"t0-hard": "no digits"}),
        ("steps", [1, 2, 3]),
        ("seed", None),
    ):
        damaged = json.loads(json.dumps(value))
        damaged["runs"][0][key] = item
        with pytest.raises(RunError, match="damaged"):
            load_results(damaged)
