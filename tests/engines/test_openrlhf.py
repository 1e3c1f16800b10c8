"""OpenRLHF's samples generator on Ray, with its own dispatch and experiences; the engine is an actor of ours."""

from __future__ import annotations

import json
import random
from collections import Counter
from types import SimpleNamespace as Namespace
from typing import Any

import pytest

from tests.test_engines_page import ACCEPTED, BATCH, SIZE, STEPS, Engine, exact, rewards

pytest.importorskip(
    "openrlhf.trainer.ppo_utils.samples_generator", reason="OpenRLHF is not installed"
)
ray = pytest.importorskip("ray")


@pytest.fixture
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class Rollouts:
    """What OpenRLHF asks of its vLLM actor."""

    def __init__(self) -> None:
        self.dice = random.Random(1)

    def get_num_unfinished_requests(self) -> int:
        return 0

    def generate_responses(
        self, prompt: str, label: str, num_samples: int, **_: Any
    ) -> list[dict[str, Any]]:
        assert num_samples == SIZE
        return [
            {
                "prompt": prompt,
                "label": label,
                "observation_tokens": [1, 2, 3, 4],
                "action_ranges": [(2, 4)],
                "rollout_log_probs": None,
                "reward": reward,
                "scores": reward,
            }
            for reward in rewards(prompt, self.dice)
        ]


def test_batches_have_the_mixers_shares(monkeypatch, cluster):
    recipe = Engine(monkeypatch).run("OpenRLHF")
    dataset = [(task, task, "label", None) for task in ACCEPTED for _ in range(10)]
    args = Namespace(
        rollout=Namespace(batch_size=BATCH, n_samples_per_prompt=SIZE),
        train=Namespace(seed=0),
        vllm=Namespace(enable_sleep=False),
        algo=Namespace(advantage=Namespace(is_correction_level="off", is_correction_enable=False)),
    )
    prompts = recipe["TaskPrompts"](dataset, args)
    actor = ray.remote(num_cpus=0)(Rollouts).remote()
    generator = recipe["TaskSamplesGenerator"](Namespace(args=args), prompts, None, None, [actor])

    for _ in range(STEPS):
        samples, rate, consumed, _ends = generator.generate_samples(max_new_tokens=4, max_len=16)
        assert len(samples) == BATCH * SIZE
        assert exact(Counter(sample.prompts[0] for sample in samples[::SIZE]), prompts.mixer)
        assert (rate, consumed >= BATCH) == (None, True)
        assert all(int(sample.action_mask.sum()) == 2 for sample in samples)

    resumed = recipe["TaskPrompts"](dataset, args)
    resumed.load_state_dict(json.loads(json.dumps(prompts.state_dict())))
    assert resumed.mixer.weights() == prompts.mixer.weights()
