"""Rewards in processes of their own: the same scores as in this one, and every way to fail ends in one clear error."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mtgrpo.errors import RewardError, TaskError
from mtgrpo.tasks import Scoring, Task, TaskSet, each
from mtgrpo.tasks.scoring import reward_process
from mtgrpo.tasks.scoring.processes import Call, RewardProcesses
from mtgrpo.tasks.scoring.scorer import Item, Scorer

from . import slow_rewards

ROW = {"prompt": "p", "answer": "yes"}
APART = Scoring(num_processes=1)


def make(reward=slow_rewards.naughty, **scoring) -> Task:
    return Task("t", [ROW], [], reward, 1.0, scoring=Scoring(**{"num_processes": 1, **scoring}))


def items(*completions: str, index: int = 0, row=ROW) -> list[Item]:
    return [Item("t", row, index, text, index) for text in completions]


def scored(task: Task, *completions: str):
    scorer = Scorer(TaskSet(task))
    try:
        return scorer.score(items(*completions))
    finally:
        scorer.close()


@pytest.mark.parametrize(
    "reward",
    [slow_rewards.length, slow_rewards.exact, slow_rewards.one, each(slow_rewards.by_hand)],
)
def test_scores_are_those_of_this_process(reward):
    task = make(reward)
    texts = ["yes", "no", "", "\ud800 \x00 \u2028 ünï", "x" * 300_000]
    assert scored(task, *texts) == task.score([ROW] * 5, texts)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        ("raise", r"reward function .*naughty raised KeyError: 'answer'"),
        ("NaN", "returned nan"),
        ("None", "returned None"),
        ("too few", "1 value for 2 completions"),
        ("exit", "raised SystemExit"),
        ("die", r"its process ended in the middle of the call \(exit code 3\)"),
        ("crash", r"its process ended in the middle of the call \(signal 11\)"),
    ],
)
def test_failures_name_task_and_prompt(act, message):
    with pytest.raises(RewardError, match=rf"^task 't', prompts? 0.*{message}"):
        scored(make(), act, "fine")


@pytest.mark.parametrize("act", ["sleep", "sleep in C"])
def test_a_reward_that_hangs_is_stopped_and_the_next_call_is_fine(act):
    scorer = Scorer(TaskSet(make(timeout_s=0.5)))
    assert [s.reward for s in scorer.score(items("fine"))] == [1.0]  # the start does not count
    begin = time.monotonic()
    with pytest.raises(RewardError, match=r"task 't', prompt 7: no answer within timeout_s=0\.5 s"):
        scorer.score(items(act, index=7))
    assert (
        time.monotonic() - begin < 60.0
    )  # on a machine that does much else; the reward sleeps for 600 s
    assert [s.reward for s in scorer.score(items("fine"))] == [1.0]
    scorer.close()


def test_several_at_a_time_and_in_order():
    scorer = Scorer(TaskSet(make(num_processes=3)))
    groups = [
        items(act, "x", index=i) for i, act in enumerate(["nap", "pid", "nap", "pid", "fine"])
    ]
    scores = scorer.score([item for group in groups for item in group])
    assert [s.reward for s in scores[::2]][::2] == [1.0, 1.0, 1.0]
    assert os.getpid() not in {s.reward for s in scores}
    metrics = scorer.take_metrics()
    assert metrics["task/t/reward_time_s"] >= 0.6
    assert 0.3 <= metrics["task/t/reward_time_p95_s"] <= metrics["task/t/reward_time_s"]
    assert scorer.take_metrics() == {}
    scorer.close()


def test_what_a_reward_prints_does_not_get_between(capfd):
    assert [s.reward for s in scored(make(), "print", "x")] == [1.0, 1.0]
    assert "{" * 1000 in capfd.readouterr().err


def test_processes_end_with_their_owner_and_are_not_disturbed_by_ctrl_c():
    processes = RewardProcesses([make()])
    pid = int(processes.run([Call("t", ROW, ["pid"], 0)])[0].scores[0].reward)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    assert int(processes.run([Call("t", ROW, ["pid"], 0)])[0].scores[0].reward) == pid
    os.kill(pid, signal.SIGKILL)  # the system's memory killer, say
    assert processes.run([Call("t", ROW, ["fine"], 0)])[0].error == ""
    other = int(processes.run([Call("t", ROW, ["pid"], 0)])[0].scores[0].reward)
    assert other != pid
    del processes
    with pytest.raises(ProcessLookupError):
        os.kill(other, 0)


def test_a_process_killed_while_idle_costs_nothing():
    """Neither a score nor the call: whether the end is noticed before the call is sent or after it."""
    processes = RewardProcesses([make()])
    for delay_s in (0.0, 0.0, 0.001, 0.01, 0.1):
        pid = int(processes.run([Call("t", ROW, ["pid"], 0)])[0].scores[0].reward)
        os.kill(pid, signal.SIGKILL)
        time.sleep(delay_s)
    processes.close()


def test_a_process_that_never_takes_up_a_call_fails_it(monkeypatch):
    """Three processes that end before it, and no more."""
    monkeypatch.setattr(
        reward_process,
        "_CODE",
        "import os\n"
        "from mtgrpo.tasks.children.channel import open_channel\n"
        "channel = open_channel()\n"
        "channel.receive()\n"
        "channel.send({'ready': True})\n"
        "channel.receive()\n"
        "os.kill(os.getpid(), 9)\n",
    )
    with pytest.raises(
        RewardError,
        match=r"^task 't', prompt 0: its process ended before the call began \(signal 9\)",
    ):
        scored(make(), "fine")


def test_a_process_that_crashes_while_it_starts_ends_the_run(monkeypatch):
    monkeypatch.setattr(reward_process, "_CODE", "raise SystemExit(4)")
    with pytest.raises(
        TaskError, match=r"^task 't': its reward process ended while it started \(exit code 4\)"
    ):
        scored(make(), "fine")


# ---- what the reward starts --------------------------------------------------------------------------------
def test_programs_a_reward_starts_are_ordinary():
    assert [s.reward for s in scored(make(timeout_s=60), "run")] == [1.0]
    assert [s.reward for s in scored(make(timeout_s=60), "terminate")] == [-signal.SIGTERM]


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's help")
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("start", r"no answer within timeout_s=3 s; the call was stopped"),
        ("leave", r"its process ended in the middle of the call \(exit code 3\)"),
    ],
)
def test_programs_a_reward_started_end_with_its_process(how, message, tmp_path):
    begin = time.monotonic()
    with pytest.raises(RewardError, match=f"^task 't', prompt 0: {message}"):
        scored(make(timeout_s=3), f"{how} {tmp_path}/pid")
    assert time.monotonic() - begin < 60.0  # the program sleeps for 600 s

    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_each_completion_has_a_row_of_its_own_there_too():
    row = {"prompt": "p", "numbers": [3, 4]}
    scorer = Scorer(TaskSet(Task("t", [row], [], slow_rewards.uses_up, 1.0, scoring=APART)))
    for _ in range(2):
        scores = scorer.score(items("3+4", "4+3", row=row))
        assert [score.accuracy for score in scores] == [1.0, 1.0]
    scorer.close()
    assert row == {"prompt": "p", "numbers": [3, 4]}


OWNER = """
import sys
from mtgrpo.tasks import Scoring, Task, TaskSet
from mtgrpo.tasks.scoring.scorer import Item, Scorer
from tests.tasks.scoring import slow_rewards
row = {"prompt": "p"}
scorer = Scorer(TaskSet(Task("t", [row], [], slow_rewards.naughty, scoring=Scoring(num_processes=1))))
print(int(scorer.score([Item("t", row, 0, "pid", 0)])[0].reward), flush=True)
scorer.score([Item("t", row, 0, "sleep in C", 0)])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's parent-death signal")
def test_processes_of_a_killed_trainer_die_in_the_middle_of_a_call():
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail("the reward process is still there")


def test_rewards_that_only_exist_here_are_refused_at_once():
    for reward in (lambda **columns: [], each(lambda text, row: 0.0)):
        with pytest.raises(
            TaskError, match=r"another process cannot import.*at the top of a module"
        ):
            Scorer(TaskSet(make(reward)))


def test_rows_that_json_cannot_hold_are_refused():
    scorer = Scorer(TaskSet(make()))
    with pytest.raises(
        TaskError, match=r"task 't', prompt 3: the row cannot be sent.*a object.*num_processes: 0"
    ):
        scorer.score(items("x", index=3, row={"prompt": "p", "environment": object()}))
    scorer.close()


def test_keys_that_json_would_make_texts_of_are_refused():
    scorer = Scorer(TaskSet(make()))
    with pytest.raises(TaskError, match=r"prompt 3: the row cannot be sent.*the key 1 is no text"):
        scorer.score(items("x", index=3, row={"prompt": "p", "moves": [{1: "a"}]}))
    scorer.close()
