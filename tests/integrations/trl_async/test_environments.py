"""Environments and tools in TRL's own loop; what the server would say is made up."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("trl")

import trl
from accelerate import PartialState

from mtgrpo import Method, RatioPreservingSampler, Uniform
from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.prompts import PromptStream
from mtgrpo.errors import ConfigError, RewardError
from mtgrpo.integrations.trl_async import loop as loop_module
from mtgrpo.integrations.trl_async.batches import BatchMaker
from mtgrpo.integrations.trl_async.checks import check_environments
from mtgrpo.integrations.trl_async.environments import Environments
from mtgrpo.tasks import Scoring, Task, TaskSet

from ..trl.toy import make_tokenizer
from .test_seam import installed_has_it

pytestmark = pytest.mark.skipif(
    not installed_has_it(), reason="written for another TRL than the installed one"
)

GROUP, BATCH = 2, 4
CALL = (
    '<think>\n\n</think>\n\n<tool_call>\n{"name": "%s", "arguments": {"times": %d}}\n</tool_call>'
)


class Room:
    """Pays for what was knocked."""

    num_made = 0

    def __init__(self):
        type(self).num_made += 1

    def reset(self, secret, **row):
        assert "environment" not in row
        self.secret, self.knocks = secret, 0
        return f" secret {secret}"

    def knock(self, times: int) -> str:
        """Knock.

        Args:
            times: How often.
        """
        self.knocks += times
        return f"{self.secret} knocked"

    def get_reward(self) -> float:
        return 10.0 + self.knocks


class Garden:
    """Has a tool of another name, and leaves its reward to the task."""

    def reset(self, secret, **row):
        self.secret, self.flowers = secret, 0

    async def water(self, times: int) -> str:
        """Water the flowers.

        Args:
            times: How often.
        """
        self.flowers += times
        return "wet"


FACTORY = {"room": Room, "garden": Garden}


def chat(name: str, environment: str, reward, **more) -> Task:
    rows = [
        {
            "prompt": [{"role": "user", "content": f"{name}:"}],
            "environment": environment,
            "secret": f"{name}{i}",
        }
        for i in range(40)
    ]
    return Task(name, rows, [], reward, **more)


def pays_room(completions, environments, secret, prompts, **columns):
    assert [one.secret for one in environments] == secret
    assert all(
        prompt[-1]["content"].endswith(one.secret)
        for prompt, one in zip(prompts, environments, strict=True)
    )
    return [0.0] * len(completions)


def pays_garden(completions, environments, secret, **columns):
    assert [one.secret for one in environments] == secret
    return [float(one.flowers) for one in environments]


def two_tasks(**more) -> TaskSet:
    return TaskSet(
        chat("in", "room", pays_room, **more), chat("out", "garden", pays_garden, **more)
    )


class Said:
    """The model: calls its prompt's tool a number of times that grows, then says that it is done."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer, self.count, self.turns = tokenizer, 0, Counter()

    async def __call__(self, prompt_ids):
        text = self.tokenizer.decode(prompt_ids)
        await asyncio.sleep(0)
        if "<tool_response>" in text:
            said = "<think>\n\n</think>\n\ndone<|im_end|>"
        else:
            self.count += 1
            tool = "knock" if '"knock"' in text else "water"
            assert ('"water"' in text) != ('"knock"' in text)  # those of its own environment
            said = CALL % (tool, self.count % 3) + "<|im_end|>"
        ids = self.tokenizer(said)["input_ids"]
        self.turns[said] += 1
        return ids, [-1.0] * len(ids)


def chat_tokenizer():
    tokenizer = make_tokenizer()
    folder = Path(trl.__file__).parent / "chat_templates"
    tokenizer.chat_template = (folder / "qwen3.jinja").read_text()
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    return tokenizer


def make_loop(tasks, environments, *, method=None, timeout=None):
    from mtgrpo.integrations.trl_async.loop import MultiTaskRolloutLoop
    from mtgrpo.tasks.scoring.scorer import Scorer

    method = method or Method(Uniform(), RatioPreservingSampler(group_filter="none"))
    mixer = method.make_mixer(tasks.trained, batch_size=BATCH, seed=0)
    streams = {task.name: PromptStream(task.name, len(task.train), 0) for task in tasks}
    batches = BatchMaker(
        RolloutLedger(mixer, streams),
        dict.fromkeys(tasks.trained, 8),
        group_size=GROUP,
        rows_at_once=BATCH * GROUP,
        scale_loss=method.loss_shares,
        version_at=lambda step: 0,
    )
    PartialState()  # TRL's log wants it
    tokenizer = chat_tokenizer()
    loop = MultiTaskRolloutLoop(
        batches=batches,
        tasks=tasks,
        scorer=Scorer(tasks),
        environments=environments,
        rollout_timeout=timeout,
        model_name="none",
        dataset=[],
        reward_funcs=[],
        processing_class=tokenizer,
        eos_token_ids=[tokenizer.eos_token_id],
        rollout_buffer=queue.Queue(),
        model_version_value=SimpleNamespace(value=0),
        heartbeat_value=SimpleNamespace(value=0.0),
        failed_event=threading.Event(),
        exception_info_queue=queue.Queue(1),
        metrics_queue=queue.Queue(),
        num_generations=GROUP,
        max_inflight_tasks=8,
    )
    loop._generate_one_turn = Said(tokenizer)
    return loop


