"""The recipes of docs/engines.md, executed as they stand there against stand-ins for the engines.

A stand-in has the names, arguments and shapes of the engine's source at the version the page names, and nothing else.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import random
import re
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mtgrpo import Group
from mtgrpo.core.advantages import group_advantages
from mtgrpo.core.weightings import Fixed

PAGE = (Path(__file__).parents[1] / "docs" / "engines.md").read_text(encoding="utf-8")
ACCEPTED = {"easy": 0.9, "hard": 0.3}
BATCH, SIZE, STEPS = 8, 4, 12


def block(heading: str) -> str:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)[0]


def rewards(task: str, dice: random.Random) -> list[float]:
    """Of one group: informative as often as the task's rate says."""
    return [1.0, *[0.0] * (SIZE - 1)] if dice.random() < ACCEPTED[task] else [0.0] * SIZE


class Engine:
    """Modules of that name for the length of a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.add("rows", **self.run("Rows and mixer"))

    def add(self, name: str, **members: Any) -> None:
        parts = name.split(".")
        for i in range(1, len(parts) + 1):
            path = ".".join(parts[:i])
            if path not in sys.modules:
                module = types.ModuleType(path)
                module.__path__ = []
                self.monkeypatch.setitem(sys.modules, path, module)
                if i > 1:
                    setattr(sys.modules[".".join(parts[: i - 1])], parts[i - 1], module)
        vars(sys.modules[name]).update(members)

    def run(self, heading: str) -> dict[str, Any]:
        namespace: dict[str, Any] = {"__name__": "recipe"}
        exec(compile(block(heading), f"docs/engines.md: {heading}", "exec"), namespace)
        return namespace


@pytest.fixture
def engine(monkeypatch):
    return Engine(monkeypatch)


def exact(groups: Counter[str], mixer: Any) -> bool:
    return groups == {task: n for task, n in mixer.report.quotas.items() if n}


def test_group_size_per_task(engine):
    recipe = engine.run("Group size per task")
    sizes, dice, numbers = {"easy": 2, "hard": 16}, random.Random(0), itertools.count()

    def rollout(task: str, size: int) -> Group:
        is_mixed = dice.random() < ACCEPTED[task]
        rewards = [1.0, *[0.0] * (size - 1)] if is_mixed else [0.0] * size
        return Group.verified(task, rewards, uid=next(numbers))

    weights = {"easy": 0.5, "hard": 0.5}
    mixer = recipe["make_mixer"](list(sizes), 128, Fixed(weights))
    generated, had = [], Counter[str]()
    for _ in range(200):
        before = mixer.num_rollouts
        rows = recipe["training_batch"](mixer, rollout, sizes)
        loss = Counter[str]()
        for group, advantages in rows:
            factor = advantages[0] / group_advantages(group.rewards)[0]
            loss[group.task] += factor * len(advantages)
        total = sum(loss.values())
        for (
            task,
            share,
        ) in mixer.batch.loss_shares.items():  # what a few groups cannot carry is owed
            assert loss[task] / total == pytest.approx(share)
            had[task] += share / 200
        mixer.update()
        generated.append(mixer.num_rollouts - before)

    # Two informative groups a step are few: the task lacks a twentieth of its share.
    assert had == pytest.approx(weights, abs=0.03)
    assert sum(generated[5:]) / len(generated[5:]) == pytest.approx(128, rel=0.05)


def test_an_engine_that_fetches_by_itself(engine):
    class Workers:
        def __init__(self) -> None:
            self.running: list[tuple[int, str]] = []
            self.dice, self.trained = random.Random(1), Counter[str]()

        @property
        def is_idle(self) -> bool:
            return len(self.running) < 40

        def submit(self, number: int, row: str) -> None:
            self.running.append((number, row))

        def next_finished(self) -> tuple[int, str | None, list[float] | None]:
            number, task = self.running.pop(self.dice.randrange(len(self.running)))
            if self.dice.random() < 0.05:
                return number, None, None
            return number, task, rewards(task, self.dice)

        def train(self, batch: list[str]) -> None:
            self.trained = Counter(batch)

    workers = Workers()
    steps = engine.run("An engine that fetches by itself")["train"](
        workers, {task: [task] * 5 for task in ACCEPTED}, BATCH
    )
    for _ in range(STEPS):
        metrics = next(steps)
        assert metrics["sampler/shares_met"] == 1.0
        assert sum(workers.trained.values()) == BATCH
        for task in ACCEPTED:
            assert workers.trained[task] / BATCH == metrics[f"task/{task}/realized_ratio"]


def test_slime(engine, tmp_path):
    @dataclasses.dataclass
    class Sample:
        metadata: dict[str, str]
        group_index: int | None = None
        index: int | None = None
        reward: float | None = None

        def get_reward_value(self, args: Any) -> float:
            assert self.reward is not None
            return self.reward

    class RolloutDataSource:
        def __init__(self, args: Any) -> None:
            self.args, self.sample_group_index, self.sample_index = args, 0, 0
            self.dataset = types.SimpleNamespace(
                samples=[Sample({"task": t}) for t in ACCEPTED for _ in range(5)]
            )

        def save(self, rollout_id: int) -> None: ...

        def load(self, rollout_id: int | None = None) -> None: ...

    @dataclasses.dataclass
    class RolloutFnTrainOutput:
        samples: list[list[Sample]]
        metrics: dict[str, Any] | None = None

    async def generate_and_rm_group(
        args: Any, group: list[Sample], sampling_params: dict[str, Any]
    ) -> list[Sample] | list[list[Sample]]:
        for sample, reward in zip(group, rewards(group[0].metadata["task"], dice), strict=True):
            sample.reward = reward
        if dice.random() < 0.5:
            return group
        # A custom generate function may split a rollout into several samples.
        return [[Sample(sample.metadata, reward=0.0), sample] for sample in group]

    async def eval_rollout(args: Any, rollout_id: int) -> tuple[str, list[Any]]:
        return "evaluated", []

    dice = random.Random(1)
    engine.add("slime.rollout.base_types", RolloutFnTrainOutput=RolloutFnTrainOutput)
    engine.add("slime.rollout.data_source", RolloutDataSource=RolloutDataSource)
    engine.add(
        "slime.rollout.sglang_rollout",
        GenerateState=lambda args: types.SimpleNamespace(sampling_params={"temperature": 1.0}),
        eval_rollout=eval_rollout,
        generate_and_rm_group=generate_and_rm_group,
    )
    engine.add("slime.utils.async_utils", run=asyncio.run)
    recipe = engine.run("slime")
    args = types.SimpleNamespace(
        rollout_batch_size=BATCH,
        rollout_seed=0,
        n_samples_per_prompt=SIZE,
        save=str(tmp_path),
        load=None,
    )
    source = recipe["TaskSource"](args)
    for step in range(STEPS):
        output = recipe["generate_rollout"](args, step, source)
        assert all(len(group) == SIZE for group in output.samples)
        whole = [[s[-1] if isinstance(s, list) else s for s in group] for group in output.samples]
        assert exact(Counter(group[0].metadata["task"] for group in whole), source.rows.mixer)
        assert len({sample.index for group in whole for sample in group}) == BATCH * SIZE
    weights = source.rows.mixer.weights()
    assert weights["hard"] > weights["easy"]
    assert output.metrics["sampler/shares_met"] == 1.0
    assert recipe["generate_rollout"](args, step, source, evaluation=True) == "evaluated"
    source.save(step)
    args.load = str(tmp_path)
    resumed = recipe["TaskSource"](args)
    resumed.load(step)
    assert resumed.rows.state_dict() == source.rows.state_dict()


def test_openrlhf(engine):
    class Scalar:  # a tensor of one number
        def __init__(self, value: float) -> None:
            self.value = value

        def __float__(self) -> float:
            return self.value

    class SamplesGenerator:
        def __init__(self, args: Any, prompts_dataloader: Any, vllm_engines: list[Any]) -> None:
            self.args, self.prompts_dataloader, self.vllm_engines = (
                args,
                prompts_dataloader,
                vllm_engines,
            )

        def _dispatch_prompts_to_vllm(
            self,
            prompts: list[str],
            labels: list[str],
            *,
            images: list[Any] | None = None,
            **generate_kwargs: Any,
        ) -> list[Any]:
            assert len(prompts) == len(labels) == len(images or [])
            return [[{"prompt": p, "reward": r} for r in rewards(p, dice)] for p in prompts]

        def _process_response_into_experience(
            self, response: dict[str, Any], **generate_kwargs: Any
        ) -> Any:
            return types.SimpleNamespace(
                prompts=[response["prompt"]], rewards=Scalar(response["reward"])
            )

    dice, calls = random.Random(1), []
    engine.add("ray", get=lambda reference: reference)
    engine.add("openrlhf.trainer.ppo_utils.samples_generator", SamplesGenerator=SamplesGenerator)
    engine.add(
        "openrlhf.trainer.ray.vllm_engine",
        batch_vllm_engine_call=lambda engines, name: calls.append(name),
    )
    recipe = engine.run("OpenRLHF")
    dataset = [(task, task, "label", None) for task in ACCEPTED for _ in range(10)]
    args = types.SimpleNamespace(
        rollout=types.SimpleNamespace(batch_size=BATCH, n_samples_per_prompt=SIZE),
        train=types.SimpleNamespace(seed=0),
        vllm=types.SimpleNamespace(enable_sleep=True),
    )
    prompts = recipe["TaskPrompts"](dataset, args)
    generator = recipe["TaskSamplesGenerator"](args, prompts, [])
    ends = []
    for _ in range(STEPS):
        samples, rate, consumed, exhausted = generator.generate_samples(temperature=1.0)
        assert len(samples) == BATCH * SIZE
        assert exact(Counter(s.prompts[0] for s in samples[::SIZE]), prompts.mixer)
        assert rate is None
        assert consumed >= BATCH
        ends.append(exhausted)
    assert ends == [False, True] * (STEPS // 2)  # twenty rows are two batches
    assert calls == ["wake_up", "sleep"] * STEPS
    resumed = recipe["TaskPrompts"](dataset, args)
    resumed.load_state_dict(json.loads(json.dumps(prompts.state_dict())))
    assert resumed.mixer.weights() == prompts.mixer.weights()


def test_prime_rl(engine):
    class TrainSource:
        def __init__(self, train_envs: list[str]) -> None:
            self.env_names = list(train_envs)
            forever = types.SimpleNamespace(sampler=iter(range(10**9)))
            self.curricula = dict.fromkeys(self.env_names, forever)

        def on_result(self, group: list[Any]) -> bool:
            return True

        def metrics(self) -> dict[str, float]:
            return {"theirs": 1.0}

        def state_dict(self) -> dict[str, Any]:
            return {"rng": 1, "envs": {}}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            assert set(state_dict) == {"rng", "envs"}

    @dataclasses.dataclass
    class TaskRequest:
        env_name: str
        task: Any
        step: int

    engine.add("prime_rl.orchestrator.orchestrator", TrainSource=TrainSource)
    engine.add("prime_rl.entrypoints.orchestrator", main=lambda: None)
    engine.add("prime_rl.orchestrator.train_source", TrainSource=TrainSource)
    engine.add("prime_rl.orchestrator.types", TaskRequest=TaskRequest)
    engine.add("prime_rl.orchestrator.utils", episode_env_name=lambda episode: episode.env_name)
    recipe = engine.run("prime-rl")
    assert (
        sys.modules["prime_rl.orchestrator.orchestrator"].TrainSource is recipe["TaskTrainSource"]
    )
    source = recipe["TaskTrainSource"](list(ACCEPTED))
    dice, in_flight, admitted, quotas, batches = random.Random(1), [], Counter(), None, 0
    failed = 0.0
    while batches < 30:  # forty groups in flight, finishing in any order
        while len(in_flight) < 40:
            in_flight.append(source.next_task(step=0).env_name)
            quotas = source.ledger.mixer.batch.quotas
        env = in_flight.pop(dice.randrange(len(in_flight)))
        if dice.random() < 0.04:
            continue  # cancelled without a word
        broken = dice.random() < 0.03
        traces = [types.SimpleNamespace(reward=r, has_error=False) for r in rewards(env, dice)]
        traces[0].has_error = broken
        is_admitted = source.on_result([types.SimpleNamespace(env_name=env, traces=traces)])
        assert not (is_admitted and broken), "all admitted groups are whole"
        admitted[env] += is_admitted
        assert sum(admitted.values()) <= recipe["BATCH_SIZE"]
        if source.ledger.mixer.step > batches:
            assert admitted == quotas
            admitted, batches = Counter(), batches + 1
            metrics = source.metrics()
            assert metrics["sampler/shares_met"] == metrics["theirs"] == 1.0
            failed += metrics["sampler/failed"]
    assert failed > 10
    # Tickets of cancelled groups are given up in time: nothing piles up.
    assert len(source.ledger.missing) <= 40
    assert len(source.ledger.arrived) < 40
    resumed = recipe["TaskTrainSource"](list(ACCEPTED))
    resumed.load_state_dict(source.state_dict())
    assert resumed.ledger.mixer.step == 30
    assert not resumed.ledger.missing, "what was in flight is lost"
    assert resumed.ledger.mixer.weights() == source.ledger.mixer.weights()


def test_nemo_rl(engine, tmp_path, monkeypatch):
    class BatchedDataDict(dict[str, Any]):
        @classmethod
        def from_batches(cls, batches: list[dict[str, Any]]) -> BatchedDataDict:
            return cls({key: [v for b in batches for v in b[key]] for key in batches[0]})

    monkeypatch.chdir(tmp_path)
    engine.add("nemo_rl.distributed.batched_data_dict", BatchedDataDict=BatchedDataDict)
    recipe = engine.run("NeMo-RL")
    loaders = {
        task: [{"task_name": [task], "message_log": [i]} for i in range(7)] for task in ACCEPTED
    }
    iterators = {task: iter(rows) for task, rows in loaders.items()}
    dice, records = random.Random(1), {}
    for step in range(STEPS):
        batch, iterators = recipe["task_dataloader"](iterators, loaders, **records)
        assert len(batch["message_log"]) == recipe["BATCH_SIZE"]
        quotas = recipe["ledger"].mixer.batch.quotas
        assert Counter(batch["task_name"]) == {task: n for task, n in quotas.items() if n}
        repeated = [task for task in batch["task_name"] for _ in range(SIZE)]
        records = {
            "tasks": repeated,
            "rewards": [r for task in batch["task_name"] for r in rewards(task, dice)],
        }
        assert recipe["ledger"].mixer.step == step
    weights = recipe["ledger"].mixer.weights()
    assert weights["hard"] > weights["easy"]
    monkeypatch.setenv("RESUME", f"mixers/mixer-{STEPS - 1}.json")
    resumed = engine.run("NeMo-RL")
    resumed["task_dataloader"]({task: iter(rows) for task, rows in loaders.items()}, loaders)
    assert resumed["ledger"].mixer.weights() == weights


def test_tinker_cookbook(engine, tmp_path):
    class EnvGroupBuilder:
        def __init__(self, task: str) -> None:
            self.task = task

        async def make_envs(self) -> list[str]:
            return [self.task] * SIZE

        async def compute_group_rewards(
            self, trajectory_group: list[Any], env_group: list[str]
        ) -> list[tuple[float, dict[str, float]]]:
            return [(reward, {}) for reward in rewards(self.task, dice)]

        async def cleanup(self) -> None: ...

        def logging_tags(self) -> list[str]:
            return ["tag"]

    dice = random.Random(1)
    engine.add("tinker_cookbook.rl.types", EnvGroupBuilder=EnvGroupBuilder, RLDataset=object)
    recipe = engine.run("tinker-cookbook")
    builders = {task: [EnvGroupBuilder(task)] * 5 for task in ACCEPTED}
    dataset = recipe["TaskDataset"](builders, BATCH, STEPS, folder=tmp_path)

    async def roll_out(group: Any) -> None:
        envs = await group.make_envs()
        step = types.SimpleNamespace(reward=0.0)
        final = await group.compute_group_rewards(
            [types.SimpleNamespace(transitions=[step])] * SIZE, envs
        )
        assert group.rewards == [reward for reward, _ in final]
        await group.cleanup()

    for index in range(len(dataset)):
        groups = dataset.get_batch(index)
        quotas = dataset.rows.mixer.batch.quotas
        assert Counter(group.task for group in groups) == {t: n for t, n in quotas.items() if n}
        assert groups[0].logging_tags() == ["tag", groups[0].task]
        for group in groups:
            asyncio.run(roll_out(group))

    weights = dataset.rows.mixer.weights()
    assert weights["hard"] > weights["easy"]
    state = tmp_path / f"mixer-{STEPS - 1}.json"
    resumed = recipe["TaskDataset"](builders, BATCH, STEPS, folder=tmp_path, state=state)
    assert resumed.rows.mixer.weights() == weights


def test_skyrl(engine):
    class RayPPOTrainer:
        def __init__(self, cfg: Any, train_dataset: Any) -> None:
            self.cfg, self.train_dataset, self.all_metrics = cfg, train_dataset, {}
            self._build_train_dataloader_and_compute_training_steps()

        def epoch(self) -> Any:
            """The part of SkyRL's loop that a batch comes from."""
            for prompts in self.train_dataloader:
                prompts = self._remove_tail_data(prompts)
                uids = [row["uid"] for row in prompts for _ in range(SIZE)]
                output = {
                    "rewards": [
                        reward if token_level is False else [0.0, reward]
                        for row in prompts
                        for reward in rewards(row["env_extras"]["data_source"], dice)
                    ],
                    "rollout_logprobs": None,
                    "trajectory_time_splits": {"llm": [0.0] * len(uids)},
                }
                output, uids, keep_sampling = self.handle_dynamic_sampling(output, uids)
                if not keep_sampling:
                    yield output, uids

    def slice_generator_output(output: dict[str, Any], indices: list[int]) -> dict[str, Any]:
        return {k: v if v is None else [v[i] for i in indices] for k, v in output.items()}

    def concatenate_generator_outputs(outputs: list[Any], step_wise: bool) -> dict[str, Any]:
        assert not step_wise
        return {"rewards": [reward for output in outputs for reward in output["rewards"]]}

    class Dataset(list[Any]):
        def collate_fn(self, items: list[Any]) -> list[dict[str, Any]]:
            names = ("prompt", "env_class", "env_extras", "uid")
            return [dict(zip(names, item, strict=True)) for item in items]

    dice, token_level = random.Random(1), False
    engine.add("ray", remote=lambda **options: lambda function: function)
    engine.add("skyrl.train.config", SkyRLTrainConfig=object)
    engine.add("skyrl.train.entrypoints.main_base", BasePPOExp=object)
    engine.add(
        "skyrl.train.generators.utils",
        concatenate_generator_outputs=concatenate_generator_outputs,
        slice_generator_output=slice_generator_output,
    )
    engine.add("skyrl.train.trainer", RayPPOTrainer=RayPPOTrainer)
    engine.add("skyrl.train.utils", initialize_ray=None, validate_cfg=None)
    recipe = engine.run("SkyRL")
    settings = types.SimpleNamespace(
        train_batch_size=BATCH, seed=0, epochs=STEPS, max_training_steps=None
    )
    cfg = types.SimpleNamespace(
        trainer=settings, generator=types.SimpleNamespace(step_wise_trajectories=False)
    )
    dataset = Dataset((t, None, {"data_source": t}, "0") for t in ACCEPTED for _ in range(10))
    trainer = recipe["TaskTrainer"](cfg, dataset)
    mixer = trainer.train_dataloader.mixer
    assert trainer.total_training_steps == 2 * STEPS  # twenty rows are two batches

    for epoch in range(STEPS):
        token_level = epoch % 2 == 1
        batches = list(trainer.epoch())
        assert len(batches) == 2
        output, uids = batches[-1]
        assert len(uids) == len(output["rewards"]) == BATCH * SIZE
        assert len(set(uids)) == BATCH
        assert exact(Counter(uid.split("/")[0] for uid in uids[::SIZE]), mixer)
        assert trainer.all_metrics["sampler/shares_met"] == 1.0

    weights = mixer.weights()
    assert weights["hard"] > weights["easy"]
    resumed = recipe["TaskTrainer"](cfg, dataset).train_dataloader
    resumed.load_state_dict(json.loads(json.dumps(trainer.train_dataloader.state_dict())))
    assert resumed.mixer.weights() == weights


