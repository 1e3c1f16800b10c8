"""Prices of steps read off a recorded run, whose seconds are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtgrpo.config import parse_config
from mtgrpo.jobs.forecast import describe_forecast
from mtgrpo.jobs.prices import compare_rounds, measure_steps
from mtgrpo.plan import make_plan
from mtgrpo.runlog import RunLog, read_run

TASKS = ["zebra-easy", "countdown-easy"]
PER_ROUND, PER_TOKEN, PER_ROW = 4.0, 0.002, 0.05
BATCH, GROUP, TOKENS = 8, 4, 50.0


def config(path: Path, **changes: Any) -> Any:
    tasks = [{"tiny": name.split("-")[0], "level": "easy"} for name in TASKS]
    values = {"tasks": tasks, "batch_size": BATCH, "group_size": GROUP, "preset": "balanced"}
    return parse_config({**values, "output": str(path), **changes}, "test")


def record(path: Path, *, rounds: tuple[int, ...], left_out: float = 0, **changes: Any) -> Path:
    """Steps of so many rounds; acceptance is .25 and .75, the weights are .4 and .6."""
    elapsed = 0.0
    with RunLog.create(path, TASKS) as log:
        log.write_config(config(path, **changes).as_dict())
        for step, number in enumerate(rounds, start=1):
            groups = 16.0 + 2 * number
            tokens = groups * GROUP * TOKENS
            generation = PER_ROUND * number + PER_TOKEN * tokens
            elapsed += generation + PER_ROW * (BATCH * GROUP - left_out)
            values = {
                "sampler/rounds": float(number),
                "sampler/tokens_generated": tokens,
                "sampler/generation_time_s": generation,
                "sampler/rows_left_out": left_out,
            }
            for task, weight, rate in zip(TASKS, (0.4, 0.6), (0.25, 0.75), strict=True):
                values[f"task/{task}/weight"] = weight
                values[f"task/{task}/num_generated"] = groups / 2
                values[f"task/{task}/num_informative"] = rate * groups / 2
            log.log_metrics(step, round(groups * GROUP) * step, values, elapsed_s=elapsed)
    return path


def test_the_parts_of_refilled_steps(tmp_path: Path) -> None:
    steps = measure_steps(read_run(record(tmp_path / "run", rounds=(2, 3, 1, 5, 2, 4))))
    assert steps is not None
    assert steps.price.per_round == pytest.approx(PER_ROUND)
    assert steps.price.per_token == pytest.approx(PER_TOKEN)
    assert steps.price.per_row == pytest.approx(PER_ROW)

    assert steps.rounds == pytest.approx(17 / 6)
    assert steps.mixture.weights == pytest.approx([0.4, 0.6])
    assert steps.mixture.acceptance_rates == pytest.approx([0.25, 0.75])
    assert steps.mixture.tokens == pytest.approx([GROUP * TOKENS] * 2)
    assert steps.mixture.batch_size == BATCH


def test_in_words_the_cheaper_kind_of_step(tmp_path: Path) -> None:
    """Two tasks of .25 and .75: one round of 8 (.4 / .5 + .6 / .87)^2 groups."""
    steps = measure_steps(read_run(record(tmp_path / "run", rounds=(2, 3, 1, 5, 2, 4))))
    assert steps is not None
    words = compare_rounds(steps)
    number = 8 * (0.4 / np.sqrt(0.25) + 0.6 / np.sqrt(0.75)) ** 2
    assert words.endswith(f"cheaper: sampler: {{rounds: one}}, batch_size: {number:.0f}")
    assert "4 s a round, 2 ms a token, 50 ms a row" in words

    rows_alone = steps._replace(price=type(steps.price)(per_row=1.0))
    assert compare_rounds(rows_alone).endswith("{rounds: refill}, batch_size: 8")


def test_steps_of_one_round_have_the_noise_of_fewer_groups(tmp_path: Path) -> None:
    one = {"sampler": {"rounds": "one"}}
    steps = measure_steps(read_run(record(tmp_path / "a", rounds=(1,) * 6, left_out=12, **one)))
    assert steps is not None
    factor = (0.4 / np.sqrt(0.25) + 0.6 / np.sqrt(0.75)) ** 2
    assert steps.mixture.batch_size == pytest.approx(BATCH / factor)
    assert steps.mixture.one_round().rollouts == pytest.approx(BATCH * GROUP)
    assert steps.price.per_row == pytest.approx(PER_ROW)
    assert steps.price.per_round == 0  # cannot be told from its tokens'


def test_a_log_that_says_too_little(tmp_path: Path) -> None:
    assert measure_steps(read_run(record(tmp_path / "short", rounds=(2, 3)))) is None

    with RunLog.create(tmp_path / "old", TASKS) as log:
        log.write_config(config(tmp_path / "old").as_dict())
        for step in range(1, 8):
            log.log_metrics(step, 50 * step, {"sampler/rounds": 2.0}, elapsed_s=float(step))
    assert measure_steps(read_run(tmp_path / "old")) is None


def test_the_dry_run_says_it(tmp_path: Path) -> None:
    record(tmp_path / "old", rounds=(2, 3, 1, 5, 2, 4))
    run = config(tmp_path / "new")
    lines = dict(describe_forecast(run, make_plan(run)))
    assert "one round" in lines["rounds"]
    assert "cheaper: sampler: {rounds: one}" in lines["rounds"]
