"""Every process decides alike: digests of a decision are compared before it is acted on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object

from mtgrpo.errors import StateError

WORDS = 4  # 64-bit words of a digest; collisions are out of the question
SHOWN = 240  # characters of a value that an error shows


def digest(decision: Mapping[str, Any]) -> list[int]:
    """A hash of plain values and arrays, exact in every bit of a number: four 64-bit integers."""

    def packed(array: np.ndarray) -> str:
        return hashlib.blake2b(array.tobytes()).hexdigest()

    # JSON writes a float so that it reads back as the same one.
    text = json.dumps(decision, sort_keys=True, default=packed)
    raw = hashlib.blake2b(text.encode(), digest_size=8 * WORDS).digest()
    return [int.from_bytes(raw[8 * i : 8 * i + 8], "big", signed=True) for i in range(WORDS)]


def check_agreement(accelerator: Any, where: str, decision: Mapping[str, Any]) -> None:
    """Stop, on every process, unless all of them decided the same.

    Costs one collective call of 32 bytes a process. All processes must come by here equally often.

    Args:
        accelerator: accelerate's `Accelerator`.
        where: What is decided, for the error; part of what is compared.
        decision: Plain values and arrays by name.

    Raises:
        StateError: Two processes differ; says in what, and shows both.
    """
    if accelerator.num_processes < 2:
        return

    decision = {"decision": where, **decision}
    own = torch.tensor([digest(decision)], dtype=torch.int64, device=accelerator.device)
    digests: list[list[int]] = accelerator.gather(own).tolist()  # (processes, words)
    odd = next((rank for rank, other in enumerate(digests) if other != digests[0]), None)
    if odd is None:
        return

    plain = json.loads(json.dumps(decision, default=np.ndarray.tolist))
    decisions: Sequence[Mapping[str, Any]] = gather_object([plain])
    name, first, other = difference(decisions[0], decisions[odd])

    raise StateError(
        f"mixer: processes 0 and {odd} decided differently ({where}): {name} is {first} "
        f"on process 0, {other} on process {odd}; give every process the same packages, data, "
        "seed and configuration, and resume"
    )


def difference(one: Any, two: Any, name: str = "") -> tuple[str, str, str]:
    """The first place in which two plain values differ, and both values there, shortened."""
    if isinstance(one, dict) and isinstance(two, dict):
        for key in dict.fromkeys([*one, *two]):
            if one.get(key) != two.get(key) or (key in one) != (key in two):
                inner = f"{name}.{key}" if name else str(key)
                return difference(one.get(key), two.get(key), inner)

    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for i, (a, b) in enumerate(zip(one, two, strict=True)):
            if a != b:
                return difference(a, b, f"{name}[{i}]")

    return name, _short(one), _short(two)


def _short(value: Any) -> str:
    text = json.dumps(value)
    if len(text) <= SHOWN:
        return text
    return f"{text[:SHOWN]}... ({len(text)} characters)"
