"""OpenRLHF's samples generator with its own vLLM actor on Ray: the embedded model answers, on a CPU.

The environment of `make test-vllm`, with Ray and OpenRLHF's Python code beside it. OpenRLHF requires packages that
need CUDA and that none of this imports, so its dependencies are left out:

    pip install --no-deps --target engines ray==2.55.0 openrlhf==0.11.2 pylatexenc
    PYTHONPATH=engines .venv-vllm/bin/python -m pytest -q -p no:cacheprovider -W default tests/vllm/test_openrlhf.py
"""

from collections import Counter
from types import SimpleNamespace as Namespace

import pytest

from mtgrpo import tiny
from mtgrpo.tasks import TaskSet
from tests.test_engines_page import Engine, exact

BATCH, SIZE, STEPS = 6, 8, 3
NEW_TOKENS, LENGTH = 16, 128

# OpenRLHF runs this in its actor: `--reward.remote_url rewards.py`.
REWARDS = """
from mtgrpo import tiny
from mtgrpo.tasks import TaskSet

TASKS = TaskSet(*(tiny.tiny_task(family, "easy", num_train=32, num_test=2) for family in tiny.FAMILIES))


def reward_func(queries, prompts, labels):
    name, row = labels[0].rsplit(":", 1)  # OpenRLHF asks for one at a time
    answer = queries[0].removeprefix(prompts[0]).removesuffix(EOS)
    [score] = TASKS[name].score([TASKS[name].train[int(row)]], [answer])
    return {"rewards": score.reward, "scores": score.reward}
"""


@pytest.fixture
def cluster(monkeypatch):
    """Ray that believes in one GPU, as OpenRLHF asks for one an engine; vLLM runs on the CPU."""
    head = "see the head of this file"
    ray = pytest.importorskip("ray", reason=f"Ray is not installed: {head}")
    pytest.importorskip("openrlhf", reason=f"OpenRLHF is not installed: {head}")
    ray.init(num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_real_completions_have_the_mixers_shares(monkeypatch, tmp_path, cluster):
    from openrlhf.trainer.ray.vllm_engine import create_vllm_engines
    from transformers import AutoTokenizer

    tasks = TaskSet(
        *(tiny.tiny_task(family, "easy", num_train=32, num_test=2) for family in tiny.FAMILIES)
    )
    dataset = [
        (task.name, task.train[row]["prompt"], f"{task.name}:{row}", None)
        for task in tasks
        for row in range(32)
    ]
    tokenizer = AutoTokenizer.from_pretrained(tiny.model_path())
    rewards = tmp_path / "rewards.py"
    rewards.write_text(f"EOS = {tokenizer.eos_token!r}\n{REWARDS}", encoding="utf-8")

    recipe = Engine(monkeypatch).run("OpenRLHF")
    args = Namespace(
        rollout=Namespace(batch_size=BATCH, n_samples_per_prompt=SIZE),
        train=Namespace(seed=0),
        vllm=Namespace(enable_sleep=False),
        algo=Namespace(advantage=Namespace(is_correction_level="token")),
    )
    prompts = recipe["TaskPrompts"](dataset, args)
    engines = create_vllm_engines(
        num_engines=1,
        tensor_parallel_size=1,
        pretrain=str(tiny.model_path()),
        seed=0,
        full_determinism=False,
        enable_prefix_caching=False,
        enforce_eager=True,
        max_model_len=LENGTH,
        gpu_memory_utilization=0.5,
        remote_rm_url=str(rewards),
    )
    generator = recipe["TaskSamplesGenerator"](
        Namespace(args=args), prompts, None, tokenizer, engines
    )

    for _ in range(STEPS):
        samples, _, generated, _ = generator.generate_samples(
            max_new_tokens=NEW_TOKENS, max_len=LENGTH
        )
        groups = [samples[i : i + SIZE] for i in range(0, len(samples), SIZE)]
        assert len(groups) == BATCH <= generated
        assert exact(Counter(group[0].labels[0].split(":")[0] for group in groups), prompts.mixer)

        for group in groups:
            assert len({sample.prompts[0] for sample in group}) == 1
            assert len({float(sample.rewards) for sample in group}) > 1
            for sample in group:
                assert 1 <= int(sample.action_mask.sum()) <= NEW_TOKENS
                assert float(sample.rollout_log_probs.min()) < 0

    accuracy = prompts.mixer.metrics()["tasks/mean_accuracy"]
    assert 0.05 < accuracy < 0.95
