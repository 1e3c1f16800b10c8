"""An asynchronous engine over `RolloutLedger`, in virtual time. Writes ledger.json beside this file.

Workers fetch prompts one by one, four tasks take from 1.8 to 157 s a group on average, and a batch is trained
on as soon as it is full. Compared is what prompts ahead are dealt by: the task weights without a bound, as up to
0.1.0, or need, within a bound, as now. A second part runs until 100,000 groups, with failures and with groups
that are cancelled without a word, and looks at the memory and at every batch.

python benchmarks/ledger.py            # all of it, about ten minutes
python benchmarks/ledger.py --quick    # twenty steps, nothing written
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import statistics
import tracemalloc
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mtgrpo import Group, ImprovementAware, TaskMixer
from mtgrpo.core.ahead import DealAhead
from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.prompts import PromptStream
from mtgrpo.core.tickets import Ticket

BATCH_SIZE, GROUP_SIZE, NUM_ROWS = 32, 8, 5000
WORKERS, SEEDS, STEPS = (64, 128, 256), (0, 1, 2), 200
NUM_GROUPS = 100_000
FAILED, CANCELLED = 0.02, 0.03


class Task(NamedTuple):
    """Seconds that a group takes at a share of 2/3 wrong, and the mean share of right completions."""

    seconds: float
    right: float


TASKS = {
    "fast": Task(1.0, 0.55),
    "medium": Task(3.0, 0.4),
    "slow": Task(60.0, 0.25),
    "rare": Task(4.0, 0.06),
}


class DealByWeight(DealAhead):
    """As up to 0.1.0: prompts ahead by the task weights, as many as the engine fetches."""

    def __init__(self, mixer: TaskMixer) -> None:
        super().__init__()
        self.mixer, self.credit = mixer, np.zeros(len(mixer.tasks))

    def wanted(self, needs: Any, ahead: Any, awaited: Any) -> np.ndarray:
        return np.ones(len(needs), dtype=bool)

    def next_task(self, needs: Any, ahead: Any, awaited: Any) -> int:
        self.credit += self.mixer.weighting.weight_array()
        most = int(np.argmax(self.credit))
        self.credit[most] -= 1.0
        return most


@dataclass
class Engine:
    """Workers in virtual time over a ledger."""

    ledger: RolloutLedger
    num_workers: int
    seed: int
    failed: float = 0.0
    cancelled: float = 0.0

    now: float = 0.0
    busy: float = 0.0
    num_groups: int = 0
    num_inexact: int = 0
    num_short: int = 0
    most_ahead: int = 0
    closed_at: list[float] = field(default_factory=list)
    ages: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.right = {name: self.difficulties(task) for name, task in TASKS.items()}
        self.running: list[tuple[float, int, Ticket, int]] = []  # end, number, ticket, step

    def difficulties(self, task: Task) -> list[float]:
        a, b = 2.4 * task.right, 2.4 * (1 - task.right)
        return [self.dice.betavariate(a, b) for _ in range(NUM_ROWS)]

    def fetch(self) -> None:
        while len(self.running) < self.num_workers and self.ledger.wants_prompts:
            ticket = self.ledger.next_prompt()
            # Harder prompts take longer, up to seven times; a group ends with its longest completion.
            spread = self.dice.lognormvariate(0, 0.6)
            hard = 0.4 + 2.4 * (1 - self.right[ticket.task][ticket.row])
            end = self.now + TASKS[ticket.task].seconds * hard * spread
            step = self.ledger.mixer.step
            heapq.heappush(self.running, (end, ticket.number, ticket, step))

    def finish_one(self) -> None:
        end, _, ticket, step = heapq.heappop(self.running)
        self.busy += (len(self.running) + 1) * (end - self.now)
        self.now = end
        self.num_groups += 1

        chance, fate = self.right[ticket.task][ticket.row], self.dice.random()
        rewards = [float(self.dice.random() < chance) for _ in range(GROUP_SIZE)]
        if fate < self.failed:
            self.ledger.give_up([ticket.number], "failed")
        elif fate < self.failed + self.cancelled:
            return  # without a word: noticed when the batch is still waiting for it
        else:
            self.ledger.take(ticket.number, Group.verified(ticket.task, rewards, uid=step))

    def notice_cancelled(self) -> None:
        in_flight = {ticket.number for _, _, ticket, _ in self.running}
        self.ledger.give_up(self.ledger.missing - in_flight, "stale")

    def run_step(self) -> None:
        while not self.ledger.done:
            self.fetch()
            if self.cancelled:
                self.notice_cancelled()
                self.fetch()
            self.finish_one()
            ahead = len(self.ledger.missing) + len(self.ledger.arrived) - len(self.ledger.asked)
            self.most_ahead = max(self.most_ahead, ahead)
            while self.ledger.is_complete:
                self.ledger.settle()
        self.close()

    def close(self) -> None:
        batch, step = self.ledger.batch, self.ledger.mixer.step
        counts = Counter(group.task for group in batch.groups)
        wanted = {task: count for task, count in (batch.quotas or {}).items() if count}
        self.num_short += batch.shortfall > 0
        self.num_inexact += batch.shortfall == 0 and counts != wanted

        for group in batch.groups:
            self.ages[group.task].append(step - int(group.uid))
        self.ledger.close()
        self.closed_at.append(self.now)

    def figures(self) -> dict[str, Any]:
        steps = len(self.closed_at)
        late = {task: ages[len(ages) // 2 :] for task, ages in self.ages.items()}
        return {
            "seconds_per_step": round(self.now / steps, 2),
            "busy_workers": round(self.busy / self.now / self.num_workers, 2),
            "most_ahead": self.most_ahead,
            "mean_age_in_steps": {t: round(statistics.mean(a), 1) for t, a in late.items()},
            "inexact_batches": self.num_inexact,
            "short_batches": self.num_short,
        }


def make_engine(deal: str, num_workers: int, seed: int, **faults: float) -> Engine:
    weighting = ImprovementAware(lam=0.2)
    mixer = TaskMixer(list(TASKS), batch_size=BATCH_SIZE, weighting=weighting, seed=seed)
    ledger = RolloutLedger(mixer, {task: PromptStream(task, NUM_ROWS, seed) for task in TASKS})
    if deal == "weights":
        ledger.deal = DealByWeight(mixer)
    return Engine(ledger, num_workers, seed, **faults)


def compare(steps: int) -> list[dict[str, Any]]:
    rows = []
    for num_workers in WORKERS:
        for seed in SEEDS if steps == STEPS else SEEDS[:1]:
            found = {}
            for deal in ("weights", "need"):
                engine = make_engine(deal, num_workers, seed)
                for _ in range(steps):
                    engine.run_step()
                found[deal] = engine.figures()
            seconds = [found[deal]["seconds_per_step"] for deal in ("need", "weights")]
            rows.append({"workers": num_workers, "seed": seed, **found})
            rows[-1]["ratio"] = round(seconds[0] / seconds[1], 3)
            print(json.dumps(rows[-1]), flush=True)
    return rows


def endure(num_groups: int) -> dict[str, Any]:
    """One long run with faults: what is held, at four moments."""
    engine = make_engine("need", WORKERS[-1], 0, failed=FAILED, cancelled=CANCELLED)
    held = []
    tracemalloc.start()
    for quarter in range(1, 5):
        while engine.num_groups < num_groups * quarter / 4:
            engine.run_step()
            engine.ages.clear()  # the benchmark's own, not the ledger's
            engine.closed_at = engine.closed_at[-1:]
        state = len(json.dumps(engine.ledger.state_dict()))
        memory = tracemalloc.get_traced_memory()[0]
        held.append({"groups": engine.num_groups, "state_kb": round(state / 1000)})
        held[-1] |= {"memory_kb": round(memory / 1000), "steps": engine.ledger.mixer.step}
        print(json.dumps(held[-1]), flush=True)

    tracemalloc.stop()
    row = {"workers": engine.num_workers, "failed": FAILED, "cancelled": CANCELLED, "held": held}
    return row | {"inexact_batches": engine.num_inexact, "short_batches": engine.num_short}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="twenty steps, write nothing")
    quick = parser.parse_args().quick

    rows = compare(20 if quick else STEPS)
    long = endure(2_000 if quick else NUM_GROUPS)
    if quick:
        return

    slowest = max(TASKS.values(), key=lambda task: task.seconds * (0.4 + 2.4 * (1 - task.right)))
    fastest = min(TASKS.values(), key=lambda task: task.seconds * (0.4 + 2.4 * (1 - task.right)))
    scale = math.exp(0.6**2 / 2)
    about = {
        "what": "virtual seconds per step of an asynchronous engine over RolloutLedger",
        "batch_size": BATCH_SIZE,
        "group_size": GROUP_SIZE,
        "steps": STEPS,
        "mean_seconds_of_a_group": [
            round(task.seconds * (0.4 + 2.4 * (1 - task.right)) * scale, 1)
            for task in (fastest, slowest)
        ],
    }
    record = {"about": about, "dealing": rows, "long_run": long}
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
