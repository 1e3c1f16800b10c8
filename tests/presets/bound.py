"""The weighting of a preset's released variant, for the published setting nearer in tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtgrpo import presets
from mtgrpo.core.weightings import TaskWeighting


def bound(name: str, tasks: Sequence[str], **changes: Any) -> TaskWeighting:
    """Bound to `tasks`, with changes to its arguments."""
    setting = presets.nearest_setting(len(tasks))
    method = presets.get(name, variant="released", setting=setting, weighting=changes)
    return method.weighting.bind(tasks)
