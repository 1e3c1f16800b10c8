"""What there is to say of a task reaches a script's log, once for each change."""

from __future__ import annotations

import logging

import pytest
from datasets import Dataset

from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.types import Group
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.integrations.trl.notices import NoticeLog


def said(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "mtgrpo.notices"]


def test_a_change_is_logged_once_and_taken_back(caplog):
    caplog.set_level(logging.WARNING)
    mixer, log = TaskMixer(["essay"], batch_size=8), NoticeLog()
    for rewards in [(0.2, 0.4)] * 3 + [(0.2, 1.0)]:
        batch = mixer.new_batch()
        while request := batch.ask():
            batch.tell([Group.verified("essay", rewards)] * request["essay"])
        mixer.update()
        log(mixer.step, mixer.report)

    log.training_ended()
    first, last = said(caplog)
    assert "step 1: task 'essay' trains on nothing" in first
    assert last == "step 4: task 'essay' can be trained again"


def test_rewards_cut_off_at_a_stated_range_are_told_of_once(caplog):
    caplog.set_level(logging.WARNING)
    ranges = {"essay": (0.0, 1.0), "code": (0.0, 1.0)}
    mixer, log = TaskMixer(["essay", "code"], batch_size=4, reward_ranges=ranges), NoticeLog()
    for _ in range(3):
        batch = mixer.new_batch()
        while request := batch.ask():
            for task, count in request.items():
                best = 1.7 if task == "essay" else 0.7
                batch.tell([Group(task, (0.2, best), ()) for _ in range(count)])
        mixer.update()
        log(mixer.step, mixer.report)

    (line,) = said(caplog)
    assert line.startswith(
        "step 1: task 'essay' earns rewards outside its reward_range [0, 1], such as 1.7"
    )


@pytest.mark.parametrize("listens", [False, True])
def test_a_script_that_trains_on_nothing_is_told(lab, caplog, listens):
    def constant(completions, **columns):
        return [0.5] * len(completions)

    rows = [{"prompt": f"q{i}", "task": "ab"[i % 2]} for i in range(8)]
    trainer = MultiTaskGRPOTrainer(
        lab.model(),
        constant,
        lab.config(max_steps=1),
        Dataset.from_list(rows),
        processing_class=lab.tokenizer(),
        method="balanced",
        on_mixer_step=(lambda step, report: None) if listens else None,
    )
    trainer.train()
    assert any(
        "task 'a' gives nothing to train on, nor does any other" in line for line in said(caplog)
    )
    assert said(caplog)[-1].startswith(
        "end of training: task 'b' was trained on in none of 1 step: it"
    )
