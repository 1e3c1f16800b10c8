"""A `vllm serve` beside the trainer (`vllm_mode="server"`)."""

from pathlib import Path


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


def test_tasks_are_sampled_and_judged_at_their_own_settings(lab, files, url):
    from .own_settings import check_temperature_and_length, check_top_p

    server = {"vllm_mode": "server", "vllm_server_base_url": url}
    check_temperature_and_length(lab, **server)
    check_top_p(lab, **server)


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
