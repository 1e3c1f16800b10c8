"""Rewards for tests of reward processes: at the top of a module, so that another process can import them."""

import ctypes
import os
import signal
import subprocess
import sys
import time

from mtgrpo.tasks import Score, each


def length(prompts, completions, **columns):
    """Plain numbers."""
    return [float(len(text)) for text in completions]


def exact(prompts, completions, answer):
    """Takes the row's own column, and no others."""
    return [float(text == right) for text, right in zip(completions, answer, strict=True)]


@each
def one(text, row):
    """A function of one completion, decorated."""
    return Score(0.1 * len(text), float(text == row["answer"]))


def by_hand(text, row):
    """A function of one completion, wrapped elsewhere."""
    return float(text == row["answer"])


@each
def uses_up(text, row):
    """Takes the row's own numbers out, one by one."""
    for number in text.split("+"):
        row["numbers"].remove(int(number))
    return float(not row["numbers"])


def naughty(prompts, completions, **columns):
    """Does what one of the completions says, if any says something."""
    act = next((text for text in completions if text not in ("x", "y", "z", "fine")), "")
    if act == "sleep":
        time.sleep(600)
    elif (
        act == "sleep in C"
    ):  # with Python's lock held, and no signal handler of Python's ever runs
        ctypes.PyDLL(None).sleep(600)
    elif act == "exit":
        sys.exit(0)
    elif act == "die":
        os._exit(3)
    elif act == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif act == "raise":
        raise KeyError("answer")
    elif act == "NaN":
        return [float("nan")] * len(completions)
    elif act == "None":
        return [None] * len(completions)
    elif act == "too few":
        return [1.0] * (len(completions) - 1)
    elif act == "print":
        print("{" * 1000, flush=True)
    elif act == "pid":
        return [float(os.getpid())] * len(completions)
    elif act == "run":  # a program that asks for input
        program = [sys.executable, "-c", "input()"]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        return [float(done.stderr.endswith("EOFError: EOF when reading a line\n"))] * len(
            completions
        )
    elif act == "terminate":
        program = subprocess.Popen(["sleep", "600"])
        program.terminate()
        return [float(program.wait())] * len(completions)
    elif act.startswith(("start ", "leave ")):  # a program that outlasts the call
        program = subprocess.Popen(["sleep", "600"], start_new_session=True, close_fds=False)
        with open(act.split(" ", 1)[1], "w") as file:
            file.write(str(program.pid))
        if act.startswith("leave "):
            os._exit(3)
        time.sleep(600)
    elif act == "nap":
        time.sleep(0.3)
    return [1.0] * len(completions)
