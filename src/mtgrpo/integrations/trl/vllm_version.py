"""Whether vLLM is there, in a release that the installed TRL supports."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec

from mtgrpo.errors import ConfigError

logger = logging.getLogger("mtgrpo")


def check_vllm(use_vllm: bool, where: str) -> None:
    """Say in one line what is wrong with the installed vLLM, before a model is loaded.

    A release outside the range that TRL names is no error: it may well work.

    Args:
        use_vllm: TRL's argument.
        where: Who asks.

    Raises:
        ConfigError: vLLM is asked for and not installed.
    """
    if not use_vllm:
        return
    if find_spec("vllm") is None:
        raise ConfigError(
            f"{where}: args.use_vllm=True, but vllm is not installed; install a release that TRL "
            "supports, or leave use_vllm out"
        )

    said = _what_trl_says()
    if said is not None:
        logger.warning("%s: %s", where, said)


def _what_trl_says() -> str | None:
    """TRL's own warning about the installed release of vLLM, on one line."""
    from trl.import_utils import is_vllm_available

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        is_vllm_available()

    texts = [str(warning.message) for warning in caught if "vLLM" in str(warning.message)]
    return " ".join(texts[0].split()) if texts else None
