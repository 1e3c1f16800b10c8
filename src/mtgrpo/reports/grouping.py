"""Which runs belong to one method, and what it is called."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mtgrpo.errors import ConfigError, counted
from mtgrpo.runlog import Run

INCIDENTAL = frozenset({"seed", "output", "threads", "num_parameters", "checkpoint"})
"""Keys of a configuration that do not make another method."""
LONGEST = 40
"""Characters of a value in a label; longer ones are numbered."""


def method_labels(runs: Sequence[Run]) -> list[str]:
    """A label per run: its preset, and what differs where a preset's runs differ beyond the seed.

    Runs without a preset in their configuration are named after their directory. Of a key with long
    values, such as lists of tasks, it says which of them, in order of appearance: ``tasks=(2)``.
    """
    settings = [_flat(run.config) for run in runs]
    presets = [str(run.config.get("preset") or run.name) for run in runs]
    labels: list[str] = []

    for preset, setting in zip(presets, settings, strict=True):
        peers = [s for p, s in zip(presets, settings, strict=True) if p == preset]
        keys = {key for peer in peers for key in peer if peer.get(key) != setting.get(key)}
        differences = [f"{key}={_shown(key, setting, peers)}" for key in sorted(keys)]
        labels.append(" ".join([preset, *differences]))

    return labels


def _shown(key: str, setting: Mapping[str, str], peers: Sequence[Mapping[str, str]]) -> str:
    """A value of a key, short enough for a label."""
    values = list(dict.fromkeys(peer.get(key, "none") for peer in peers))
    own = setting.get(key, "none")
    if all(len(value) <= LONGEST for value in values):
        return own
    return f"({values.index(own) + 1})"


def group_by_label(
    runs: Sequence[Run], labels: Sequence[str] | None = None
) -> dict[str, list[Run]]:
    """Runs by method, in order of appearance.

    Args:
        runs: All runs.
        labels: One per run; None takes `method_labels`.

    Raises:
        ConfigError: The number of labels is not that of the runs.
    """
    groups: dict[str, list[Run]] = {}
    for name, run in zip(check_labels(runs, labels), runs, strict=True):
        groups.setdefault(name, []).append(run)

    return groups


def check_labels(runs: Sequence[Run], labels: Sequence[str] | None = None) -> list[str]:
    """The method of each run; the arguments and errors are those of `group_by_label`."""
    names = method_labels(runs) if labels is None else list(labels)
    if len(names) != len(runs):
        raise ConfigError(
            f"comparison: {counted(len(names), 'label')} for {counted(len(runs), 'run')}; one "
            "label per run is needed"
        )

    return names


def default_baseline(labels: Sequence[str]) -> str | None:
    """The method that others are measured against: DAPO as in the paper, else GRPO, else none."""
    for name in ("dapo", "grpo"):
        if name in labels:
            return name

    return None


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """A configuration as dotted keys, without what does not make another method."""
    if isinstance(value, str):
        return {prefix: value}
    if not isinstance(value, Mapping):
        return {prefix: json.dumps(value, default=str)}

    flat: dict[str, str] = {}
    for key, item in value.items():
        if prefix:
            flat |= _flat(item, f"{prefix}.{key}")
        elif key not in INCIDENTAL:
            flat |= _flat(item, str(key))

    return flat