def run(loop, steps: int) -> list[list]:
    """The samples of some steps, as the trainer would fetch them."""
    fetched = []

    async def fetch():
        while len(fetched) < steps * BATCH * GROUP:
            if loop.rollout_buffer.empty():
                await asyncio.sleep(0.001)
            else:
                fetched.append(loop.rollout_buffer.get())
        loop._stop_event.set()

    async def everything():
        stop = loop._stop_event
        parts = (loop._generate_loop(stop), loop._score_loop(stop), fetch())
        tasks = [asyncio.ensure_future(part) for part in parts]
        done, others = await asyncio.wait(tasks, timeout=60, return_when=asyncio.FIRST_EXCEPTION)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for task in done:
            task.result()
        assert not others

    try:
        loop._loop.run_until_complete(everything())
    finally:
        loop._loop.close()
    size = BATCH * GROUP
    return [fetched[start : start + size] for start in range(0, len(fetched), size)]


def test_each_task_plays_in_its_own_environment_and_shares_count_trained_tokens_alone():
    Room.num_made = 0
    method = Method(Uniform(), OneRoundSampler(), loss_shares=True)
    loop = make_loop(two_tasks(), Environments(FACTORY), method=method)
    steps = run(loop, 12)

    for number, samples in list(enumerate(steps, start=1))[-8:]:
        masses = Counter()
        for sample in samples:
            mask = sample.completion_mask.astype(bool)
            trained = loop.tokenizer.decode(sample.input_ids[mask])
            assert trained.startswith(CALL[:30])
            assert trained.endswith("done<|im_end|>")
            assert "knocked" not in trained
            assert "wet" not in trained
            is_room = "knock" in trained
            assert ("knocked" in loop.tokenizer.decode(sample.input_ids)) == is_room
            assert all((sample.old_log_probs == -1.0) == mask)
            if is_room:
                assert sample.metrics["reward"] in (10.0, 11.0, 12.0)
            if any(s.advantage for s in samples if s.group_id == sample.group_id):
                masses["in" if is_room else "out"] += mask.sum()

        metrics = loop.batches.metrics(number)
        for name in ("in", "out"):
            share = masses[name] / masses.total()
            assert metrics[f"task/{name}/loss_share_unscaled"] == pytest.approx(share)
    assert Room.num_made <= 24  # of 48 episodes and more: environments play again
    assert loop._rows.keys() == loop._tickets.keys()


def test_what_an_environment_raises_costs_its_group_and_not_the_run(caplog):
    class Broken(Room):
        def reset(self, secret, **row):
            if secret in ("in31", "in15"):
                raise SystemExit("lost the key")
            return super().reset(secret, **row)

        def get_reward(self):
            if self.secret == "in21":
                raise ValueError("no purse")
            return super().get_reward()

    loop = make_loop(two_tasks(), Environments({"room": Broken, "garden": Garden}))
    steps = run(loop, 6)
    for samples in steps:
        in_room = Counter("knock" in loop.tokenizer.decode(s.input_ids) for s in samples)
        assert in_room == {True: 4, False: 4}  # Uniform's shares, whatever failed
    assert "given up: RuntimeError: SystemExit: lost the key" in caplog.text
    assert "given up: ValueError: no purse" in caplog.text
    failed = sum(loop.batches.metrics(step)["task/in/failed"] for step in range(1, 7))
    assert failed >= 2


class Gone(BaseException):
    """What no environment should raise."""


@pytest.mark.parametrize("error", [ValueError, TimeoutError, Gone])
def test_an_environment_that_always_raises_ends_the_run_with_a_message(error):
    class Closed(Room):
        def reset(self, secret, **row):
            raise error("closed")

    loop = make_loop(two_tasks(), Environments({"room": Closed, "garden": Garden}))
    with pytest.raises(RewardError, match="failed"):
        run(loop, 1)


def test_environments_that_hang_in_every_group_end_the_run_with_a_message(monkeypatch):
    monkeypatch.setattr(loop_module, "MOST_TIMED_OUT", 6)
    released = threading.Event()
    begun = []

    class Stuck(Room):
        def reset(self, secret, **row):
            begun.append(secret)
            if begun.count(secret) == GROUP:  # one completion of each group
                released.wait(60)
            return super().reset(secret, **row)

    loop = make_loop(two_tasks(), Environments({"room": Stuck, "garden": Garden}), timeout=0.2)
    try:
        with pytest.raises(
            RewardError, match=r"last \d groups, of all tasks, .*rollout_timeout=0\.2 s"
        ):
            run(loop, 1)
    finally:
        released.set()


