"""What the mixer and its state cost with 10 to 100,000 tasks and 10^8 prompts, and what its processes tell each other.

Everything is measured here; each number of tasks in a process of its own, so that its memory is its own. Times are CPU
time: other processes on the machine do not count. Writes scaling.json beside this file.

python benchmarks/scaling.py            # a few minutes
python benchmarks/scaling.py --quick    # few tasks, few steps, nothing written
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mtgrpo import Group, TaskMixer
from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.prompts import PromptStream
from mtgrpo.runlog import load_state, save_state

HERE = Path(__file__)
NUM_PROMPTS = 10**8  # of all tasks together
BATCH_SIZE, GROUP_SIZE = 1024, 8
TASKS = (10, 100, 1_000, 10_000, 100_000)
TRAINED = (10, 1_000, 10_000, 100_000)
PROMPT_CASES = ((NUM_PROMPTS, 0), (NUM_PROMPTS, 1), (10**6, 1))  # how many, with or without memory
PROCESSES, COMPLETION = 2, 32


def resident() -> float:
    """Memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Stopwatch:
    """Collects CPU milliseconds under names, step by step."""

    def __init__(self) -> None:
        self.steps: list[Counter[str]] = []

    def measure(self, name: str, call: Any, *args: Any) -> Any:
        started = time.process_time()
        result = call(*args)
        self.steps[-1][name] += 1000 * (time.process_time() - started)
        return result

    def medians(self, skip: int) -> dict[str, float]:
        used = self.steps[skip:]
        return {
            f"{name}_ms": round(statistics.median(step[name] for step in used), 3)
            for name in used[0]
        }


