"""A `vllm serve` beside the trainer (`vllm_mode="server"`), and TRL's asynchronous trainer over the same server."""

from collections import Counter
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    from .server import running

    with running(tmp_path_factory.mktemp("server") / "log") as address:
        yield address


@pytest.fixture
def files(monkeypatch, tmp_path):
    """TRL's client sends weights through files: NCCL needs CUDA."""
    from trl.generation.vllm_client import VLLMClient

    from .server import post, send

    def init_communicator(self, *args, **kwargs):
        post(f"{self.base_url}/init_weight_transfer_engine", {"init_info": {}})
        self.communicator = None

    def update_named_params(self, metadata, named_params):
        send(self.base_url, tmp_path, named_params)

    monkeypatch.setattr(VLLMClient, "init_communicator", init_communicator)
    monkeypatch.setattr(VLLMClient, "update_named_params", update_named_params)


def test_a_run_trains_with_exact_shares_and_resumes(lab, files, url):
    """Not bit for bit: the state of the server's random numbers is in no checkpoint."""
    from .lab import logged

    server = {"vllm_mode": "server", "vllm_server_base_url": url}
    whole = lab.trainer("whole", **server)
    whole.train()
    lab.check_shares()
    assert len(lab.steps) == 4
    assert max(logged(whole, "sampling/sampling_logp_difference/max")) < 1e-3
    assert all(value > 0 for value in logged(whole, "grad_norm"))
    assert 0.0 <= whole.evaluate()["eval_tasks/worst_accuracy"] <= 1.0

    resumed = lab.trainer("resumed", **server)
    resumed.train(resume_from_checkpoint=str(lab.folder / "whole" / "checkpoint-2"))
    lab.check_shares()
    assert [len(lab.steps), resumed.mixer.step] == [2, 4]


def test_an_adapter_trains(lab, files, url):
    from peft import LoraConfig

    from .lab import logged

    adapter = LoraConfig(r=4, target_modules=["q_proj", "v_proj"])
    trainer = lab.trainer(
        "adapter",
        arguments={"peft_config": adapter},
        max_steps=2,
        save_strategy="no",
        vllm_mode="server",
        vllm_server_base_url=url,
    )
    trainer.train()
    lab.check_shares()
    assert max(logged(trainer, "sampling/sampling_logp_difference/max")) < 1e-3


def test_verifiers_plays_games_of_several_turns_and_they_are_trained_on(
    lab, files, url, monkeypatch, tmp_path
):
    monkeypatch.syspath_prepend(Path(__file__).parent / "games")
    import talk_v1
    from transformers import AutoTokenizer

    from mtgrpo import tiny
    from mtgrpo.integrations.trl.verifiers_rollouts import VerifiersRollouts
    from mtgrpo.tasks import Scoring

    from .lab import GROUP, logged
    from .server import chat_model

    chat = str(chat_model(tmp_path / "chat"))
    rollouts = VerifiersRollouts(
        {name: talk_v1.make() for name in ("one", "two")},
        str(tiny.model_path()),
        tokenizer=chat,
    )
    played = []

    def rollout_func(prompts, trainer):
        played.append(rollouts(prompts, trainer))
        return played[-1]

    tasks = rollouts.tasks(
        num_train=60, num_test=4, correct_at=1.0, scoring=Scoring(on_error="drop")
    )
    trainer = lab.trainer(
        "games",
        "grpo_fair",
        tasks=tasks,
        arguments={
            "rollout_func": rollout_func,
            "processing_class": AutoTokenizer.from_pretrained(chat),
        },
        max_steps=2,
        per_device_train_batch_size=6 * GROUP,
        save_strategy="no",
        max_completion_length=8,
        vllm_mode="server",
        vllm_server_base_url=url,
    )
    trainer.train()
    assert [len(one["env_mask"]) for one in played] == [6 * GROUP] * 2

    masks = [mask for one in played for mask in one["env_mask"]]
    assert any(0 in mask for mask in masks), "no game had a second turn"
    for one in played:
        for name in ("logprobs", "env_mask"):
            assert [len(row) for row in one[name]] == [len(ids) for ids in one["completion_ids"]]
    assert max(logged(trainer, "sampling/sampling_logp_difference/max")) < 1e-3
    for name in ("one", "two"):
        assert min(logged(trainer, f"task/{name}/num_informative")) > 0
        # Now and then a reply reads back as other tokens than were sampled: its group is left out.
        assert max(logged(trainer, f"task/{name}/dropped/unscorable")) <= 2
    assert 0.0 <= trainer.evaluate()["eval_tasks/worst_accuracy"] <= 1.0