def test_skyrl_fully_asynchronous(engine):
    class Manager:
        """SkyRL's account of groups, without its waiting."""

        def __init__(self) -> None:
            self._stat = types.SimpleNamespace(accepted=0, filtered=0)

        async def on_rollout_filtered(self) -> None:
            self._stat.accepted -= 1
            self._stat.filtered += 1

    class FullyAsyncRayPPOTrainer:
        """The parts of SkyRL's loop that prompts go to and a batch comes from."""

        def __init__(self, cfg: Any, train_dataset: Any) -> None:
            self.cfg, self.train_dataset, self.all_metrics = cfg, train_dataset, {}
            self.mini_batch_size, self.max_staleness_steps, self.global_step = BATCH, 2, 1
            self._build_train_dataloader_and_compute_training_steps()
            loader = sys.modules["skyrl.train.fully_async_trainer"]._AsyncDataloader
            self.async_train_dataloader = loader(self.train_dataloader, BATCH)
            self._staleness_manager = Manager()

        async def worker(self, buffer: asyncio.Queue[Any]) -> None:
            while True:
                (row,) = await self.async_train_dataloader.get_next_non_consumed_data()
                step, task = self.global_step, row["env_extras"]["data_source"]
                for _ in range(dice.randint(1, 40 if task == "hard" else 4)):
                    await asyncio.sleep(0)
                values = rewards(task, dice)
                output = types.SimpleNamespace(
                    uid=row["uid"],
                    task=task,
                    global_step_when_scheduled=step,
                    generator_output={"rewards": values if step % 2 else [[v] for v in values]},
                )
                buffer.put_nowait(output)
                self._staleness_manager._stat.accepted += 1

        async def train(self) -> None:
            buffer: asyncio.Queue[Any] = asyncio.Queue()
            workers = [asyncio.create_task(self.worker(buffer)) for _ in range(2 * BATCH)]
            for _ in range(self.total_training_steps):
                groups, dropped, ended = await self._collect_generation_mini_batch(buffer, None)
                assert (len(groups), dropped, ended) == (BATCH, [], False)
                assert exact(Counter(group.task for group in groups), mixer)
                ages = [self.global_step - group.global_step_when_scheduled for group in groups]
                assert max(ages) <= self.max_staleness_steps
                await self.async_train_dataloader.mark_consumed_uids(g.uid for g in groups)
                assert self.async_train_dataloader.num_trained() == BATCH * self.global_step
                assert self._staleness_manager._stat.accepted == (
                    BATCH * self.global_step + buffer.qsize()
                )
                self.global_step += 1
            for each in workers:
                each.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    dice = random.Random(1)
    engine.add("ray", remote=lambda **options: lambda function: function)
    engine.add("skyrl.train.config", SkyRLTrainConfig=object)
    engine.add("skyrl.train.entrypoints.main_base", BasePPOExp=object)
    engine.add(
        "skyrl.train.fully_async_trainer",
        FullyAsyncRayPPOTrainer=FullyAsyncRayPPOTrainer,
        _AsyncDataloader=None,
    )
    engine.add("skyrl.train.utils", initialize_ray=None, validate_cfg=None)
    recipe = engine.run("SkyRL, fully asynchronous")
    cfg = types.SimpleNamespace(
        trainer=types.SimpleNamespace(
            policy_mini_batch_size=BATCH, seed=0, max_training_steps=STEPS
        )
    )
    names = ("prompt", "env_class", "env_extras", "uid")

    class Dataset(list[Any]):
        def collate_fn(self, items: list[Any]) -> list[dict[str, Any]]:
            return [dict(zip(names, item, strict=True)) for item in items]

    dataset = Dataset((t, None, {"data_source": t}, "0") for t in ACCEPTED for _ in range(10))
    trainer = recipe["AsyncTaskTrainer"](cfg, dataset)
    mixer = trainer.train_dataloader.ledger.mixer
    asyncio.run(trainer.train())
    assert mixer.step == STEPS
    assert mixer.weights()["hard"] > mixer.weights()["easy"]
    assert trainer.all_metrics["sampler/shares_met"] == 1.0

    resumed = recipe["AsyncTaskLoader"](dataset, cfg)
    resumed.load_state_dict(json.loads(json.dumps(trainer.train_dataloader.state_dict())))
    assert resumed.ledger.mixer.weights() == mixer.weights()
    assert not resumed.ledger.missing


def test_the_page_names_what_was_run():
    assert "Nothing was trained inside these engines, and nothing was run on a\nGPU." in PAGE
    recipes = ("Plain PyTorch", "slime", "OpenRLHF", "prime-rl", "NeMo-RL", "tinker-cookbook")
    assert all(f"## {name}\n" in PAGE for name in (*recipes, "SkyRL"))
    real = {path.stem for path in (Path(__file__).parent / "engines").glob("test_*.py")}
    assert len(real) == PAGE.count("| real code: ")
