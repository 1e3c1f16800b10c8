"""Tasks of verifiers' tasksets. Most of it needs verifiers (`make test-vllm` has it)."""

import importlib.util

import pytest

from mtgrpo.errors import MissingExtra, TaskError
from mtgrpo.tasks import build_task, kinds
from mtgrpo.tasks.sources import verifiers as source
from mtgrpo.tasks.sources.verifiers import verifiers_task

needs_verifiers = pytest.mark.skipif(
    importlib.util.find_spec("verifiers") is None, reason="verifiers is not installed"
)


def sums(**changes):
    import verifiers.v1 as vf

    class Data(vf.TaskData):
        total: int

    class Sum(vf.Task[Data]):
        @vf.reward
        async def right(self, trace) -> float:
            return float(trace.last_reply.strip() == str(self.data.total))

    class Boxed(Sum):
        NEEDS_CONTAINER = True

    class Ran(vf.Task[Data]):
        @vf.reward
        async def ran(self, trace, runtime) -> float:
            return 1.0

    class Sums(vf.Taskset):
        INFINITE = changes.get("infinite", False)

        def load(self):
            kind = {"container": Boxed, "runtime": Ran}.get(changes.get("needs"), Sum)
            for a in range(4):
                for b in range(3):
                    prompt = changes.get("prompt", f"{a}+{b}=")
                    yield kind(Data(prompt=prompt, system_prompt="Add.", total=a + b))

    return Sums(vf.TasksetConfig(id="sums"))


def test_a_missing_verifiers_is_one_line(monkeypatch):
    monkeypatch.setattr(source, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="verifiers is not installed; install it") as caught:
        build_task({"verifiers": "gsm8k_v1"}, "here")
    assert "\n" not in str(caught.value)


def test_the_kind_is_listed():
    assert "verifiers" in kinds()


@needs_verifiers
def test_rows_are_the_tasksets_and_its_reward_scores_them():
    task = verifiers_task(sums(), "sums", num_test=3, correct_at=1.0)
    assert [len(task.train), len(task.test)] == [9, 3]
    assert task.train[0]["prompt"] == [
        {"role": "system", "content": "Add."},
        {"role": "user", "content": "1+0="},
    ]
    rows = [task.train[0], task.train[0], task.train[4]]
    said = ["1", [{"role": "assistant", "content": "2"}], "3"]
    assert [score.reward for score in task.score(rows, said)] == [1.0, 0.0, 1.0]
    assert [score.accuracy for score in task.score(rows, said)] == [1.0, 0.0, 1.0]


@needs_verifiers
def test_prompts_may_be_texts():
    assert verifiers_task(sums(), "sums", chat=False).train[0]["prompt"] == "Add.\n\n0+0="


@needs_verifiers
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"needs": "container"}, "it needs a container"),
        ({"needs": "runtime"}, "a runtime for its reward 'ran'"),
        ({"infinite": True}, "num_train is needed"),
        ({"prompt": None}, "it has no prompt"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(changes, message):
    with pytest.raises(TaskError, match=message):
        verifiers_task(sums(**changes), "sums")


@needs_verifiers
def test_rows_to_train_on_must_be_left():
    with pytest.raises(TaskError, match="none is left to train on"):
        verifiers_task(sums(), "sums", num_test=12)


@needs_verifiers
def test_a_taskset_that_is_not_installed_is_one_line():
    with pytest.raises(MissingExtra, match="looks for a module 'no_such_thing'"):
        build_task({"verifiers": "somebody/no-such-thing"}, "here")
