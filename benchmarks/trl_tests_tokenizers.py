"""Stand-ins for the tokenizers that TRL's tiny models are made with, without a network.

Every id decodes to text of its own, of varied length, as rewards in TRL's tests are lengths and letters of random
tokens. Text is encoded byte by byte. The special tokens, and the few ordinary ones of which TRL's tests write the ids
down (calls of tools), stand where the real tokenizers have them. Chat templates are the ones that TRL ships.
"""

from __future__ import annotations

import itertools
import string
from dataclasses import dataclass, field, replace
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SMALL = 1500
"""Tokens of a small tokenizer. Time in the tests goes with this number more than with anything else."""


@dataclass(frozen=True)
class Vocabulary:
    """What one family's tokenizer is made of: the name of its tokens, and where they stand."""

    size: int
    special: dict[str, int]
    eos: str
    pad: str | None
    template: str
    bos: str | None = None
    unk: str | None = None
    # Tokens that decoding does not leave out although they are added ones.
    visible: frozenset[str] = frozenset()
    # Ordinary tokens of which TRL's tests know the id.
    known: dict[int, str] = field(default_factory=dict)
    # Where the 256 bytes begin.
    first_byte: int = 0
    # Attributes by which a processor finds its image tokens.
    named: dict[str, str] = field(default_factory=dict)


def _in_a_row(first: int, tokens: str) -> dict[str, int]:
    return dict(zip(tokens.split(), itertools.count(first)))


QWEN = (
    "<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|> "
    "<|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|> "
    "<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> "
    "<tool_response> </tool_response> <think> </think>"
)
QWEN_VISIBLE = frozenset(QWEN.split()[14:])
QWEN_KNOWN = {
    293: " b",
    314: " {",
    330: ' "',
    397: ">\n",
    411: "out",
    450: "dec",
    497: '",',
    522: "</",
    606: "name",
    788: '":',
    894: " any",
    927: "sh",
    944: "'t",
    1318: "text",
    1414: " know",
    1513: " don",
    2765: " won",
    4913: '{"',
    5212: ' {"',
    5392: " tool",
    6023: "hi",
    6659: "call",
    7692: "async",
    9520: "step",
    11248: "}}\n",
    13477: "rement",
    14172: "tool",
    16252: " increment",
    16370: "arguments",
    17453: "Done",
    22785: "_tool",
    35744: "increment",
    64648: "multiply",
    93054: "_multiply",
    95642: '"}}\n',
}
QWEN3_5_KNOWN = {
    510: "</",
    866: " any",
    914: " know",
    1366: " don",
    1459: "'t",
    1628: "function",
    5224: " tool",
    13744: "=",
    16936: "Done",
    22076: "_tool",
    30091: "screenshot",
}


def _qwen(
    template: str, first: int = 151643, last: int = 26, known: dict[int, str] = QWEN_KNOWN
) -> Vocabulary:
    """A tokenizer of Qwen's: `first` is the id of the first special token, `last` how many there are."""
    special = dict(itertools.islice(_in_a_row(first, QWEN).items(), last))
    return Vocabulary(
        size=first + last,
        special=special,
        eos="<|im_end|>",
        pad="<|endoftext|>",
        template=template,
        visible=QWEN_VISIBLE,
        known=known,
        named={
            "image_token": "<|image_pad|>",
            "video_token": "<|video_pad|>",
            "vision_start_token": "<|vision_start|>",
            "vision_end_token": "<|vision_end|>",
        },
    )


LLAMA = (
    "<|begin_of_text|> <|end_of_text|> <|reserved_special_token_0|> <|reserved_special_token_1|> "
    "<|finetune_right_pad_id|> <|reserved_special_token_2|> <|start_header_id|> <|end_header_id|> <|eom_id|> "
    "<|eot_id|> <|python_tag|>"
)
HARMONY = "<|startoftext|> <|endoftext|> <|return|> <|constrain|> <|channel|> <|start|> <|end|> <|message|> <|call|>"
GLM = (
    "<|endoftext|> [MASK] [gMASK] [sMASK] <sop> <eop> <|system|> <|user|> <|assistant|> <|observation|> "
    "<think> </think> <tool_call> </tool_call> <tool_response> </tool_response> <arg_key> </arg_key> <arg_value> "
    "</arg_value> /nothink"
)
COHERE = (
    "<PAD> <UNK> <BOS_TOKEN> <|END_OF_TURN_TOKEN|> <|START_OF_TURN_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|> "
    "<|SYSTEM_TOKEN|> <|START_RESPONSE|> <|END_RESPONSE|>"
)
GEMMA = "<pad> <eos> <bos> <unk> <start_of_turn> <end_of_turn> <start_of_image> <end_of_image> <image_soft_token>"
GEMMA4 = (
    "<pad> <eos> <bos> <unk> <|turn> <turn|> <|image> <|image|> <image|> <|audio> <|audio|> <audio|> <|video|> "
    "<|tool> <tool|> <|tool_call> <tool_call|> <|tool_response> <tool_response|> <|channel> <channel|> <|think|>"
)
NEMOTRON = "<unk> <s> </s> <|im_start|> <|im_end|> <think> </think> <tool_call> </tool_call>"
MISTRAL = "<unk> <s> </s> <image> <pad>"

