"""Runs whose tasks are sampled in their own way."""

from dataclasses import replace

from mtgrpo.tasks import Generation, TaskSet

from .lab import GROUP, easy_tasks, logged


def watched(lab, tasks, **changes):
    """A trainer, and the completions of each task that it will be trained on."""
    trainer = lab.trainer(
        "own", "grpo_fair", tasks=tasks, max_steps=2, save_strategy="no", **changes
    )
    completions = {name: [] for name in tasks.names}
    replay = trainer.engine.replay

    def replayed(rows):
        for row in rows:
            completions[row.inputs["mtgrpo_task"]].append(tuple(row.generation[1].value))
        return replay(rows)

    trainer.engine.replay = replayed
    return trainer, completions


def check_temperature_and_length(lab, **changes) -> None:
    first, second, third = easy_tasks()
    cold = Generation(temperature=0.6)
    hot = Generation(temperature=1.5, max_completion_length=4)
    tasks = TaskSet(replace(first, generation=cold), second, replace(third, generation=hot))
    trainer, completions = watched(lab, tasks, **changes)
    trainer.train()

    # Of what vLLM says it sampled from, and the model's at the same temperature.
    assert max(logged(trainer, "sampling/sampling_logp_difference/max")) < 1e-3
    assert all(value > 0 for value in logged(trainer, "grad_norm"))
    lengths = {name: max(map(len, rows)) for name, rows in completions.items()}
    assert lengths[third.name] == 4 < lengths[first.name]
    assert "eval_tasks/worst_accuracy" in trainer.evaluate()


def check_top_p(lab, **changes) -> None:
    """Hardly any chance is left to the second task: all completions of a prompt are the likeliest one."""
    first, second, _ = easy_tasks()
    tasks = TaskSet(first, replace(second, generation=Generation(top_p=1e-6)))
    trainer, completions = watched(lab, tasks, vllm_importance_sampling_correction=False, **changes)
    trainer.train()

    several, one = (
        [len(set(rows[i : i + GROUP])) for i in range(0, len(rows), GROUP)]
        for rows in completions.values()
    )
    assert one == [1] * len(one) != []
    assert max(several) > 1
    assert all(value > 0 for value in logged(trainer, "grad_norm"))
