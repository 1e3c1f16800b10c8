"""The arrays of a simulation while it runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mtgrpo.core.filters import FILTERS
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.errors import StateError
from mtgrpo.simulation.policy import ToyPolicy
from mtgrpo.simulation.result import SimulationResult


class Record:
    """Takes down each step of a mixer and a policy.

    Args:
        mixer: Mixer whose reports are read.
        policy: Policy whose true accuracy is read.
        steps: Number of steps, T.
    """

    def __init__(self, mixer: TaskMixer, policy: ToyPolicy, steps: int) -> None:
        self._mixer = mixer
        self._policy = policy

        shape = (steps, len(mixer.tasks))
        self._observed = np.full(shape, np.nan)
        self._weights = np.zeros(shape)
        self._realized = np.zeros(shape)
        self._generated = np.zeros(shape, dtype=np.int64)
        self._informative = np.zeros(shape, dtype=np.int64)
        self._skipped = np.zeros(shape, dtype=np.int64)
        self._rounds = np.zeros(steps, dtype=np.int64)
        self._shortfall = np.zeros(steps, dtype=np.int64)

        self._rollouts = np.zeros(steps + 1, dtype=np.int64)
        self._accuracy = np.zeros((steps + 1, len(mixer.tasks)))
        self._accuracy[0] = policy.accuracy()

    def write_step(self, t: int, skipped: Mapping[str, int]) -> None:
        """Take down step t, counted from 0, once the mixer is updated.

        Args:
            t: Number of the step.
            skipped: Prompts that the memory passed over, by task.
        """
        report = self._mixer.report
        if report is None:
            raise StateError("simulation: the mixer has no report; update it before the record")

        accuracies = report.totals.mean_accuracies()
        shares = report.realized_shares()

        for k, task in enumerate(self._mixer.tasks):
            self._observed[t, k] = accuracies.get(task, np.nan)
            self._weights[t, k] = report.weights[task]
            self._realized[t, k] = shares[task]
            self._generated[t, k] = report.totals.num_groups.get(task, 0)
            self._informative[t, k] = round(report.num_informative.get(task, 0))
            self._skipped[t, k] = skipped.get(task, 0)

        self._rounds[t] = report.num_rounds
        self._shortfall[t] = report.shortfall
        self._rollouts[t + 1] = self._mixer.num_rollouts
        self._accuracy[t + 1] = self._policy.accuracy()

    def result(self, method: str, seed: int) -> SimulationResult:
        """Everything taken down.

        Args:
            method: Name of the method.
            seed: Seed of the run.
        """
        return SimulationResult(
            tasks=self._mixer.tasks,
            method=method,
            batch_size=self._mixer.batch_size,
            group_size=self._policy.group_size,
            seed=seed,
            accuracy=self._accuracy,
            observed=self._observed,
            weights=self._weights,
            realized=self._realized,
            generated=self._generated,
            informative=self._informative,
            skipped=self._skipped,
            rounds=self._rounds,
            rollouts=self._rollouts,
            shortfall=self._shortfall,
            group_filter=self._filter_name(),
        )

    def _filter_name(self) -> str:
        for name, function in FILTERS.items():
            if function is self._mixer.sampler.group_filter:
                return name

        return "custom"
