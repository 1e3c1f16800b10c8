"""The environment of processes that the tests start. No package of `make test-vllm` is needed to import it."""

import os

RANKS = ("MASTER_ADDR", "MASTER_PORT", "RANK", "LOCAL_RANK", "WORLD_SIZE")
"""What TRL sets for vLLM in its own process, and no other process must take for its own."""


def fresh_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in RANKS}
