"""TRL's own asynchronous loop and trainer over a real vLLM server."""

from pathlib import Path

import pytest

pytest.importorskip("trl")
requests = pytest.importorskip("requests")


@pytest.fixture(autouse=True)
def attention(monkeypatch):
    """On a CPU TRL's packed attention is computed by torch."""
    from .cpu_attention import use_on_cpu

    use_on_cpu(monkeypatch)


def test_asynchronous_steps_have_exact_shares_and_go_on(url, tmp_path):
    from .async_lab import check_batches, make, steps_logged

    trainer, made = make(tmp_path, url)
    trainer.train()
    check_batches(made, 4)
    logs = steps_logged(trainer)
    assert [entry["step"] for entry in logs] == [1, 2, 3, 4]
    assert all(entry["sample/staleness_max"] <= 4 for entry in logs)
    assert logs[0]["kl"] < 1e-6  # the server's first weights are the trainer's

    resumed, made = make(tmp_path, url)
    resumed.train(resume_from_checkpoint=str(tmp_path / "async" / "checkpoint-2"))
    check_batches(made, 2)
    assert resumed.state.global_step == 4
    assert made[0].step == 3


def test_asynchronous_steps_of_one_round_make_their_shares_in_the_loss(url, tmp_path):
    """The default method, on tasksets of verifiers."""
    from .async_lab import make, steps_logged
    from .test_tasksets import tasks_of_the_example

    tasks = tasks_of_the_example()
    trainer, made = make(tmp_path, url, tasks=tasks, method="grpo_fair", max_steps=2)
    trainer.train()

    assert len(made) >= 2
    logs = steps_logged(trainer)
    for entry in logs:
        assert entry["sampler/rounds"] == 1
        shares = [entry[f"task/{name}/loss_share"] for name in ("countdown", "zebra")]
        assert sum(shares) == pytest.approx(1)

    # Weights are even and nothing is owed yet: shares are those of the groups, whatever their length.
    first = [logs[0][f"task/{name}/num_informative"] for name in ("countdown", "zebra")]
    share = first[1] / sum(first)
    assert logs[0]["task/zebra/loss_share"] == pytest.approx(share)


def check_served(trainer, url: str, name: str) -> None:
    """The server completes a prompt by the trainer's adapted weights, and not by those without the adapter."""
    import torch

    model, prompt = trainer.model, trainer.tasks["countdown-easy"].train[0]["prompt"]
    model.get_base_model().set_attn_implementation("sdpa")  # of one row, as it is
    body = {"model": name, "prompt": prompt, "max_tokens": 8, "temperature": 0, "logprobs": 0}
    answer = requests.post(f"{url}/v1/completions", json=body, timeout=600)
    answer.raise_for_status()
    said = answer.json()["choices"][0]["logprobs"]
    ids = [int(token.rpartition(":")[2]) for token in said["tokens"]]

    prompt_ids = trainer.processing_class(prompt)["input_ids"]
    start = len(prompt_ids)

    def scores():
        with torch.no_grad():
            logits = model.base_model(torch.tensor([prompt_ids + ids])).logits[0, start - 1 : -1]
        return logits.log_softmax(-1).gather(-1, torch.tensor(ids)[:, None])[:, 0].tolist()

    assert said["token_logprobs"] == pytest.approx(scores(), abs=1e-3)
    with model.disable_adapter():
        assert said["token_logprobs"] != pytest.approx(scores(), abs=1e-2)


def test_an_adapter_goes_to_the_server_merged_into_the_weights(url, tmp_path):
    from peft import LoraConfig

    from mtgrpo import tiny

    from .async_lab import check_batches, make, steps_logged

    adapter = {"peft_config": LoraConfig(r=4, target_modules=["q_proj", "v_proj"])}
    trainer, made = make(
        tmp_path, url, arguments=adapter, max_steps=2, save_strategy="no", learning_rate=1e-2
    )
    trainer.train()
    check_batches(made, 2)
    assert steps_logged(trainer)[0]["kl"] < 1e-6
    check_served(trainer, url, str(tiny.model_path()))


def test_an_adapter_goes_to_the_server_by_itself_and_resumes(tmp_path):
    """As TRL sends one: by name, over HTTP, so that nothing of it is replaced here."""
    from peft import LoraConfig

    from .async_lab import check_batches, make, steps_logged
    from .server import running

    arguments = {
        "peft_config": LoraConfig(r=4, target_modules=["q_proj", "v_proj"]),
        "weight_transfer": None,
    }
    changes = {"max_steps": 2, "save_steps": 1, "learning_rate": 1e-2, "max_staleness": 3}
    slots = ("--enable-lora", "--max-lora-rank", "8", "--max-loras", "5")
    with running(tmp_path / "log", *slots) as url:
        trainer, made = make(tmp_path, url, arguments=arguments, **changes)
        trainer.train()
        check_batches(made, 2)
        assert steps_logged(trainer)[0]["kl"] < 1e-6
        # One version before the first step, and one after each.
        check_served(trainer, url, f"{trainer._lora_name}-v3")

        resumed, made = make(tmp_path, url, arguments=arguments, **changes)
        resumed.train(resume_from_checkpoint=str(tmp_path / "async" / "checkpoint-1"))
        assert made[0].step == 2
        # The server still has version 3 of the training before.
        check_served(resumed, url, f"{resumed._lora_name}-v4")


def test_a_configuration_of_the_command_trains_by_the_example(url, tmp_path, monkeypatch):
    import runpy

    from .async_lab import steps_logged
    from .server import FileTransfer

    example = Path(__file__).parents[2] / "examples" / "asynchronous.py"
    monkeypatch.chdir(tmp_path)
    trainer = runpy.run_path(str(example))["make_trainer"](
        "demo",
        url,
        {"weight_transfer": FileTransfer(url, tmp_path)},
        max_steps=2,
        save_steps=2,
        dtype="float32",
        gradient_checkpointing=False,
        disable_tqdm=True,
    )
    trainer.train()

    logs = steps_logged(trainer)
    assert [entry["step"] for entry in logs] == [1, 2]
    for entry in logs:
        shares = [value for name, value in entry.items() if name.endswith("/loss_share")]
        assert sum(shares) == pytest.approx(1)
    assert (tmp_path / trainer.args.output_dir / "checkpoint-2" / "mixer.json").is_file()
