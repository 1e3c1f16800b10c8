"""The vLLM path, with the model itself behind VLLMGeneration's interface: what reaches vLLM, and what comes back."""

import pytest
import torch
import trl.trainer.grpo_trainer as module

from mtgrpo import RatioPreservingSampler
from mtgrpo.core.planners import OversampledRounds
from mtgrpo.integrations.trl import parts

from .conftest import history


class FakeVLLM:
    def __init__(self, model, accelerator, processing_class, mode, max_completion_length, **others):
        self.model, self.tokenizer, self.length = model, processing_class, max_completion_length
        self.calls, self.num_syncs = [], 0
        server = type(
            "Server",
            (),
            {
                "get_server_info": lambda self: {
                    "model_config": {"logprobs_mode": "processed_logprobs"}
                }
            },
        )
        self.vllm_client = server()

    def sync_weights(self):
        self.num_syncs += 1

    def generate(self, prompts, images, num_generations, profiler=None):
        self.calls.append((len(prompts), num_generations))
        groups = [prompts[i : i + num_generations] for i in range(0, len(prompts), num_generations)]
        assert all(p == group[0] for group in groups for p in group), "a group is cut apart"
        given = self.tokenizer.pad({"input_ids": prompts}, return_tensors="pt", padding_side="left")
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            out = self.model.generate(
                input_ids=given["input_ids"],
                attention_mask=given["attention_mask"],
                do_sample=True,
                top_k=0,
                max_new_tokens=self.length,
                output_scores=True,
                return_dict_in_generate=True,
            )
        self.model.train(training)
        new = out.sequences[:, given["input_ids"].size(1) :]
        log_probs = torch.stack(out.scores, 1).log_softmax(-1).gather(-1, new[..., None])[..., 0]
        ids, found = [], []
        for row, values in zip(new.tolist(), log_probs.tolist(), strict=True):
            end = (
                row.index(self.tokenizer.eos_token_id) + 1
                if self.tokenizer.eos_token_id in row
                else len(row)
            )
            ids.append(row[:end])
            found.append([[value] for value in values[:end]])
        return prompts, ids, found, None


def use_stand_in(monkeypatch):
    monkeypatch.setattr(module, "VLLMGeneration", FakeVLLM)
    monkeypatch.setattr(parts, "check_vllm", lambda *args: None)  # it need not be installed


@pytest.mark.parametrize("mode", ["colocate", "server"])
def test_rounds_go_to_vllm_whole_and_log_probs_come_back_with_their_rows(lab, monkeypatch, mode):
    use_stand_in(monkeypatch)
    sampler = RatioPreservingSampler(planner=OversampledRounds(oversampling=3.0), max_resamples=2)
    trainer = lab.trainer(
        arguments={"sampler": sampler},
        use_vllm=True,
        vllm_mode=mode,
        max_steps=2,
        num_generations_eval=2,
    )
    trainer.train()
    engine = trainer.vllm_generation
    assert set(engine.calls) == {(3 * 8 * 4, 4)}
    assert engine.num_syncs == 2
    for entry in history(
        trainer
    ):  # recomputed log-probabilities equal the sampled ones only if rows stayed together
        assert entry["sampling/sampling_logp_difference/max"] < 1e-4
        assert entry["grad_norm"] > 0
    metrics = trainer.evaluate()
    assert metrics["eval_sampling/sampling_logp_difference/max"] < 1e-4
    assert "eval_task/easy/accuracy" in metrics
