"""Plain sampling with shared prompts: the same greedy texts, distribution and log-probabilities as generate()."""

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig, LlamaForCausalLM

from mtgrpo import tiny
from mtgrpo.integrations.trl import fast_generation
from mtgrpo.integrations.trl.fast_generation import sample, why_not_plain

PAD, EOS = 0, 1
PROMPTS = [[5, 9, 12, 7], [5, 9], [40, 41, 42, 43, 44, 45], [33]]
SETTINGS = {
    "max_new_tokens": 12,
    "do_sample": True,
    "pad_token_id": PAD,
    "eos_token_id": EOS,
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": None,
    "repetition_penalty": 1.0,
    "disable_compile": True,
}


@pytest.fixture(scope="module", params=["embedded", "toy"])
def model(request, model_path):
    path = tiny.model_path() if request.param == "embedded" else model_path
    return AutoModelForCausalLM.from_pretrained(path)


def padded(prompts):
    width = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    return ids, mask


def generated(model, prompts, **changes):
    ids, mask = padded(prompts)
    config = GenerationConfig(**{**SETTINGS, **changes})
    rows = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)[
        :, ids.shape[1] :
    ].tolist()
    return [row[: row.index(EOS) + 1] if EOS in row else row for row in rows]


def drawn(model, prompts, **changes):
    return sample(
        model, prompts, **{"max_new_tokens": 12, "eos_ids": [EOS], "pad_id": PAD, **changes}
    )


@pytest.mark.parametrize("keep_below", [0.0, 0.75, 1.0])
def test_greedy_is_that_of_generate(model, monkeypatch, keep_below):
    monkeypatch.setattr(fast_generation, "KEEP_BELOW", keep_below)
    prompts = [p for p in PROMPTS for _ in range(3)]
    found, _ = drawn(model, prompts, greedy=True)
    assert found == generated(
        model, prompts, do_sample=False, temperature=None, top_k=None, top_p=None
    )


def test_log_probabilities_are_those_of_a_plain_forward_pass(model):
    torch.manual_seed(0)
    prompts = [p for p in PROMPTS for _ in range(8)]
    completions, log_probs = drawn(model, prompts, temperature=1.3)
    assert len({len(c) for c in completions}) > 1, (
        "rows end at different tokens, else nothing is dropped"
    )
    for prompt, completion, found in zip(prompts, completions, log_probs, strict=True):
        assert len(completion) == len(found)
        assert EOS not in completion[:-1]
        assert completion[-1] == EOS or len(completion) == 12
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + completion])).logits[
                0, len(prompt) - 1 : -1
            ]
        expected = (logits / 1.3).log_softmax(-1)[range(len(completion)), completion]
        assert torch.allclose(torch.tensor(found), expected, atol=1e-4)


def test_sampled_frequencies_are_those_of_generate(model):
    """The second token's frequencies over 3,000 draws: both within what chance allows of one another."""
    torch.manual_seed(1)
    prompts = [p for p in PROMPTS[:2] for _ in range(1500)]
    ours, _ = drawn(model, prompts, max_new_tokens=2)
    theirs = generated(model, prompts, max_new_tokens=2)
    size = model.config.vocab_size
    counts = [
        torch.bincount(torch.tensor([row[-1] for row in rows]), minlength=size)
        for rows in (ours, theirs)
    ]
    a, b = (count.double() for count in counts)
    seen = (a + b) > 0
    chi2 = float((((a - b) ** 2)[seen] / (a + b)[seen]).sum())
    freedom = int(seen.sum()) - 1
    assert chi2 < freedom + 5 * (2 * freedom) ** 0.5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"top_k": 5}, "top_k is 5"),
        ({"top_p": 0.9}, "top_p is 0.9"),
        ({"min_p": 0.1}, "min_p is 0.1"),
        ({"repetition_penalty": 1.2}, "repetition_penalty is 1.2"),
        ({"suppress_tokens": [3]}, "suppress_tokens is set"),
        ({"do_sample": False}, "it does not sample"),
    ],
)
def test_settings_beyond_plain_sampling_are_refused(model, changes, reason):
    found = why_not_plain(model, GenerationConfig(**{**SETTINGS, **changes}))
    assert found.startswith(reason) if reason else not found


def test_what_the_model_itself_asks_for_is_refused(model_path):
    model = AutoModelForCausalLM.from_pretrained(model_path)
    model.generation_config.no_repeat_ngram_size = 2
    assert why_not_plain(model, GenerationConfig(**SETTINGS)) == "no_repeat_ngram_size is set"


def test_models_that_are_not_plain_are_refused(model):
    assert why_not_plain(torch.nn.Linear(1, 1), GenerationConfig(**SETTINGS))
    shape = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
    }
    windowed = LlamaForCausalLM(
        LlamaConfig(vocab_size=9, layer_types=["sliding_attention"], sliding_window=4, **shape)
    )
    assert why_not_plain(windowed, GenerationConfig(**SETTINGS))