def test_one_stall_of_all_that_is_in_flight_does_not_end_the_run(monkeypatch):
    monkeypatch.setattr(loop_module, "MOST_TIMED_OUT", 1)
    loop = make_loop(two_tasks(), Environments({"room": Room, "garden": Garden}), timeout=0.5)
    turn, stalled = loop._generate_one_turn, []

    async def slow_at_first(prompt_ids, *arguments, **options):
        if len(stalled) < 8:  # as many completions as are in flight
            stalled.append(prompt_ids)
            await asyncio.sleep(60)
        return await turn(prompt_ids, *arguments, **options)

    loop._generate_one_turn = slow_at_first
    assert len(run(loop, 2)) == 2
    assert len(stalled) == 8


def test_tools_are_known_while_all_environments_play():
    environments = Environments({"room": Room, "garden": Garden})
    names = [tool.__name__ for tool in environments.all_tools]
    environments._free.clear()
    assert names
    assert [tool.__name__ for tool in environments.all_tools] == names


def test_a_tool_that_hangs_is_left_behind_with_its_environment(caplog):
    released = threading.Event()
    hung = []

    class Stuck(Room):
        def knock(self, times: int) -> str:
            """Knock.

            Args:
                times: How often.
            """
            if self.secret.endswith("3") and not hung:
                hung.append(self)
                released.wait(60)
            assert self not in hung
            return super().knock(times)

    loop = make_loop(two_tasks(), Environments({"room": Stuck, "garden": Garden}), timeout=1.0)
    start = time.monotonic()
    try:
        assert len(run(loop, 8)) == 8
        loop._tool_pool.shutdown(wait=True)
        assert time.monotonic() - start < 30  # it waits for no thread of the user's
    finally:
        released.set()
    assert hung
    assert "given up: no completion within 1 s" in caplog.text


@pytest.mark.parametrize("on_error", ["fail", "drop"])
def test_a_reward_of_an_environment_that_cannot_be_trained_on(on_error):
    class Rich(Room):
        def get_reward(self):
            return float("inf") if self.secret in ("in1", "in2") else super().get_reward()

    tasks = two_tasks(scoring=Scoring(on_error=on_error))
    loop = make_loop(tasks, Environments({"room": Rich, "garden": Garden}))
    if on_error == "fail":
        with pytest.raises(RewardError, match=r"task 'in', prompt [12]: get_reward .* inf"):
            run(loop, 10)
    else:
        assert len(run(loop, 10)) == 10


def test_tools_are_for_all_tasks_without_environments():
    def knock(times: int) -> str:
        """Knock.

        Args:
            times: How often.
        """
        return "knocked"

    def reward(completions, **columns):
        assert "environments" not in columns
        return [float(len(c)) for c in completions]

    loop = make_loop(TaskSet(chat("in", "room", reward)), Environments(tools=[knock]))
    (samples,) = run(loop, 1)
    assert {sample.metrics["reward"] for sample in samples} == {3.0}  # call, answer, done
    assert {sample.metrics["tools/call_frequency"] for sample in samples} == {1.0}


class NoReset:
    pass


def test_what_has_no_reset_is_refused():
    with pytest.raises(ConfigError, match="NoReset has no method 'reset'"):
        Environments(NoReset)


class Waiting(Room):
    async def reset(self, secret, **row):
        return "later"


def test_a_reset_that_must_be_waited_for_is_refused():
    refused = r"Waiting\.reset is async, but nothing waits for it; make it a plain method"
    tasks = TaskSet(chat("in", "room", lambda **_: [1.0]))
    for given, place in ((Waiting, ""), ({"room": Room, "late": Waiting}, r"\['late'\]")):
        with pytest.raises(ConfigError, match=rf"environment_factory{place}: {refused}"):
            check_environments(given, [], tasks)
    with pytest.raises(ConfigError, match=refused):
        Environments(lambda: Waiting())


class Untyped(Room):
    def open(self, times):
        """Open."""


def test_methods_that_a_model_cannot_be_told_of_are_refused():
    with pytest.raises(ConfigError, match=r"Untyped\.open cannot be described to the model"):
        Environments(Untyped)


def untyped(times):
    """Knock."""


def knock(times: int) -> str:
    """Knock, as `Room.knock` does.

    Args:
        times: How often.
    """
    return "?" * times


def test_a_tool_called_as_a_method_of_an_environment_is_refused():
    with pytest.raises(ConfigError, match=r"methods of Room: two functions are called 'knock'"):
        Environments(Room, [knock])


@pytest.mark.parametrize(
    ("factory", "tools", "message"),
    [
        ({"room": Room}, (), "task 'out', train row 0: unknown environment 'garden'"),
        ({}, (), "an empty mapping"),
        (3, (), "environment_factory is a int; a class is needed"),
        (None, [untyped], r"tools\[0\]: untyped cannot be described to the model"),
        (None, [knock, knock], "tools: two functions are called 'knock'"),
    ],
)
def test_environments_and_tools_that_cannot_be_used_are_refused(factory, tools, message):
    with pytest.raises(ConfigError, match=message):
        check_environments(factory, tools, two_tasks())


def test_texts_are_refused_beside_environments():
    texts = TaskSet(Task("sum", [{"prompt": "1+1="}], [], lambda **_: [1.0]))
    with pytest.raises(ConfigError, match="environment_factory: the prompts are texts"):
        check_environments(Room, (), texts)
    check_environments(None, (), texts)
