"""How what is known of the tasks is carried over when a run's tasks change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mtgrpo.core.types import Floats, Ints

Scalar = TypeVar("Scalar", bound=np.generic)
Value = TypeVar("Value")


class TaskChange:
    """The tasks before and after: which of them stay, and where their entries come from.

    Args:
        before: Task names, in order.
        after: Those from now on, in order.

    Attributes:
        sources: Place among the tasks before of each task after, shape (K after,); -1 for new ones.
        is_new: Which tasks are new, shape (K after,).
    """

    def __init__(self, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        self.before, self.after = before, after

        places = {name: i for i, name in enumerate(before)}
        self.sources: Ints = np.array([places.get(name, -1) for name in after], dtype=np.int64)
        self.is_new: NDArray[np.bool_] = self.sources < 0

    @property
    def is_none(self) -> bool:
        """Whether the tasks are the same, in the same order."""
        return self.before == self.after

    @property
    def kept(self) -> Ints:
        """Places before of the tasks that stay."""
        return self.sources[~self.is_new]

    def known(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """What is known of the tasks after, by name."""
        return {name: values[name] for name in self.after if name in values}

    def carried(self, values: NDArray[Scalar], new: float) -> NDArray[Scalar]:
        """One entry per task after: those that stay keep theirs.

        Args:
            values: Shape (..., K before).
            new: The entry of each new task.
        """
        carried = values[..., np.maximum(self.sources, 0)]  # (..., K after); a copy
        carried[..., self.is_new] = new
        return carried

    def mean_of_kept(self, values: Floats, otherwise: float) -> float:
        """The mean entry of the tasks that stay.

        Args:
            values: Shape (K before,); NaN where nothing is known.
            otherwise: The result when nothing is known of any of them.
        """
        kept = values[self.kept]
        known = kept[~np.isnan(kept)]
        return float(known.mean()) if known.size else otherwise

    def carried_weights(self, weights: Floats) -> Floats:
        """The weights of those that stay, and their mean for each new one, scaled to sum to 1."""
        carried = self.carried(weights, self.mean_of_kept(weights, 1.0))
        if not carried.any():
            carried = np.ones(len(carried))
        return carried / carried.sum()

    def carry(self, holder: object, names: Iterable[str], new: Mapping[str, float]) -> None:
        """Replace arrays of an object by the carried ones.

        Args:
            holder: Has them.
            names: Attributes, each an array of shape (..., K before).
            new: The entry of new tasks, by attribute; missing ones start at the mean of the tasks
                that stay (0 when none does).
        """
        for name in names:
            values = getattr(holder, name)
            start = new[name] if name in new else self.mean_of_kept(values, 0.0)
            setattr(holder, name, self.carried(values, start))
