"""Whether a checkpoint is one of a run's own: the right step, and a state that the run can load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.prompts import PromptStream
from mtgrpo.errors import MtgrpoError, StateError
from mtgrpo.jobs.setup import Job
from mtgrpo.runlog import load_state
from mtgrpo.runlog.checkpoints import STATE_FILE, checkpoint_step

# What comes of loading values that no run has saved.
_NONSENSE = (OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError)

TRAINER_FILE = "trainer_state.json"


def misfit(checkpoint: Path, job: Job) -> str:
    """Why a checkpoint cannot be one of this run, in words; empty when it can.

    Everything but the tensors is loaded on trial and asked for prompts, so that a checkpoint of
    another run, or one whose contents make no sense, is known before a model is loaded and before
    the log is touched.
    """
    try:
        state = load_state(checkpoint / STATE_FILE)
        mixer = _load(state, job)
        _check_steps(checkpoint, state, mixer, job)
        _check_groups(mixer, job)
        _ask(mixer)
    except MtgrpoError as error:
        return str(error)
    except _NONSENSE as error:
        return f"its contents make no sense ({type(error).__name__}: {error})"

    return ""


def _load(state: dict[str, Any], job: Job) -> TaskMixer:
    names = job.tasks.trained
    mixer = job.run.method.make_mixer(
        names,
        batch_size=job.run.batch_size,
        families=job.tasks.families,
        seed=job.run.seed,
    )

    mixer.change_tasks(state["mixer"]["tasks"])
    mixer.load_state_dict(state["mixer"])

    remembers = job.run.method.prompt_memory
    for name in names:
        saved = state["streams"].get(name)
        if saved is not None:
            stream = PromptStream(name, int(saved["size"]), job.run.seed, remember=remembers)
            stream.load_state_dict(saved)

    return mixer


def _ask(mixer: TaskMixer) -> None:
    if mixer.batch is None:
        with np.errstate(all="ignore"):  # NaN among the weights shows in what is asked for
            mixer.new_batch().ask()


def _check_steps(checkpoint: Path, state: dict[str, Any], mixer: TaskMixer, job: Job) -> None:
    """Refuse a checkpoint that was renamed, or put together from several."""
    step = checkpoint_step(checkpoint)
    trained = json.loads((checkpoint / TRAINER_FILE).read_text(encoding="utf-8"))["global_step"]
    if trained != step:
        raise StateError(f"{TRAINER_FILE} is of step {trained!r}, its name says {step}")

    # Each policy update is some forward passes; the mixer's step is closed after a cycle of them.
    num_passes = step * job.plan.gradient_accumulation_steps
    if mixer.step != num_passes // state["cycle"]:
        raise StateError(f"{STATE_FILE} is of batch {mixer.step}, which is not that of step {step}")


def _check_groups(mixer: TaskMixer, job: Job) -> None:
    """Refuse groups of another size, which could not share a batch with the run's own."""
    for group in mixer.sampler.bank:
        if len(group.rewards) != job.run.group_size:
            raise StateError(
                f"it holds groups of {len(group.rewards)} completions, the run has group_size: "
                f"{job.run.group_size}"
            )
