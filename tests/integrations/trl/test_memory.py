"""Prompt memory in training: every group carries its draw, states resume exactly, and the figures are documented."""

import dataclasses
from pathlib import Path

import pytest

from mtgrpo import Uniform
from mtgrpo.core.filters import informative
from mtgrpo.core.prompts import PromptStream
from mtgrpo.core.round_stats import RoundStats
from mtgrpo.errors import StateError
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.tasks import Task, TaskSet, each

from .conftest import around, history, same_parameters
from .toy import rows

SIZE = 12
METRICS = ("prompts_skipped_rate", "acceptance_rate_unskipped")


def split_tasks() -> TaskSet:
    """A third of each task's prompts pays; the others are always right, or never."""

    def verdict(text: str, row: dict) -> float:
        return {0: 0.0, 1: float(text[:1].islower()), 2: 1.0}[row["kind"]]

    def task(name: str, kinds: tuple[int, ...]) -> Task:
        kept = [{**row, "kind": kinds[i % 3]} for i, row in enumerate(rows(name, SIZE))]
        return Task(name, kept, [], each(verdict), correct_at=1.0)

    return TaskSet(task("mixed", (0, 1, 2)), task("easy", (2, 1, 2)))


class Telling(MultiTaskGRPOTrainer):
    """Keeps what was rolled out, and what the mixer was told."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        around(self.step, "run_round", self._run_round)

    def _run_round(self, run_round, request):
        groups = run_round(request)
        self.__dict__.setdefault("told", []).append(groups)
        return groups


def trainer_of(lab, cls=Telling, prompt_memory=True, **changes):
    arguments = {"weighting": Uniform(), "prompt_memory": prompt_memory}
    settings = {"max_steps": 12, "per_device_train_batch_size": 16, **changes}
    return lab.trainer(split_tasks(), cls, arguments, **settings)


def test_groups_carry_their_draws_and_the_memory_knows_them(lab):
    trainer = trainer_of(lab)
    trainer.train()
    streams = {
        name: PromptStream(name, SIZE, trainer.args.seed, remember=True)
        for name in trainer.tasks.names
    }
    passed_over, predicted = 0, 0
    for groups in trainer.told:
        # A stream that is told the same draws the same: nothing else decides what is asked.
        expected = {
            name: streams[name].draw(sum(g.task == name for g in groups)) for name in streams
        }
        assert {name: [g.draw for g in groups if g.task == name] for name in streams} == expected
        for group in groups:
            memory = streams[group.task].memory
            memory.note(group.draw, group.mean_accuracy, informative(group).keep)
            passed_over += group.draw.num_skipped
            predicted += group.draw.predicted is not None
    assert passed_over > 20
    assert predicted > 0
    assert [s.memory.state_dict() for s in streams.values()] == [
        s.memory.state_dict() for s in trainer.streams.values()
    ]


def test_the_accuracy_that_is_logged_is_that_of_all_prompts(lab):
    trainer = trainer_of(lab)
    steps = []
    trainer.step.listeners = [lambda step, report: steps.append(report)]
    trainer.train()
    last, corrected = trainer.told[-steps[-1].num_rounds :], RoundStats()
    for group in (group for groups in last for group in groups):
        corrected.add(group.task, group.mean_reward, group.mean_accuracy, draw=group.draw)
    entry = history(trainer)[-1]
    for task, mean in corrected.mean_accuracies().items():
        assert entry[f"task/{task}/accuracy"] == pytest.approx(mean)
    # `easy` has two prompts in three that are always right: at least .67 in the long run, whatever is asked.
    assert (
        sum(r.totals.mean_accuracies().get("easy", 1.0) for r in steps[4:]) / len(steps[4:]) > 0.67
    )


def test_metrics_are_there_with_a_memory_alone(lab):
    trainer = trainer_of(lab)
    trainer.train()
    found = history(trainer)
    assert found
    for entry in found:
        for task in trainer.tasks.names:
            rate, unskipped = (entry[f"task/{task}/{name}"] for name in METRICS)
            assert 0 <= rate < 1
            assert 0 <= unskipped <= 1
            if rate == 0:
                assert unskipped == pytest.approx(entry[f"task/{task}/acceptance_rate"])
    assert found[-1]["task/mixed/prompts_skipped_rate"] > 0.2
    plain = trainer_of(lab, prompt_memory=False, max_steps=2)
    plain.train()
    assert not any(name in key for entry in history(plain) for key in entry for name in METRICS)


@pytest.mark.parametrize(
    ("save_steps", "changes"),
    [
        (5, {}),
        (
            9,
            {
                "per_device_train_batch_size": 8,
                "gradient_accumulation_steps": 1,
                "steps_per_generation": 2,
            },
        ),
    ],
    ids=["end-of-step", "inside-batch"],
)
def test_resume_is_exact(lab, save_steps, changes):
    saving = {"save_strategy": "steps", "save_steps": save_steps, **changes}
    whole, resumed = trainer_of(lab, **saving), trainer_of(lab, **saving)
    whole.train()
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-{save_steps}")
    assert same_parameters(whole, resumed)
    assert history(whole, after=save_steps) == history(resumed, after=save_steps) != []
    states = [
        {name: s.state_dict() for name, s in trainer.streams.items()}
        for trainer in (whole, resumed)
    ]
    assert states[0] == states[1]
    assert any(group.draw.num_skipped for groups in resumed.told for group in groups)


def test_another_setting_is_refused(lab):
    saved = trainer_of(lab, save_strategy="steps", save_steps=1, max_steps=1)
    saved.train()
    checkpoint = Path(saved.args.output_dir, "checkpoint-1")
    with pytest.raises(
        StateError,
        match="saved with a prompt memory, now without one; resume with the same setting",
    ):
        trainer_of(lab, prompt_memory=False, max_steps=2).train(
            resume_from_checkpoint=str(checkpoint)
        )


def test_a_group_keeps_all_else(lab):
    trainer = trainer_of(lab, max_steps=1)
    trainer.train()
    group = trainer.told[0][0]
    assert dataclasses.replace(group, draw=None) == group  # the draw says nothing of what is in it
    assert len(group.payload) == trainer.schedule.group_size
