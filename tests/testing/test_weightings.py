"""Every weighting holds to the contract that users' own weightings are given."""

from collections.abc import Sequence

from mtgrpo.core.weightings import (
    DRATS,
    DUMP,
    SEC,
    SFL,
    Balanced,
    Fixed,
    ImprovementAware,
    Regularized,
    Sequential,
    TaskWeighting,
    Thompson,
    Uniform,
)
from mtgrpo.testing import WeightingContract


class TestUniform(WeightingContract):
    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return Uniform()


class TestFixed(WeightingContract):
    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return Fixed({task: i + 1.0 for i, task in enumerate(sorted(tasks))})


class TestSequential(WeightingContract):
    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        names = sorted(tasks)
        return Sequential(
            [part for part in (names[: len(names) // 2], names[len(names) // 2 :]) if part], 7
        )


class TestSEC(WeightingContract):
    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return SEC()


class TestImprovementAwareDefault(WeightingContract):
    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return ImprovementAware()


class TestImprovementAwareSurrogateStep(WeightingContract):
    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return ImprovementAware(
            improvement="surrogate", reward_ema=0.0, optimizer="sgd", weight_lr=0.5
        )


class TestImprovementAwareReleased(WeightingContract):
    shift_invariant = False  # the average starts at 0 and tasks are absent: a shift reaches them at different times

    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return ImprovementAware(
            improvement="surrogate", updates="minibatch", optimizer="adam", reward_start=0.0
        )


class TestRegularizedDefault(WeightingContract):
    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return Regularized()


class TestRegularizedStrong(WeightingContract):
    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return Regularized(eta=1e-2, updates="minibatch", optimizer="adamw", reward_ema=0.9)


class TestRegularizedWorstTask(WeightingContract):
    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return Regularized(eta=0.0, reward_ema=0.0, optimizer="sgd", weight_lr=1.0)


class TestRegularizedReleased(WeightingContract):
    shift_invariant = False  # as above

    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return Regularized(eta=5e-4, reward_scale=0.2, updates="minibatch", reward_start=0.0)


class TestBalanced(WeightingContract):
    shift_invariant = False  # an accuracy is known to lie in [0, 1], and its noise depends on where

    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return Balanced()


class TestBalancedWithAGap(WeightingContract):
    shift_invariant = False  # as above

    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return Balanced(
            gap=0.1,
            floors={min(tasks): 0.25},
            ceilings={max(tasks): 0.9} if len(tasks) > 1 else None,
        )


class TestSFL(WeightingContract):
    shift_invariant = False  # a rate of right answers is known to lie in [0, 1]

    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return SFL()


class TestThompson(WeightingContract):
    shift_invariant = False  # as above

    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return Thompson(draws=16)


class TestDUMP(WeightingContract):
    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return DUMP(window=50)


class TestDRATS(WeightingContract):
    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return DRATS()


class TestDRATSWithTargets(WeightingContract):
    def make(self, tasks: Sequence[str]) -> TaskWeighting:
        return DRATS(target=0.6, targets={min(tasks): 0.9}, step_size=0.5, reward_ema=0.0)
