"""Thompson sampling: which task is the most learnable, drawn as often as it may be true."""

from __future__ import annotations

import numpy as np

from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, State
from mtgrpo.core.weightings.base import CountArrays, TaskWeighting
from mtgrpo.core.weightings.reward_estimate import mean_of_known, within_unit
from mtgrpo.errors import ConfigError


class Thompson(TaskWeighting):
    """A task's weight is the chance that it is the most learnable one, by draws from posteriors.

    Each task has a Beta posterior of its rate of right answers p, from a uniform prior. A step
    draws `draws` times a p for every task; a draw goes to the task with the largest ``p (1 - p)``,
    and a weight is the share of draws. What was seen fades towards the prior, so a task that gets
    nothing for a while becomes uncertain and is tried again:

    ``alpha <- 1 + decay (alpha - 1) + n J``;  ``beta <- 1 + decay (beta - 1) + n (1 - J)``

    with n groups observed in the step. A group counts as one observation, whatever its size: the
    answers to one prompt are alike.

    Args:
        decay: What a posterior keeps of its past per step, in [0, 1].
        draws: Draws per step; weights are multiples of one over that.

    Source: MoPPS (arXiv 2507.04632) and BOTS (2510.26374) have these posteriors and this
    discount for single prompts and take those drawn nearest to a rate of one half, which has the
    largest ``p (1 - p)``. Posteriors of tasks, and weights as shares of draws, are ours. J outside
    [0, 1] is taken for the nearer end.

    The draws come from a generator with the mixer's seed; its state is saved.
    """

    per_task = ("_right", "_wrong")

    def __init__(self, decay: float = 0.9, draws: int = 64) -> None:
        if not (0 <= decay <= 1 and draws >= 1):
            raise ConfigError(
                f"Thompson: decay={decay}, draws={draws}; decay must be in [0, 1], draws at least 1"
            )
        self.decay, self.draws = decay, draws

    def _start(self, num_tasks: int) -> None:
        self._right, self._wrong = np.zeros(num_tasks), np.zeros(num_tasks)
        self._z = np.full(num_tasks, 1.0 / num_tasks)

        # Drawn in the order of names: the order in which tasks are given must not matter.
        self._by_name = np.argsort(np.array(self._tasks))
        self._rng = np.random.default_rng(self._seed)

    def _change_tasks(self, change: TaskChange) -> None:
        super()._change_tasks(change)
        self._by_name = np.argsort(np.array(change.after))
        self._z = change.carried_weights(self._z)

    def _count(self, counts: CountArrays) -> None:
        self._observed = counts.observed

    def _update(
        self, rewards: list[Floats], improvements: list[Floats], mean_abs_advantages: Floats
    ) -> None:
        self._right *= self.decay
        self._wrong *= self.decay

        if rewards:
            means = mean_of_known(rewards)
            groups = np.where(np.isnan(means), 0.0, self._observed)
            success = within_unit(np.where(np.isnan(means), 0.0, means))
            self._right += groups * success
            self._wrong += groups * (1 - success)

        self._z = self._drawn_shares()

    def _drawn_shares(self) -> Floats:
        num_tasks = len(self._tasks)
        alpha, beta = 1 + self._right[self._by_name], 1 + self._wrong[self._by_name]

        rates = self._rng.beta(alpha, beta, size=(self.draws, num_tasks))  # (draws, K), by name
        best = (rates * (1 - rates)).argmax(axis=1)  # (draws,)

        wins = np.zeros(num_tasks)
        wins[self._by_name] = np.bincount(best, minlength=num_tasks)
        return wins / self.draws

    def _weights(self) -> Floats:
        return self._z

    def _state(self) -> State:
        return {
            "right": self._right.tolist(),
            "wrong": self._wrong.tolist(),
            "weights": self._z.tolist(),
            "rng": self._rng.bit_generator.state,
        }

    def _load(self, state: State) -> None:
        self._right = np.array(state["right"], dtype=np.float64)
        self._wrong = np.array(state["wrong"], dtype=np.float64)
        self._z = np.array(state["weights"], dtype=np.float64)
        self._rng.bit_generator.state = state["rng"]
