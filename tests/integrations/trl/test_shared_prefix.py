"""A forward pass with shared prompts: log-probabilities and gradients of the plain one."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from mtgrpo.integrations.trl.shared_prefix import shared_prefix

WIDTH, LENGTH = 5, 4


@pytest.fixture
def model(model_path):
    return AutoModelForCausalLM.from_pretrained(model_path)


def batch(num_prompts, repeats):
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(5, 60, (num_prompts, WIDTH), generator=generator).repeat_interleave(
        repeats, 0
    )
    ids = torch.cat([prompts, torch.randint(5, 60, (len(prompts), LENGTH), generator=generator)], 1)
    mask = torch.ones_like(ids)
    mask[::3, -2:] = 0  # shorter completions
    mask[:repeats, :2] = 0  # a shorter prompt
    order = torch.randperm(len(ids), generator=generator)  # TRL shuffles its rows
    return ids[order], mask[order]


def log_probs(model, ids, mask):
    logits = model(input_ids=ids, attention_mask=mask).logits[:, -LENGTH - 1 : -1]
    return logits.log_softmax(-1).gather(2, ids[:, -LENGTH:, None])[..., 0] * mask[:, -LENGTH:]


def test_values_and_gradients(model):
    ids, mask = batch(3, 6)
    found = []
    rows = []
    forward = type(model.base_model).forward

    def spy(self, input_ids=None, *args, **kwargs):
        rows.append(tuple(input_ids.shape))
        return forward(self, input_ids, *args, **kwargs)

    type(model.base_model).forward = spy
    try:
        for shared in (False, True):
            model.zero_grad()
            if shared:
                with shared_prefix(model, LENGTH):
                    values = log_probs(model, ids, mask)
            else:
                values = log_probs(model, ids, mask)
            values.square().sum().backward()
            found.append((values.detach(), [p.grad.clone() for p in model.parameters()]))
    finally:
        type(model.base_model).forward = forward
    assert rows == [(18, WIDTH + LENGTH), (3, WIDTH), (18, LENGTH)], (
        "the prompts were read three times, not eighteen"
    )
    (plain, plain_gradients), (shared, shared_gradients) = found
    assert torch.allclose(plain, shared, atol=1e-5)
    assert all(
        torch.allclose(a, b, atol=1e-4)
        for a, b in zip(plain_gradients, shared_gradients, strict=True)
    )


def test_nothing_changes_where_nothing_is_shared_or_afterwards(model):
    ids, mask = batch(6, 1)
    plain = log_probs(model, ids, mask)
    with shared_prefix(model, LENGTH):
        assert torch.equal(log_probs(model, ids, mask), plain)
    assert "forward" not in vars(model.base_model)
