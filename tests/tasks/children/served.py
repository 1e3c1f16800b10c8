"""What the children of these tests do: what they are asked to."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

from mtgrpo.tasks.children.channel import open_channel

CODE = "from tests.tasks.children.served import main; main()"


def family() -> list[int]:
    """A child, a grandchild, one in a session of its own, and an orphan in one of its own."""
    script = "sleep 600 & echo $!; setsid sleep 600 & echo $!; wait"
    shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    daemon = subprocess.run(
        ["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout is not None
    return [
        shell.pid,
        int(shell.stdout.readline()),
        int(shell.stdout.readline()),
        int(daemon.stdout),
    ]


def forked() -> int:
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    return pid


def act(message: str) -> Any:
    match message:
        case "pids":
            return [os.getpid(), os.getppid()]
        case "family":
            return family()
        case "stdin":
            return [
                sys.stdin.read(),
                subprocess.run(["cat"], capture_output=True, text=True, check=True).stdout,
            ]
        case "print":
            print("to stderr", flush=True)
            subprocess.run(["echo", "also"], check=True)
        case "terminate":  # a program, and a fork without one
            program, fork = subprocess.Popen(["sleep", "600"]), forked()
            program.terminate()
            os.kill(fork, signal.SIGTERM)
            return [program.wait(), os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])]
        case "inherited":
            listing = subprocess.run(
                ["ls", "/proc/self/fd"], capture_output=True, text=True, close_fds=False, check=True
            )
            return listing.stdout.split()
        case "hang":
            time.sleep(600)
        case "leave a fork behind":
            forked()
            os._exit(3)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
    return message


def main() -> None:
    channel = open_channel()
    channel.send("ready")
    while (message := channel.receive()) is not None:
        channel.send(act(message))