def test_asynchronous_steps_have_exact_shares_and_go_on(lab, url, monkeypatch, tmp_path):
    """TRL's own loop and trainer. On a CPU its packed attention is computed by torch, weights go through files."""
    from .cpu_attention import use_on_cpu

    use_on_cpu(monkeypatch)
    trainer, made = asynchronous(lab, url, tmp_path)
    trainer.train()
    check_batches(made, 4)
    logs = [entry for entry in trainer.state.log_history if "sampler/rounds" in entry]
    assert [entry["step"] for entry in logs[:4]] == [1, 2, 3, 4]
    assert all(entry["sample/staleness_max"] <= 4 for entry in logs[:4])
    assert logs[0]["kl"] < 1e-6  # the server's first weights are the trainer's

    resumed, made = asynchronous(lab, url, tmp_path)
    resumed.train(resume_from_checkpoint=str(lab.folder / "async" / "checkpoint-2"))
    check_batches(made, 2)
    assert resumed.state.global_step == 4
    assert made[0].step == 3


def asynchronous(lab, url, folder, *, tasks=None, method=None, **changes):
    from trl.experimental.async_grpo import AsyncGRPOConfig

    from mtgrpo import ImprovementAware, Method, tiny
    from mtgrpo.integrations.trl_async import MultiTaskAsyncGRPOTrainer

    from .lab import GROUP, easy_tasks
    from .server import FileTransfer

    args = AsyncGRPOConfig(
        str(lab.folder / "async"),
        per_device_train_batch_size=48,
        gradient_accumulation_steps=2,
        num_generations=GROUP,
        max_completion_length=16,
        learning_rate=1e-4,
        vllm_server_base_url=url,
        max_inflight_tasks=96,
        report_to="none",
        logging_steps=1,
        save_steps=2,
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        dtype="float32",
        **{"max_steps": 4, **changes},
    )
    trainer = MultiTaskAsyncGRPOTrainer(
        str(tiny.model_path()),
        tasks or easy_tasks(),
        args,
        method=method or Method(ImprovementAware(lam=0.2)),
        weight_transfer=FileTransfer(url, folder),
    )
    made, make = [], trainer.batches.make

    def recorded():
        made.append(make())
        return made[-1]

    trainer.batches.make = recorded
    return trainer, made


def check_batches(made, least: int) -> None:
    assert len(made) >= least
    for batch in made:
        assert len(batch.samples) == 96
        assert Counter(batch.groups) == Counter({t: n for t, n in batch.quotas.items() if n})


def test_asynchronous_steps_of_one_round_make_their_shares_in_the_loss(
    lab, url, monkeypatch, tmp_path
):
    """The default method, on tasksets of verifiers."""
    from .cpu_attention import use_on_cpu
    from .test_tasksets import tasks_of_the_example

    use_on_cpu(monkeypatch)
    tasks = tasks_of_the_example()
    trainer, made = asynchronous(lab, url, tmp_path, tasks=tasks, method="grpo_fair", max_steps=2)
    trainer.train()

    assert len(made) >= 2
    logs = [entry for entry in trainer.state.log_history if "sampler/rounds" in entry]
    for entry in logs[:2]:
        assert entry["sampler/rounds"] == 1
        shares = [entry[f"task/{name}/loss_share"] for name in ("countdown", "zebra")]
        assert sum(shares) == pytest.approx(1)

    # Weights are even and nothing is owed yet: shares are those of the groups, whatever their length.
    first = [logs[0][f"task/{name}/num_informative"] for name in ("countdown", "zebra")]
    share = first[1] / sum(first)
    assert logs[0]["task/zebra/loss_share"] == pytest.approx(share)
    assert logs[0]["task/zebra/loss_share_unscaled"] != pytest.approx(share, abs=0.01)
