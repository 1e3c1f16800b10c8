r"""The embedded model's tokenizer: one token per number, name, colour, sign and zebra clue.

There is also one for ``\boxed{``. Text is cut by one regular expression and put together again
without spaces, so ``decode(encode(text)) == text`` for everything the generators and the model
write.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mtgrpo.tasks.tiny.arc import COLOURS, EMPTY
from mtgrpo.tasks.tiny.countdown import LARGEST_TARGET
from mtgrpo.tasks.tiny.zebra import ANIMALS, PEOPLE, every_clue

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"
BOX, END = "\\boxed{", "}"
VOCABULARY = (
    PAD,
    EOS,
    UNKNOWN,
    BOX,
    END,
    "countdown:",
    "zebra:",
    "arc:",
    *",;?+-*/()=<>!",
    EMPTY,
    *COLOURS,
    *PEOPLE,
    *ANIMALS,
    *map(str, range(LARGEST_TARGET + 1)),
    *every_clue(),
)
"""Every token; its place is its number."""


def build() -> PreTrainedTokenizerFast:
    """Make the tokenizer: padding left, no token added at the start or the end."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    numbers = {word: i for i, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN))

    longest_first = sorted(VOCABULARY[3:], key=len, reverse=True)
    cut = Regex("|".join([*map(re.escape, longest_first), r"[\s\S]"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(cut, behavior="isolated")
    tokenizer.decoder = decoders.Fuse()

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=128,
    )


def save(folder: Path) -> None:
    """Write the tokenizer's files into `folder`."""
    build().save_pretrained(str(folder))
