"""The embedded model and its tokenizer: complete, small, loadable without a network, and as described."""

import json
import os

import pytest

from mtgrpo.errors import ConfigError
from mtgrpo.tasks.tiny.catalogue import problem
from mtgrpo.tiny import FAMILIES, LEVELS, files, model_path

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mtgrpo.tiny import tokenizer as tokens  # noqa: E402
from mtgrpo.tiny.profile import MAX_TOKENS, measure  # noqa: E402
from mtgrpo.tiny.train import encode  # noqa: E402

NINE = [(family, level) for family in FAMILIES for level in LEVELS]


@pytest.fixture(scope="module")
def tokenizer():
    return transformers.AutoTokenizer.from_pretrained(model_path(), local_files_only=True)


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return transformers.AutoModelForCausalLM.from_pretrained(
        model_path(), local_files_only=True, attn_implementation="eager"
    )


def test_the_folder_is_small_and_complete():
    sizes = {name: os.path.getsize(model_path() / name) for name in os.listdir(model_path())}
    assert {"config.json", "model.safetensors", "tokenizer.json", "profile.json"} <= set(sizes)
    assert sum(sizes.values()) < 4_000_000


def test_a_missing_model_says_how_to_make_one(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "MODEL_DIR", tmp_path)
    with pytest.raises(ConfigError, match=r"mtgrpo\.tiny\.recipe --out"):
        model_path()


@pytest.mark.parametrize(("family", "level"), NINE)
def test_every_text_survives_the_tokenizer(tokenizer, family, level):
    for split in ("train", "test"):
        for index in range(60):
            made = problem(family, level, split, 11, index)
            text = rf"{made.prompt}\boxed{{{made.answer}}}"
            numbers = tokenizer(text)["input_ids"]
            assert tokenizer.decode(numbers) == text
            assert numbers == encode(text)
            assert tokenizer.unk_token_id not in numbers
            assert len(tokenizer(made.prompt)["input_ids"]) <= 36
            assert len(tokenizer(rf"\boxed{{{made.answer}}}")["input_ids"]) + 1 <= MAX_TOKENS


def test_padding_and_special_tokens(tokenizer, model):
    assert tokenizer.padding_side == "left"
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.bos_token is None
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (
        model.config.pad_token_id,
        model.config.eos_token_id,
    )
    assert len(tokenizer) == len(tokens.VOCABULARY) == model.config.vocab_size
    batch = tokenizer(["arc:", "countdown:3,5,7=22?"], padding=True)
    assert batch["attention_mask"][0][:3] == [0, 0, 0]
    assert (
        tokenizer.decode(
            [*encode(r"\boxed{Bob}"), tokenizer.eos_token_id], skip_special_tokens=True
        )
        == r"\boxed{Bob}"
    )


def test_left_padding_changes_nothing(tokenizer, model):
    text = problem("countdown", "easy", "test", 0, 0).prompt
    alone = tokenizer([text], return_tensors="pt")
    padded = tokenizer(
        [text, problem("zebra", "hard", "test", 0, 0).prompt], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        one = model(**{k: alone[k] for k in ("input_ids", "attention_mask")}).logits[0, -1]
        two = model(**{k: padded[k] for k in ("input_ids", "attention_mask")}).logits[0, -1]
    torch.testing.assert_close(one, two, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_committed_profile_is_what_the_model_does(model, family):
    profile = json.loads((model_path() / "profile.json").read_text(encoding="utf-8"))
    stated = profile["tasks"][f"{family}-medium"]
    found = measure(model, families=[family], levels=["medium"], num_prompts=150, seed=5)[
        f"{family}-medium"
    ]
    # The same first prompts, other samples: four standard errors of either.
    assert abs(found["accuracy"] - stated["accuracy"]) < 4 * found["std_error"] + 0.01
    assert abs(found["acceptance_rate"] - stated["acceptance_rate"]) < 0.2


def test_the_profile_is_uneven_and_nowhere_zero():
    tasks = json.loads((model_path() / "profile.json").read_text(encoding="utf-8"))["tasks"]
    assert list(tasks) == [f"{family}-{level}" for level in LEVELS for family in FAMILIES]
    for names in (list(tasks), [f"{family}-medium" for family in FAMILIES]):
        for column in ("accuracy", "acceptance_rate"):
            values = [tasks[name][column] for name in names]
            assert min(values) > 0
            assert max(values) >= 3 * min(values)
