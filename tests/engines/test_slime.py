"""slime's data source, data set, rollout loop and reward hub, with a generate function of ours."""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from typing import Any

import pytest

from mtgrpo import tiny
from tests.test_engines_page import ACCEPTED, BATCH, SIZE, STEPS, Engine, exact

pytest.importorskip("slime.rollout.sglang_rollout", reason="slime is not installed")

DICE = random.Random(1)


class Args(argparse.Namespace):
    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


async def generate(args: Any, sample: Any, sampling_params: dict[str, Any]) -> Any:
    """A completion that is right as often as its task's rate says; one in five is aborted."""
    assert sampling_params["max_new_tokens"] == 8
    sample.response, sample.response_length, sample.tokens = "a", 1, [1, 2]
    right = float(DICE.random() < ACCEPTED[sample.metadata["task"]] / 2)
    sample.status, sample.reward = type(sample.status).COMPLETED, right
    if DICE.random() < 0.05:
        sample.status, sample.reward = type(sample.status).ABORTED, None
    return sample


async def generate_in_parts(args: Any, sample: Any, sampling_params: dict[str, Any]) -> list[Any]:
    whole = await generate(args, sample, sampling_params)
    part = type(sample)(prompt=sample.prompt, reward=0.0, index=sample.index, status=whole.status)
    return [part, whole]


@pytest.mark.parametrize("name", ["generate", "generate_in_parts"])
def test_batches_have_the_mixers_shares(monkeypatch, tmp_path, name):
    engine = Engine(monkeypatch)
    recipe = engine.run("slime")
    rows = [
        {"text": f"{task} {i}", "extra_info": {"task": task}} for task in ACCEPTED for i in range(9)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    args = Args(
        rollout_global_dataset=True,
        prompt_data=str(tmp_path / "rows.jsonl"),
        hf_checkpoint=str(tiny.model_path()),
        input_key="text",
        metadata_key="extra_info",
        rollout_seed=0,
        rollout_batch_size=BATCH,
        n_samples_per_prompt=SIZE,
        custom_generate_function_path=f"{__name__}.{name}",
        sglang_server_concurrency=16,
        rollout_num_engines=1,
        rollout_max_response_len=8,
        rollout_top_p=1.0,
        save=str(tmp_path),
    )
    source = recipe["TaskSource"](args)
    for step in range(STEPS):
        output = recipe["generate_rollout"](args, step, source)
        whole = [[r[-1] if isinstance(r, list) else r for r in group] for group in output.samples]
        assert exact(Counter(group[0].metadata["task"] for group in whole), source.rows.mixer)
        assert len({sample.index for group in whole for sample in group}) == BATCH * SIZE
        assert all(len(group) == SIZE for group in whole)

    source.save(STEPS)
    args.load = str(tmp_path)
    resumed = recipe["TaskSource"](args)
    resumed.load(STEPS)
    assert resumed.rows.state_dict() == source.rows.state_dict()
