"""prime-rl's source, curriculum, sink and GRPO around the recipe; episodes of ours, finishing in any order."""

from __future__ import annotations

import asyncio
import heapq
import random
import sys
import types
import uuid
from collections import Counter
from types import SimpleNamespace as Namespace
from typing import Any

import pytest

from tests.test_engines_page import Engine

train_sink = pytest.importorskip(
    "prime_rl.orchestrator.train_sink", reason="prime-rl is not installed"
)

ACCEPTED = {"fast": 0.5, "slow": 0.25, "rare": 0.1}
LATENCY = {"fast": 1.0, "slow": 8.0, "rare": 4.0}
GROUP, BATCHES, MAX_OFF_POLICY = 8, 12, 8


class Envs(list[Any]):
    def get(self, name: str) -> Any:
        return next(env for env in self if env.name == name)


@pytest.fixture
def recipe(monkeypatch):
    import prime_rl.orchestrator as orchestrator
    import verifiers.v1 as vf

    # Only its class to replace and its main() are needed; the module itself loads the whole server.
    for name, members in (
        ("prime_rl.orchestrator.orchestrator", {}),
        ("prime_rl.entrypoints.orchestrator", {"main": lambda: None}),
    ):
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(
        orchestrator,
        "orchestrator",
        sys.modules["prime_rl.orchestrator.orchestrator"],
        raising=False,
    )
    monkeypatch.setattr(vf.Branch, "multi_modal_data", property(lambda self: None), raising=False)
    return Engine(monkeypatch).run("prime-rl")


def make_episode(env: str, task: Any, group: str, reward: float, *, fails: bool, version: int):
    import verifiers.v1 as vf

    trace = vf.Trace(
        task=vf.TraceTask(type="Task", data=task.data, key=task.key, hash=task.hash),
        agent=vf.AgentInfo(config=vf.AgentConfig()),
        nodes=[
            vf.MessageNode(
                message=vf.UserMessage(content="q"),
                token_ids=[1, 2],
                mask=[False, False],
                sampled=False,
            ),
            vf.MessageNode(
                parent=0,
                message=vf.AssistantMessage(content="a"),
                token_ids=[3, 4],
                mask=[True, True],
                logprobs=[0.0, 0.0],
                sampled=True,
            ),
        ],
        rewards={"reward": vf.Reward(score=reward)},
        ok=not fails,
        errors=[vf.Error(type="X", message="y")] if fails else [],
    )
    return vf.Episode(
        env=vf.EnvInfo(id=env, name=env),
        task=trace.task,
        group=vf.GroupInfo(id=group),
        traces=[trace],
        run=vf.TrainRunInfo(
            id="r",
            work=vf.TrainWorkInfo(step=1, policy=vf.PolicySpan(start=version, end=version)),
        ),
    )


@pytest.mark.parametrize("trouble", [0.0, 0.02], ids=["calm", "errors and cancellations"])
def test_every_batch_that_prime_rl_ships_has_the_mixers_shares(recipe, trouble):
    import verifiers.v1 as vf
    from prime_rl.orchestrator.algo.grpo import GRPOAlgorithm
    from prime_rl.orchestrator.types import GroupCancellation, Progress

    dice = random.Random(0)
    rows = {
        env: [vf.Task(vf.TaskData(idx=i, prompt=f"{env} {i}")) for i in range(100)]
        for env in ACCEPTED
    }
    envs = Envs(
        Namespace(
            name=env,
            tasks=rows[env],
            num_tasks=100,
            config=Namespace(ratio=1.0, curriculum=None, group_size=GROUP),
            algorithm=GRPOAlgorithm(Namespace(length_penalty=None), None),
            sampling_args={"temperature": 1.0},
        )
        for env in ACCEPTED
    )
    source = recipe["TaskTrainSource"](envs)
    progress = Progress(step=1)
    config = Namespace(
        max_off_policy_steps=MAX_OFF_POLICY,
        train=Namespace(filter_zero_advantages=True),
        seq_len=128,
    )
    sink = train_sink.TrainSink(
        config,
        tokenizer=None,
        train_envs=envs,
        mm_token_type_ids_mapping=None,
        progress=progress,
        batch_size=recipe["BATCH_SIZE"] * GROUP,
        token_batch_size=None,
        on_result=source.on_result,
    )
    shipped, quotas, failed = [], {}, 0.0

    def ship(batch: Any) -> None:
        nonlocal failed
        cohort = batch.cohort.episodes if hasattr(batch.cohort, "episodes") else batch.cohort
        shipped.append(Counter(episode.env.name for episode in cohort for _ in episode.traces))
        failed += source.metrics().get("sampler/failed", 0.0)
        progress.step += 1

    async def roll_out() -> None:
        now, number, running = 0.0, 0, []
        while len(shipped) < BATCHES:
            while len(running) < recipe["MAX_IN_FLIGHT"]:
                request = source.next_task(step=progress.step)
                quotas[source.ledger.mixer.step] = dict(source.ledger.batch.quotas)
                number += 1
                done = now + LATENCY[request.env_name] * dice.lognormvariate(0, 0.6)
                heapq.heappush(running, (done, number, request, progress.step - 1))

            now, _, request, version = heapq.heappop(running)
            group, env = str(uuid.uuid4()), request.env_name
            is_stale = progress.step - 1 - version > MAX_OFF_POLICY
            if is_stale or dice.random() < trouble:
                cancelled = GroupCancellation(
                    kind="train", env_name=env, group_id=group, count=GROUP, reason="stale"
                )
                batch = await sink.cancel(cancelled)
                if batch is not None:
                    ship(batch)
                continue

            informs = dice.random() < ACCEPTED[env]
            for i in range(GROUP):
                fails = dice.random() < trouble / 4
                reward = float(informs and i == 0)
                batch = await sink.add(
                    make_episode(env, request.task, group, reward, fails=fails, version=version)
                )
                if batch is not None:
                    ship(batch)

    asyncio.run(roll_out())
    for step, counts in enumerate(shipped):
        assert counts == {env: n * GROUP for env, n in quotas[step].items() if n}, step
    assert (failed > 0) == (trouble > 0)
    assert len(source.ledger.missing) <= recipe["MAX_IN_FLIGHT"]
    assert len(source.ledger.arrived) <= 2 * recipe["BATCH_SIZE"]
