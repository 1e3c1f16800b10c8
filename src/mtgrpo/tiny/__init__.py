"""The embedded default: a small model that ships with the package, and nine tasks for it.

Three families (countdown, zebra, arc) at three levels (easy, medium, hard), as in the paper, but
written so compactly that a model of half a million parameters can read them. The model has begun to
learn them, and GRPO on a laptop's CPU improves it within minutes. Importing this loads no torch;
`mtgrpo.tiny.recipe` makes the model. See docs/embedded-model.md.
"""

from __future__ import annotations

from mtgrpo.tasks.tiny.catalogue import FAMILIES, LEVELS, tiny_task, tiny_tasks
from mtgrpo.tiny.files import MODEL_DIR, model_path

__all__ = ["FAMILIES", "LEVELS", "MODEL_DIR", "model_path", "tiny_task", "tiny_tasks"]
