"""One seed, one run of decisions, on one process and on two; processes that differ stop and say in what."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mtgrpo.errors import StateError
from mtgrpo.integrations.trl.agreement import check_agreement, difference, digest


def run(what, processes, model_path, folder):
    """What each process of decisions.py found."""
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", f"{processes}", "--standalone"]
    script = Path(__file__).with_name("decisions.py")
    done = subprocess.run(
        [sys.executable, *(launcher if processes > 1 else []), script, model_path, folder, what],
        capture_output=True,
        text=True,
        timeout=400,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [
        json.loads((folder / f"result-{process}.json").read_text()) for process in range(processes)
    ]


@pytest.mark.slow
def test_one_and_two_processes_decide_alike_for_fifty_steps(model_path, tmp_path):
    (alone,) = run("decisions", 1, model_path, tmp_path / "one")
    first, second = run("decisions", 2, model_path, tmp_path / "two")
    assert first == second
    assert len(alone["shares"]) == 50
    for step, (one, two) in enumerate(zip(alone["shares"], first["shares"], strict=True)):
        assert one == two, step
    assert alone["anything"] == first["anything"]
    assert alone["one round"] == first["one round"]
    assert alone["owed"] == first["owed"]
    assert any(alone["owed"].values())
    # The comparison is worth something: weights moved, rounds differed, and two processes generated more than was used.
    weights = [step[0]["hard"] for step in alone["shares"]]
    assert max(weights) - min(weights) > 0.1
    assert len({json.dumps(step[2]) for step in alone["shares"]}) > 10
    assert alone["discarded"] == 0 < first["discarded"]


@pytest.mark.slow
def test_processes_that_differ_stop_and_show_both(model_path, tmp_path):
    first, second = run("disturbed", 2, model_path, tmp_path)
    assert first == second, "both processes stop, and say the same"
    assert {step for step, _ in first.values()} == {2}
    for name, pattern in {
        "drift": "prompts to roll out): weights[0] is 0.",
        "skip_a_prompt": "prompts to roll out): prompts[",
        "leave_one_out": "groups to train on): groups",
    }.items():
        message = first[name][1]
        assert message.startswith("mixer: processes 0 and 1 decided differently (the " + pattern)
        assert " on process 0, " in message
        assert " on process 1; give every process the same" in message


def test_a_digest_sees_every_bit():
    decision = {"step": 3, "weights": np.array([0.25, 0.75]), "request": {"a": 3}}
    assert digest(decision) == digest(dict(reversed(decision.items())))
    for change in (
        {"weights": np.array([0.25, np.nextafter(0.75, 1)])},
        {"request": {"a": 4}},
        {"request": {"b": 3}},
        {"step": 4},
    ):
        assert digest(decision | change) != digest(decision)
    assert all(-(2**63) <= word < 2**63 for word in digest(decision))


def test_a_difference_is_found_where_it_is():
    one = {"step": 3, "prompts": [["easy", 4], ["hard", 7]], "request": {"easy": 1, "hard": 1}}
    assert difference(one, {**one, "prompts": [["easy", 4], ["hard", 9]]}) == (
        "prompts[1][1]",
        "7",
        "9",
    )
    assert difference(one, {**one, "request": {"easy": 1}}) == ("request.hard", "1", "null")
    name, first, second = difference({"prompts": list(range(999))}, {"prompts": list(range(998))})
    assert name == "prompts"
    assert first.endswith("... (4885 characters)")
    assert second.startswith("[0, 1, 2")


def test_a_process_alone_agrees_with_itself():
    class Alone:
        num_processes = 1

    check_agreement(Alone(), "anything", {"weights": np.zeros(2)})


def test_the_error_names_the_process_that_differs(monkeypatch):
    torch = pytest.importorskip("torch")

    class Three:
        num_processes, device = 3, "cpu"

        def gather(self, own):
            return torch.cat([own, own, own + 1])

    decisions = [{"step": 1}, {"step": 1}, {"step": 2}]
    monkeypatch.setattr("mtgrpo.integrations.trl.agreement.gather_object", lambda own: decisions)
    with pytest.raises(
        StateError,
        match=r"processes 0 and 2 .* \(prompts\): step is 1 on process 0, 2 on process 2",
    ):
        check_agreement(Three(), "prompts", {"step": 1})
