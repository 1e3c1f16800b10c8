"""Adam on a vector of logits, in float64; step for step what ``torch.optim`` does."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.described import Described
from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.errors import ConfigError, unknown

OPTIMIZERS = ("adam", "adamw", "sgd")


class LogitOptimizer(Described):
    """Gradient descent on the logits xi.

    Adam's step is ``m <- b1 m + (1 - b1) g``, ``v <- b2 v + (1 - b2) g^2``, ``xi <- xi
    - lr m' / (sqrt(v') + eps)``, with m' and v' corrected for their start at 0.

    Args:
        kind: ``"adamw"`` (decoupled decay ``xi <- xi - lr * wd * xi``; paper),
            ``"adam"`` (coupled L2 ``g <- g + wd * xi``, which Adam's scaling turns into
            a far stronger pull; released code) or ``"sgd"`` (the update as the paper's
            pseudo-code writes it, with coupled L2).
        lr: Step size; the paper's beta.
        weight_decay: Strength of the pull towards uniform weights.

    Source: Kingma and Ba, arXiv 1412.6980; betas (0.9, 0.999) and epsilon 1e-8 as in
    the paper and the released code.
    """

    BETAS = (0.9, 0.999)
    EPSILON = 1e-8

    def __init__(self, kind: str, lr: float, weight_decay: float) -> None:
        if kind not in OPTIMIZERS:
            raise ConfigError(unknown("optimizer", "kind", kind, OPTIMIZERS))
        if not (0 < lr < np.inf and 0 <= weight_decay < np.inf):
            raise ConfigError(
                f"weight_lr={lr}, weight_decay={weight_decay}; "
                "weight_lr must be above 0 and weight_decay at least 0"
            )
        self.kind, self.lr, self.weight_decay = kind, lr, weight_decay

        self._num_steps = 0
        self._first: Floats = np.zeros(0)
        self._second: Floats = np.zeros(0)

    def step(self, logits: Floats, gradient: Floats) -> Floats:
        """The logits after one step of descent along `gradient`; both have shape (K,)."""
        if self.kind == "adamw":
            logits = logits * (1 - self.lr * self.weight_decay)
        else:
            gradient = gradient + self.weight_decay * logits

        if self.kind == "sgd":
            return logits - self.lr * gradient
        return logits - self.lr * self._scaled(gradient)

    def _scaled(self, gradient: Floats) -> Floats:
        if self._num_steps == 0:
            self._first, self._second = np.zeros_like(gradient), np.zeros_like(gradient)
        self._num_steps += 1

        beta1, beta2 = self.BETAS
        self._first = beta1 * self._first + (1 - beta1) * gradient
        self._second = beta2 * self._second + (1 - beta2) * gradient**2

        first = self._first / (1 - beta1**self._num_steps)
        second = self._second / (1 - beta2**self._num_steps)
        return first / (np.sqrt(second) + self.EPSILON)

    def change_tasks(self, change: TaskChange) -> None:
        """Go on with other tasks: new ones at rest, with steps of the size that the others have.

        A second moment of 0 would make their first steps several times as large, since the bias
        correction is over by then.
        """
        if self._num_steps == 0:  # no moments yet
            return

        if not len(change.kept):
            self._num_steps = 0
            return
        self._first = change.carried(self._first, 0.0)
        self._second = change.carried(self._second, change.mean_of_kept(self._second, 0.0))

    def state_dict(self) -> State:
        """Step count and moments."""
        return {
            "num_steps": self._num_steps,
            "first": self._first.tolist(),
            "second": self._second.tolist(),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        self._num_steps = int(state["num_steps"])
        self._first = np.array(state["first"], dtype=np.float64)
        self._second = np.array(state["second"], dtype=np.float64)
