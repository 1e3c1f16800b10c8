"""The parts of `scaling.py` without a model: mixer, ledger and prompt streams."""

from __future__ import annotations

import json
import os
import resource
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from stopwatch import Stopwatch

from mtgrpo import Group, TaskMixer
from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.prompts import PromptStream
from mtgrpo.runlog import load_state, save_state

NUM_PROMPTS = 10**8
"""Of all tasks together."""
BATCH_SIZE = 1024
GROUP_SIZE = 8
PROCESSES = 2


def resident_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mb() -> float:
    """The most memory that this process has used."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_groups(names: Iterable[str], rng: np.random.Generator) -> list[Group]:
    """Two groups of three are informative, the third is all wrong."""
    informative, wrong = (1.0, 0.0) * (GROUP_SIZE // 2), (0.0,) * GROUP_SIZE
    names = list(names)
    lucky = (rng.random(len(names)) < 2 / 3).tolist()

    groups: list[Group] = []
    for name, is_lucky in zip(names, lucky, strict=True):
        groups.append(Group.verified(name, informative if is_lucky else wrong))

    return groups


def make_streams(names: Iterable[str]) -> dict[str, PromptStream]:
    names = list(names)
    return {name: PromptStream(name, NUM_PROMPTS // len(names)) for name in names}


def many_tasks(num_tasks: int, num_steps: int) -> dict[str, Any]:
    """A step as an engine drives it; what the mixer, its prompts and its state take."""
    before, started = resident_mb(), time.process_time()
    names = [f"task-{i}" for i in range(num_tasks)]
    mixer = TaskMixer(names, batch_size=BATCH_SIZE)
    streams = make_streams(names)
    build_s = time.process_time() - started

    watch, rng, num_drawn = Stopwatch(), np.random.default_rng(0), 0
    metrics: dict[str, float] = {}
    for _ in range(num_steps):
        watch.begin_step()
        num_drawn += drive_step(mixer, streams, watch, rng)
        metrics = watch.measure("metrics", mixer.metrics)

    memory = resident_mb() - before

    return {
        "num_tasks": num_tasks,
        "prompts_per_step": round(num_drawn / num_steps, 1),
        "build_s": round(build_s, 3),
        "memory_mb": round(memory, 1),
        **watch.medians(skip=min(2, num_steps - 1)),
        "metrics_count": len(metrics),
        "metrics_bytes": len(json.dumps(metrics)),
        **state_costs(mixer, streams),
        "peak_mb": round(peak_mb(), 1),
    }


def drive_step(
    mixer: TaskMixer,
    streams: Mapping[str, PromptStream],
    watch: Stopwatch,
    rng: np.random.Generator,
) -> int:
    """One step, all but the model; returns how many prompts it drew."""
    from mtgrpo.integrations.trl.agreement import digest
    from mtgrpo.integrations.trl.rollouts import in_order, plan_round, take

    def draw(plan: list[str]) -> list[tuple[str, int]]:
        return [(name, streams[name].draw(1)[0].row) for name in plan]

    num_drawn = 0
    batch = watch.measure("core", mixer.new_batch)

    while request := watch.measure("core", batch.ask):
        plan = watch.measure("plan", plan_round, request, PROCESSES)
        prompts = watch.measure("draw", draw, plan)
        num_drawn += len(prompts)

        weights = mixer.weighting.weight_array()
        decision = {"weights": weights, "request": request, "prompts": prompts}
        watch.measure("digest", digest, decision)

        groups = make_groups(plan, rng)
        groups, _ = watch.measure("plan", take, groups, request)
        groups = watch.measure("plan", in_order, groups, plan_round(request, 1))
        watch.measure("core", batch.tell, groups)

    watch.measure("core", mixer.update)

    return num_drawn


def state_costs(mixer: TaskMixer, streams: Mapping[str, PromptStream]) -> dict[str, float]:
    """Size of the state, and what saving and loading it takes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mixer.json")

        started = time.process_time()
        of_streams = {name: stream.state_dict() for name, stream in streams.items()}
        save_state(path, {"mixer": mixer.state_dict(), "streams": of_streams})
        saving = time.process_time() - started

        started = time.process_time()
        state = load_state(path)
        mixer.load_state_dict(state["mixer"])
        for name, stream in streams.items():
            stream.load_state_dict(state["streams"][name])
        loading = time.process_time() - started

        size = path.stat().st_size

    return {
        "state_bytes": size,
        "state_save_s": round(saving, 3),
        "state_load_s": round(loading, 3),
    }


def ledger(num_tasks: int, num_steps: int) -> dict[str, Any]:
    """The same through the ledger, as verl drives it.

    In verl's asynchronous mode a batch of prompts is kept ahead.
    """
    names = [f"task-{i}" for i in range(num_tasks)]
    book = RolloutLedger(TaskMixer(names, batch_size=BATCH_SIZE), make_streams(names))
    watch, rng = Stopwatch(), np.random.default_rng(0)
    tasks: dict[int, str] = {}  # by number of the ticket

    def fetch(count: int) -> None:
        for _ in range(count):
            ticket = book.next_prompt()
            tasks[ticket.number] = ticket.task

    for _ in range(num_steps):
        watch.begin_step()
        watch.measure("fetch", fetch, BATCH_SIZE)

        while not book.done:
            watch.measure("fetch", fetch, book.num_queued)
            asked = sorted(book.asked)
            groups = make_groups([tasks[number] for number in asked], rng)
            watch.measure("settle", book.settle, dict(zip(asked, groups, strict=True)))

        watch.measure("close", book.close)

    return {
        "num_tasks": num_tasks,
        **watch.medians(skip=min(2, num_steps - 1)),
        "state_bytes": len(json.dumps(book.state_dict())),
    }


def many_prompts(num_prompts: int, remember: bool, draws: int) -> dict[str, Any]:
    """One task of many prompts: what a draw takes, and what the stream keeps.

    Every second group is constant.
    """
    constant = (np.random.default_rng(0).random(draws) < 0.5).tolist()
    before = resident_mb()
    stream = PromptStream("task", num_prompts, remember=remember)
    started = time.process_time()

    for is_constant in constant:
        draw = stream.draw(1)[0]
        if stream.memory is not None:
            stream.memory.note(draw, 0.0 if is_constant else 0.5, not is_constant)

    seconds = time.process_time() - started

    return {
        "num_prompts": num_prompts,
        "remember": remember,
        "draws": draws,
        "draw_us": round(1e6 * seconds / draws, 2),
        "memory_mb": round(resident_mb() - before, 2),
        "state_bytes": len(json.dumps(stream.state_dict())),
    }
