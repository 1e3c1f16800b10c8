"""What the results of a study keep of a run."""

from __future__ import annotations

from mtgrpo.evidence import digest_run, load_results
from mtgrpo.evidence.tables import final_table
from mtgrpo.runlog import RunLog, read_run

from .conftest import study


def test_a_run_directory_survives_the_digest(tmp_path):
    with RunLog.create(tmp_path / "run", ["a", "b", "c"]) as log:
        for step in range(1, 41):
            log.log_metrics(
                step, 8 * step, {"task/a/weight": step / 40, "loss": 1.0, "sampler/rounds": 2.0}
            )
        row = {
            "accuracy": 0.5,
            "reward": 0.5,
            "num_prompts": 2,
            "std_error": 0.1,
            "prompt_accuracies": (0.5, 0.5),
        }
        quarter = {**row, "prompt_accuracies": (0.25, 0.75)}
        failed = {**row, "prompt_accuracies": (float("nan"), 0.5)}
        rows = {"a": row, "b": quarter, "c": failed}
        log.log_evaluation(40, 320, rows, num_samples=2, elapsed_s=3.0)
    digest = digest_run(read_run(tmp_path / "run"), updates_per_step=4)
    run = load_results(study([{"method": "dapo", "seed": 0, **digest}])).runs[0]
    assert run.steps.tolist() == [10]  # of four updates each
    assert run.rollouts.tolist() == [320]
    assert run.prompts["a"].tolist() == [[0.5, 0.5]]
    assert "b" not in run.prompts  # a quarter is no number of two samples
    assert "c" not in run.prompts  # one could not be scored
    names = {"step", "num_steps", "task/a/weight", "sampler/rounds"}  # no loss
    assert set(run.series) == names
    assert run.series["step"][-1] == 10
    weights = run.series["task/a/weight"]
    assert len(weights) <= 20
    assert weights[0] < weights[-1] <= 1


def test_stretches_hold_ratios_of_sums_and_count_what_is_missing_as_nothing(tmp_path, monkeypatch):
    """One stretch of four steps; the task is drawn in two of them, and short in one."""
    with RunLog.create(tmp_path / "run", ["a"]) as log:
        rows = [(8, 0.25, None), (0, None, 4), (0, None, None), (2, 1.0, None)]
        for i, (generated, rate, short) in enumerate(rows):
            values = {"sampler/rounds": 1, "task/a/num_generated": generated}
            values |= {} if rate is None else {"task/a/acceptance_rate": rate}
            values |= {} if short is None else {"sampler/shortfall": short}
            log.log_metrics(i + 1, 8 * i, values)
        log.log_evaluation(4, 32, {"a": {"accuracy": 0.5}}, num_samples=1)

    monkeypatch.setattr("mtgrpo.evidence.digest.NUM_POINTS", 1)
    series = digest_run(read_run(tmp_path / "run"))["series"]
    assert series["num_steps"] == [4]
    assert series["task/a/acceptance_rate"] == [0.4]  # (2 + 2) / (8 + 2), not (.25 + 1) / 2
    assert series["task/a/num_generated"] == [2.5]
    assert series["sampler/shortfall"] == [1.0]  # 4 / 4, not 4 / 1


def test_evaluations_under_other_settings_are_left_out_and_named(tmp_path):
    with RunLog.create(tmp_path / "run", ["a"]) as log:
        for step, samples, prompts in ((0, 2, 2), (4, 2, 2), (8, 4, 3), (12, 4, 3)):
            accuracies = (0.5,) * prompts
            row = {"accuracy": 0.5, "num_prompts": prompts, "prompt_accuracies": accuracies}
            log.log_evaluation(step, 8 * step, {"a": row}, num_samples=samples)
    digest = digest_run(read_run(tmp_path / "run"), updates_per_step=4)
    assert digest["steps"] == [2, 3]
    value = study([{"method": "dapo", "seed": 0, **digest}])
    results = load_results(value)
    run = results.runs[0]
    assert run.num_samples == 4  # of the run, not of the study (2): else these were accuracies of 1
    assert run.prompts["a"].tolist() == [[0.5] * 3] * 2
    warning = "4 samples per prompt; 2 → 3 prompts of 'a', before step 8"
    assert warning in results.evaluation_warning
    assert warning in final_table(results).note
