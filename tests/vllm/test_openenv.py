"""Environments of OpenEnv, with completions of real vLLM."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "openenv_environment.py"


@pytest.mark.usefixtures("float32")
def test_environments_of_the_example_train_by_the_default_method(lab):
    pytest.importorskip("openenv.core", reason="openenv-core is not installed")
    from mtgrpo import tiny
    from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

    from .lab import GROUP, logged

    config = lab.config(
        "openenv", per_device_train_batch_size=6 * GROUP, max_steps=2, save_strategy="no"
    )
    games = runpy.run_path(str(EXAMPLE))["two_games"]
    trainer = MultiTaskGRPOTrainer(
        str(tiny.model_path()), method="grpo_fair", args=config, **games(num_rows=40)
    )
    trainer.train()

    assert trainer.num_rollouts == 2 * 6 * GROUP
    assert max(logged(trainer, "sampling/sampling_logp_difference/max")) < 1e-3
    assert max(logged(trainer, "grad_norm")) > 0
    for name in ("countdown", "zebra"):
        assert max(logged(trainer, f"task/{name}/num_informative")) > 0
