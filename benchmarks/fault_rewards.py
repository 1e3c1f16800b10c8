"""The faults of `faults.py` that come from rewards: hangs, crashes, values that are no numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from fault_lab import CONFIG, FAULTS, Outcome, error, fault, finish, num_logged, start

REWARD = """
import ctypes, os, pathlib, signal, sys, time
FAULT = pathlib.Path(__file__).with_name("fault")

def exact(prompts, completions, answer, **columns):
    act = FAULT.read_text() if FAULT.exists() and answer[0].endswith(("3", "7")) else ""
    if act == "hang": time.sleep(3600)
    if act == "hang in C": ctypes.PyDLL(None).sleep(3600)
    if act == "raise": raise KeyError("answer")
    if act == "exit": sys.exit(0)
    if act == "crash": os.kill(os.getpid(), signal.SIGSEGV)
    if act == "NaN": return [float("nan")] * len(completions)
    if act == "None": return [None] * len(completions)
    if act == "too few": return [0.0] * (len(completions) - 1)
    time.sleep(0.2 if act == "slow" else 0.0)
    return [float(c.strip().startswith(a[0])) for c, a in zip(completions, answer)]
"""
ROWS = 40
SHORT = 4


def reward_run(folder: Path, act: str, scoring: dict[str, Any]) -> tuple[int, str]:
    """Four steps of a task whose reward fails on every fifth row."""
    folder.mkdir(exist_ok=True)
    (folder / "reward.py").write_text(REWARD)
    (folder / "fault").write_text(act)

    rows = [json.dumps({"prompt": f"{i:02}=", "answer": f"{i:02}"}) for i in range(ROWS)]
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n")

    reward = f"{folder / 'reward.py'}:exact"
    task = {"rows": str(folder / "rows.jsonl"), "name": "say", "reward": reward}

    changes = {
        "tasks": [CONFIG["tasks"][1], {**task, "scoring": scoring}],
        "steps": SHORT,
        "preset": "grpo",
        "evaluation": {"samples_per_prompt": 2, "prompts_per_task": 2},
        "checkpoint": {"every": 1},
    }

    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))

    return finish(start(folder / "run", folder / "config.yaml"))


def seen(folder: Path) -> dict[str, Any]:
    """What a run's log says about the task's rewards."""
    log = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in log]

    def values(name: str) -> list[Any]:
        known = [step.get(f"task/say/{name}") for step in steps]
        return [value for value in known if value is not None]

    return {
        "steps": len(steps),
        "groups_dropped": [step.get("task/say/dropped/unscorable", 0) for step in steps],
        "seconds": [round(t, 2) for t in values("reward_time_s")],
        "p95_s": [round(t, 2) for t in values("reward_time_p95_s")],
        "rewards": values("reward"),
    }


HANGS = {"num_processes": 2, "timeout_s": 2}
ACTS: dict[str, tuple[dict[str, Any], str]] = {
    "hang": (HANGS, "no answer within timeout_s=2 s"),
    "hang in C": (HANGS, "no answer within timeout_s=2 s"),
    "crash": ({"num_processes": 2}, "its process ended in the middle of the call (signal 11)"),
    "raise": ({}, "raised KeyError: 'answer'"),
    "exit": ({}, "raised SystemExit"),
    "NaN": ({}, "returned nan"),
    "None": ({}, "returned None"),
    "too few": ({}, "values for"),
}


def fails(act: str) -> Callable[[Path], Outcome]:
    def inject(run: Path) -> Outcome:
        scoring, message = ACTS[act]
        code, text = reward_run(run, act, scoring)
        line = error(text)
        before = num_logged(run / "run")

        drop = {**scoring, "on_error": "drop", "max_dropped_rate": 0.5}
        again, text = reward_run(run, act, drop)
        after = seen(run) if (run / "run" / "metrics.jsonl").exists() else {}
        named = code == 1 and "task 'say', prompt" in line and message in line
        goes_on = again == 0 and after.get("steps") == SHORT

        return {
            "exit_code": code,
            "message": line,
            "steps_before": before,
            "resumed_with_drop": {"exit_code": again, **after},
            "ok": named and goes_on,
        }

    inject.__doc__ = "exit code 1, names task and prompt; resumed with on_error: drop, it ends"
    return inject


def drops(act: str) -> Callable[[Path], Outcome]:
    def inject(run: Path) -> Outcome:
        scoring = {**ACTS[act][0], "on_error": "drop", "max_dropped_rate": 0.5}
        code, text = reward_run(run, act, scoring)
        if code != 0:
            return {"exit_code": code, "text": text[-400:], "ok": False}

        log = seen(run)
        ok = log["steps"] == SHORT and sum(log["groups_dropped"]) > 0

        return {"exit_code": code, **log, "ok": ok}

    inject.__doc__ = "exit code 0; its groups are left out and counted, the others trained on"
    return inject


for act in ACTS:
    FAULTS[f"reward_{act.replace(' ', '_')}_fail"] = fails(act)
    FAULTS[f"reward_{act.replace(' ', '_')}_drop"] = drops(act)


@fault
def reward_drops_too_many(run: Path) -> Outcome:
    """exit code 1 once more groups were dropped than the limit allows"""
    code, text = reward_run(run, "raise", {"on_error": "drop", "max_dropped_rate": 0.01})
    line = error(text)
    ok = code == 1 and "max_dropped_rate 0.01 allows 1 of 100" in line

    return {"exit_code": code, "message": line, "ok": ok}


@fault
def reward_slow_in_processes(run: Path) -> Outcome:
    """the same decisions as in the training process, and its time is in the metrics"""
    code, _ = reward_run(run, "slow", {})
    here = seen(run) if code == 0 else {}
    shutil.rmtree(run / "run")
    again, _ = reward_run(run, "slow", {"num_processes": 4})
    apart = seen(run) if again == 0 else {}

    same = code == again == 0 and here["rewards"] == apart["rewards"]
    ok = same and max(apart["p95_s"]) >= 0.2

    return {"in_the_training_process": here, "in_4_processes": apart, "ok": ok}