def make_groups(names: Iterable[str], rng: np.random.Generator) -> list[Group]:
    """Two groups of three are informative, the third is all wrong."""
    informative, wrong = (1.0, 0.0) * (GROUP_SIZE // 2), (0.0,) * GROUP_SIZE
    names = list(names)
    lucky = (rng.random(len(names)) < 2 / 3).tolist()

    return [
        Group.verified(name, informative if luck else wrong) for name, luck in zip(names, lucky, strict=True)
    ]


# ---- many tasks ------------------------------------------------------------------------------------------------
def many_tasks(num_tasks: int, num_steps: int) -> dict[str, Any]:
    """A step as an engine drives it; what the mixer, its prompts and its state take."""
    from mtgrpo.integrations.trl.agreement import digest
    from mtgrpo.integrations.trl.rollouts import in_order, plan_round, take

    before, started = resident(), time.process_time()
    names = [f"task-{i}" for i in range(num_tasks)]
    mixer = TaskMixer(names, batch_size=BATCH_SIZE)
    streams = {name: PromptStream(name, NUM_PROMPTS // num_tasks) for name in names}
    build_s = time.process_time() - started
    watch, rng, drawn = Stopwatch(), np.random.default_rng(0), 0

    for _ in range(num_steps):
        watch.steps.append(Counter())

        batch = watch.measure("core", mixer.new_batch)
        while request := watch.measure("core", batch.ask):
            plan = watch.measure("plan", plan_round, request, PROCESSES)
            prompts = watch.measure(
                "draw", lambda plan=plan: [(name, streams[name].draw(1)[0].row) for name in plan]
            )
            drawn += len(prompts)

            decision = {
                "weights": mixer.weighting.weight_array(),
                "request": request,
                "prompts": prompts,
            }

            watch.measure("digest", digest, decision)
            groups = make_groups(plan, rng)
            groups, _ = watch.measure("plan", take, groups, request)
            groups = watch.measure("plan", in_order, groups, plan_round(request, 1))
            watch.measure("core", batch.tell, groups)

        watch.measure("core", mixer.update)
        figures = watch.measure("metrics", mixer.metrics)

    memory = resident() - before

    def whole() -> dict[str, Any]:
        return {
            "mixer": mixer.state_dict(),
            "streams": {n: s.state_dict() for n, s in streams.items()},
        }

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mixer.json")
        started = time.process_time()
        save_state(path, whole())
        saving = time.process_time() - started
        size = path.stat().st_size
        started = time.process_time()
        state = load_state(path)
        mixer.load_state_dict(state["mixer"])

        for name, stream in streams.items():
            stream.load_state_dict(state["streams"][name])

        loading = time.process_time() - started

    return {
        "num_tasks": num_tasks,
        "prompts_per_step": round(drawn / num_steps, 1),
        "build_s": round(build_s, 3),
        "memory_mb": round(memory, 1),
        **watch.medians(skip=min(2, num_steps - 1)),
        "metrics_count": len(figures),
        "metrics_bytes": len(json.dumps(figures)),
        "state_bytes": size,
        "state_save_s": round(saving, 3),
        "state_load_s": round(loading, 3),
        "peak_mb": round(peak(), 1),
    }


def peak() -> float:
    """The most memory this process ever had, in MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ledger(num_tasks: int, num_steps: int) -> dict[str, Any]:
    """The same through the ledger, as verl drives it; in its asynchronous mode a batch of prompts is kept ahead."""
    names = [f"task-{i}" for i in range(num_tasks)]
    streams = {name: PromptStream(name, NUM_PROMPTS // num_tasks) for name in names}
    book = RolloutLedger(TaskMixer(names, batch_size=BATCH_SIZE), streams)
    watch, rng, out = Stopwatch(), np.random.default_rng(0), dict[int, str]()

    def fetch(count: int) -> None:
        for _ in range(count):
            ticket = book.next_prompt()
            out[ticket.number] = ticket.task

    for _ in range(num_steps):
        watch.steps.append(Counter())
        watch.measure("fetch", fetch, BATCH_SIZE)

        while not book.done:
            watch.measure("fetch", fetch, book.num_queued)
            asked = sorted(book.asked)
            arrived = dict(zip(asked, make_groups([out[n] for n in asked], rng), strict=True))
            watch.measure("settle", book.settle, arrived)

        watch.measure("close", book.close)

    size = len(json.dumps(book.state_dict()))

    return {
        "num_tasks": num_tasks,
        **watch.medians(skip=min(2, num_steps - 1)),
        "state_bytes": size,
    }


# ---- many prompts ----------------------------------------------------------------------------------------------
def many_prompts(num_prompts: int, remember: bool, draws: int) -> dict[str, Any]:
    """One task of many prompts: what a draw takes, and what the stream keeps. Every second group is constant."""
    constant = (np.random.default_rng(0).random(draws) < 0.5).tolist()
    before = resident()
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
        "memory_mb": round(resident() - before, 2),
        "state_bytes": len(json.dumps(stream.state_dict())),
    }


# ---- a whole trainer ---------------------------------------------------------------------------------------------
def whole_trainer(num_tasks: int, num_steps: int) -> dict[str, Any]:
    """Steps of the real trainer on the embedded model; with more tasks only the bookkeeping grows."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback

    from mtgrpo import tiny
    from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
    from mtgrpo.runlog import RunLog
    from mtgrpo.tasks import Task, TaskSet

    torch.set_num_threads(1)
    pattern = tiny.tiny_tasks(families=["countdown"], levels=["easy"])[0]
    tasks = TaskSet(
        *(Task(f"task-{i}", pattern.train, [], pattern.reward) for i in range(num_tasks))
    )
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            times.append(time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        log = RunLog.create(Path(folder, "run"), tasks.names)

        trainer = MultiTaskGRPOTrainer(
            AutoModelForCausalLM.from_pretrained(tiny.model_path()),
            tasks=tasks,
            processing_class=AutoTokenizer.from_pretrained(tiny.model_path(), padding_side="left"),
            args=config(folder, num_steps, 1),
            run_log=log,
            callbacks=[Clock()],
            share_prompts=True,
        )

        trainer.remove_callback(PrinterCallback)
        building = time.process_time() - started
        trainer.train()
        logged = Path(folder, "run", "metrics.jsonl").stat().st_size

    return {
        "num_tasks": num_tasks,
        "build_s": round(building, 2),
        "step_s": round(statistics.median(b - a for a, b in itertools.pairwise(times[1:])), 3),
        "logged_bytes_per_step": logged // num_steps,
        "peak_mb": round(peak(), 1),
    }


def config(folder: str, num_steps: int, processes: int) -> Any:
    """32 prompts x 8 completions."""
    from trl import GRPOConfig

    return GRPOConfig(
        folder,
        per_device_train_batch_size=32 * GROUP_SIZE // processes,
        num_generations=GROUP_SIZE,
        max_completion_length=COMPLETION,
        max_steps=num_steps,
        logging_steps=1,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )


# ---- several processes -----------------------------------------------------------------------------------------
def talk(num_steps: int) -> dict[str, Any]:
    """Bytes that a process sends in a step, by purpose: two gloo processes, groups of unequal luck."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node",
            f"{PROCESSES}",
        ]

        environment = {
            **os.environ,
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }

        subprocess.run(
            [*command, HERE, "--talk", f"{num_steps}", "--folder", folder],
            env=environment,
            check=True,
        )

        return json.loads(Path(folder, "talk.json").read_text(encoding="utf-8"))


def talk_here(num_steps: int, folder: str) -> None:
    """One process of `talk`."""
    import pickle

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from mtgrpo import tiny
    from mtgrpo.integrations.trl import MultiTaskGRPOTrainer, agreement, slots, step
    from mtgrpo.tasks import TaskSet

    torch.set_num_threads(1)
    sent: Counter[str] = Counter()
    calls: Counter[str] = Counter()

    trainer = MultiTaskGRPOTrainer(
        AutoModelForCausalLM.from_pretrained(tiny.model_path()),
        tasks=TaskSet(*tiny.tiny_tasks()),
        processing_class=AutoTokenizer.from_pretrained(tiny.model_path(), padding_side="left"),
        args=config(folder, num_steps, PROCESSES),
    )

    def count(name: str, size: int) -> None:
        sent[name] += size
        calls[name] += 1

    gather, phase = trainer.accelerator.gather, [""]

    def counted(tensor: Any) -> Any:
        count(
            phase[0] or "TRL's and accelerate's own gathers", tensor.numel() * tensor.element_size()
        )
        return gather(tensor)

    agree = agreement.check_agreement

    def counted_agreement(*args: Any) -> None:
        phase[0] = "digests of decisions"
        agree(*args)
        phase[0] = ""

    move = slots.gather_object

    def counted_objects(rows: Any) -> Any:
        count("groups that move between processes", len(pickle.dumps(rows)))
        count("groups moved (number, not bytes)", len(rows))
        return move(rows)

    trainer.accelerator.gather = counted
    step.check_agreement = counted_agreement
    slots.gather_object = counted_objects
    trainer.train()

    if trainer.is_world_process_zero():
        log = trainer.state.log_history

        result = {
            "processes": PROCESSES,
            "batch_size": 32,
            "group_size": GROUP_SIZE,
            "max_completion_length": COMPLETION,
            "steps": num_steps,
            "rounds_per_step": statistics.mean(
                e["sampler/rounds"] for e in log if "sampler/rounds" in e
            ),
            "bytes_per_step": {
                name: round(size / num_steps, 1) for name, size in sorted(sent.items())
            },
            "calls_per_step": {name: round(n / num_steps, 2) for name, n in sorted(calls.items())},
            "gradient_bytes_per_step": sum(
                p.numel() * p.element_size() for p in trainer.model.parameters()
            ),
        }

        Path(folder, "talk.json").write_text(json.dumps(result), encoding="utf-8")

    torch.distributed.destroy_process_group()


# ---- all of it -------------------------------------------------------------------------------------------------
def in_own_process(*arguments: Any) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, HERE, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return json.loads(done.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="few tasks, few steps, nothing written"
    )
    parser.add_argument("--case", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ledger", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--prompts", nargs=3, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--trainer", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--talk", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)

    given = parser.parse_args()
    if given.case:
        print(json.dumps(many_tasks(*given.case)))
    elif given.ledger:
        print(json.dumps(ledger(*given.ledger)))
    elif given.prompts:
        print(json.dumps(many_prompts(given.prompts[0], bool(given.prompts[1]), given.prompts[2])))
    elif given.trainer:
        print(json.dumps(whole_trainer(*given.trainer)))
    elif given.talk:
        talk_here(given.talk, given.folder)
    else:
        everything(given.quick)


def everything(quick: bool) -> None:
    result: dict[str, Any] = {
        "about": {
            "what": "CPU time, median over steps; memory and state of mixer and prompt streams, without completions",
            "batch_size": BATCH_SIZE,
            "group_size": GROUP_SIZE,
            "prompts_of_all_tasks": NUM_PROMPTS,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": platform.machine(),
        }
    }

    tasks, steps = (TASKS[:3], 3) if quick else (TASKS, 12)
    for part, call in {
        "tasks": lambda: [in_own_process("--case", n, steps) for n in tasks],
        "ledger": lambda: [in_own_process("--ledger", n, steps) for n in tasks],
        "prompts": lambda: [
            in_own_process("--prompts", *case, 10**4 if quick else 10**6) for case in PROMPT_CASES
        ],
        "processes": lambda: talk(2 if quick else 10),
        "trainer": lambda: [
            in_own_process("--trainer", n, 4) for n in (tasks[:2] if quick else TRAINED)
        ],
    }.items():
        result[part] = call()
        for row in result[part] if isinstance(result[part], list) else [result[part]]:
            print(part, json.dumps(row), flush=True)

        if quick:
            continue

        HERE.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
