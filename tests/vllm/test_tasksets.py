"""Tasksets of verifiers, one turn, scored by their own rewards, with completions of real vLLM."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "verifiers_taskset.py"


def tasks_of_the_example():
    import verifiers.v1 as vf

    from mtgrpo.tasks import TaskSet, verifiers_task

    example = runpy.run_path(str(EXAMPLE))
    return TaskSet(
        *(
            verifiers_task(
                kind(vf.TasksetConfig(id=kind.family)), kind.family, chat=False, correct_at=1.0
            )
            for kind in (example["Countdown"], example["Zebra"])
        )
    )


@pytest.mark.usefixtures("float32")
def test_tasksets_train_by_the_default_method(lab):
    from .lab import logged

    trainer = lab.trainer(
        "tasksets", "grpo_fair", tasks=tasks_of_the_example(), max_steps=2, save_strategy="no"
    )
    trainer.train()

    for name in ("countdown", "zebra"):
        assert min(logged(trainer, f"task/{name}/num_informative")) > 0
        assert logged(trainer, f"task/{name}/reward")
    assert max(logged(trainer, "sampling/sampling_logp_difference/max")) < 1e-3