VOCABULARIES = {
    "qwen2.5": _qwen("qwen2_5", last=22),
    "qwen3": _qwen("qwen3"),
    "qwen3.5": _qwen("qwen3_5_nothink", first=248044, known=QWEN3_5_KNOWN),
    "qwen3.6": _qwen("qwen3_6", first=248044, known=QWEN3_5_KNOWN),
    "qwen2.5-vl": _qwen("qwen2_5_vl", last=22),
    "llama3": Vocabulary(
        SMALL,
        _in_a_row(SMALL - 11, LLAMA),
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        pad=None,
        template="llama3_2",
    ),
    "gpt-oss": Vocabulary(
        SMALL,
        _in_a_row(SMALL - 9, HARMONY),
        eos="<|return|>",
        pad="<|endoftext|>",
        template="gptoss",
    ),
    "glm4": Vocabulary(
        151365,
        _in_a_row(151329, GLM),
        eos="<|endoftext|>",
        pad="<|endoftext|>",
        template="glm4moe",
        visible=frozenset(GLM.split()[10:]),
    ),
    "cohere2": Vocabulary(
        262144,
        _in_a_row(0, COHERE),
        bos="<BOS_TOKEN>",
        eos="<|END_OF_TURN_TOKEN|>",
        pad="<PAD>",
        template="cohere2",
        first_byte=16,
    ),
    "nemotron": Vocabulary(
        SMALL,
        _in_a_row(0, NEMOTRON),
        bos="<s>",
        eos="<|im_end|>",
        pad="</s>",
        template="nemotron_3_nano",
        visible=frozenset(NEMOTRON.split()[5:]),
        first_byte=16,
    ),
    "gemma2": Vocabulary(
        SMALL,
        _in_a_row(0, GEMMA),
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        unk="<unk>",
        template="gemma",
        first_byte=16,
    ),
    "gemma3": Vocabulary(
        SMALL,
        _in_a_row(0, GEMMA),
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        unk="<unk>",
        template="gemma3",
        first_byte=16,
        named={
            "image_token": "<image_soft_token>",
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
    ),
    "gemma4": Vocabulary(
        SMALL,
        _in_a_row(0, GEMMA4),
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        unk="<unk>",
        template="gemma4",
        first_byte=32,
        named={
            "image_token": "<|image|>",
            "boi_token": "<|image>",
            "eoi_token": "<image|>",
            "audio_token": "<|audio|>",
            "boa_token": "<|audio>",
            "eoa_token": "<audio|>",
            "video_token": "<|video|>",
        },
    ),
    "mistral": Vocabulary(
        SMALL,
        _in_a_row(0, MISTRAL),
        bos="<s>",
        eos="</s>",
        pad="<pad>",
        unk="<unk>",
        template="llava_next",
        first_byte=16,
        named={"image_token": "<image>"},
    ),
}


def byte_letters() -> list[str]:
    """The 256 letters that stand for bytes, in the order that GPT-2's, Qwen's and Llama's vocabularies have."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]

    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(len(others))]


def in_byte_letters(text: str) -> str:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letter = dict(zip([*printable, *others], byte_letters(), strict=True))

    return "".join(letter[byte] for byte in text.encode())


def filler(number: int) -> str:
    """A word for a token of which only its being there matters: four letters that name it, and up to seven more."""
    letters = string.ascii_lowercase
    name = "".join(letters[number // 26**place % 26] for place in range(4))

    return "Ġ" + name + letters[number % 26] * (number * 2654435761 % 2**32 % 8)


def tokens_of(vocabulary: Vocabulary) -> dict[str, int]:
    """Token to id, for every id below the vocabulary's size."""
    tokens = dict(vocabulary.special)
    tokens |= {letter: vocabulary.first_byte + place for place, letter in enumerate(byte_letters())}
    tokens |= {in_byte_letters(text): number for number, text in vocabulary.known.items()}
    taken = set(tokens.values())

    for number in range(vocabulary.size):
        if number not in taken:
            tokens[filler(number)] = number

    return tokens


def chat_template(name: str) -> str:
    import trl

    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text(
        encoding="utf-8"
    )


def shrunk(vocabulary: Vocabulary) -> Vocabulary:
    """The same with few tokens, the special ones at the end."""
    if vocabulary.size <= SMALL:
        return vocabulary

    special = _in_a_row(SMALL - len(vocabulary.special), " ".join(vocabulary.special))
    return replace(vocabulary, size=SMALL, special=special, known={})


def make_tokenizer(family: str, small: bool = False) -> PreTrainedTokenizerFast:
    """The stand-in for the tokenizer of a family of models (a key of VOCABULARIES)."""
    vocabulary = shrunk(VOCABULARIES[family]) if small else VOCABULARIES[family]
    tokens = tokens_of(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=tokens, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()

    for token in vocabulary.special:
        tokenizer.add_tokens(
            [AddedToken(token, special=token not in vocabulary.visible, normalized=False)]
        )

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=vocabulary.bos,
        eos_token=vocabulary.eos,
        pad_token=vocabulary.pad,
        unk_token=vocabulary.unk,
        extra_special_tokens=vocabulary.named,
        chat_template=chat_template(vocabulary.template),
        clean_up_tokenization_spaces=False,
    )
