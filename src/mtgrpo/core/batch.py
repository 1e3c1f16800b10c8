"""One step's batch: ask what to roll out, tell what came back, train on `groups`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mtgrpo.core.ahead import batch_needs
from mtgrpo.core.fill_rules import FillRules
from mtgrpo.core.filters import lenient
from mtgrpo.core.kept_groups import KeptGroups
from mtgrpo.core.planners import RoundView
from mtgrpo.core.probes import StepProbes
from mtgrpo.core.step_counts import StepCounts
from mtgrpo.core.types import Floats, Group, Ints, State
from mtgrpo.errors import ConfigError, ShortfallError, StateError, counted, unknown


class Batch:
    """A batch being filled. Made by `TaskMixer.new_batch`.

    ``ask`` and ``tell`` may be called in any rhythm: groups can be told in pieces and
    in any order, and ``ask`` repeats what is still outstanding. Every generated group
    must be told, informative or not.

    Where uids are given the order decides nothing: when all groups of a round are there, they
    are sorted by ``uid`` before any is chosen. Groups of one uid, the default of 0 among them,
    stay in the order in which they were told. *Which* groups are told must not depend on their
    answers either. An engine that starts more prompts than were asked for and tells the first
    ones to finish prefers short answers; it must tell the groups of the first prompts.

    Attributes:
        counts: What was told so far.
        probes: For engines that generate groups in parts; None where none are to.
        num_predicted: Groups that filling the batch was expected to take, at its beginning.
    """

    def __init__(
        self,
        rules: FillRules,
        weights: Floats,
        quotas: Ints | None,
        rng: np.random.Generator,
        *,
        banked: Sequence[Group] = (),
        room: Floats | None = None,
    ) -> None:
        size = len(rules.tasks)
        self._rules, self._weights, self._quotas, self._rng = rules, weights, quotas, rng
        self._room = np.zeros(size) if room is None else room
        self._index = {name: i for i, name in enumerate(rules.tasks)}

        # Counts per task, of shape (K,): of prompts, and of the groups of the round
        # under way.
        self._pending: Ints = np.zeros(size, dtype=np.int64)
        self._asked: Ints = np.zeros(size, dtype=np.int64)
        self._round_generated: Ints = np.zeros(size, dtype=np.int64)
        self._round_accepted: Ints = np.zeros(size, dtype=np.int64)

        self._kept = KeptGroups(banked, rules.batch_size)
        self._num_accepted = self._count(self._kept.banked)  # banked ones too, shape (K,)

        self.counts = StepCounts()
        self.probes: StepProbes | None = None
        self.num_predicted = self._predict()

    def _count(self, groups: Iterable[Group]) -> Ints:
        places = [self._index[group.task] for group in groups]
        return np.bincount(np.array(places, dtype=np.int64), minlength=len(self._index))

    def _predict(self) -> float:
        view = self._view()
        rates = np.maximum(view.acceptance_rates, 1e-3)
        if view.quotas is None:
            return float(view.num_missing / (view.weights @ rates))
        return float((view.deficits / rates).sum())

    def _by_name(self, counts: Ints) -> dict[str, int]:
        # Tasks that have any.
        return {self._rules.tasks[i]: int(counts[i]) for i in np.flatnonzero(counts)}

    def prompts_needed(self, weights: Floats, rates: Floats) -> Floats:
        """Prompts of each task that a batch of this kind takes, of shape (K,).

        Args:
            weights: Task weights of that batch, of shape (K,).
            rates: Acceptance rates, of shape (K,).
        """
        keeps_shares = self._quotas is not None
        return batch_needs(weights, rates, self._rules.batch_size, keeps_shares=keeps_shares)

    # ---- asking ----------------------------------------------------------------------------------
    def ask(self) -> dict[str, int]:
        """Prompts to roll out now, per task; empty once the batch is full or out of rounds.

        Raises:
            ShortfallError: The rounds are used up, something is missing and the policy
                is ``"fail"``. The batch is final all the same: `groups` holds what
                there is, and `TaskMixer.update` closes the step.
        """
        if not self.done and not self._pending.any():
            self._next_round()
        if self.done and self._rules.shortfall == "fail":
            self._check_filled()
        return self._by_name(self._pending)

    def _view(self) -> RoundView:
        acceptance = self._rules.acceptance
        return RoundView(
            number=len(self.counts.rounds),
            batch_size=self._rules.batch_size,
            weights=self._weights,
            quotas=self._quotas,
            accepted=self._num_accepted,
            acceptance_rates=acceptance.rates(),
            evidence=acceptance.evidence(),
            room=self._room,
        )

    def _next_round(self) -> None:
        view = self._view()
        is_full = view.num_missing == 0 and not view.deficits.any()
        if is_full or view.number > self._rules.max_resamples:
            self._select()
            return

        planned = self._rules.planner.plan(view, self._rng)
        wanted = np.minimum(planned, self._rules.affordable(self._quotas, self._asked))
        if not wanted.any():
            self._select()
            return

        self._pending = wanted
        self._asked = self._asked + wanted
        self.counts.begin_round()

    def _select(self) -> None:
        self._kept.select(self.quotas, self._rules.shortfall == "surplus", self._rng)

    def _check_filled(self) -> None:
        view = self._view()
        missing = view.num_missing if view.quotas is None else int(view.deficits.sum())
        if not missing:
            return

        each = self._by_name(view.deficits)
        raise ShortfallError(
            f"batch: {missing} of {counted(view.batch_size, 'group')} missing after "
            + counted(view.number, "round")
            + (f" {each}; " if each else "; ")
            + "allow more with max_resamples, or choose shortfall='surplus' or 'smaller'"
        )

    # ---- telling ---------------------------------------------------------------------------------
    def tell(self, groups: Iterable[Group], copies: Sequence[int] | None = None) -> None:
        """Hand in generated groups. All of a call are checked before the first one is counted.

        Args:
            groups: What was generated.
            copies: For engines with many equal groups, which are built once: one entry per
                generated group, in the order of generation, that is the place of its
                equal in `groups`. ``tell([a, b], copies=[0, 1, 0])`` tells a, b and
                a again. None tells each of `groups` once.

        Raises:
            ConfigError: A group of an unknown task.
            StateError: More groups of a task than were asked for.
        """
        groups = list(groups)
        order: Sequence[int] = range(len(groups)) if copies is None else copies
        counts = np.bincount(np.array(order, dtype=np.int64), minlength=len(groups)).tolist()

        told = Counter[str]()
        for group, count in zip(groups, counts, strict=True):
            told[group.task] += count
        self._check_told(told)

        # A user's filter may raise: judge all before counting one.
        judged = [self._rules.judge(group) for group in groups]

        kept = Counter[str]()
        for group, count, (verdict, is_informative) in zip(groups, counts, judged, strict=True):
            self.counts.add(group, count, verdict, is_informative)
            kept[group.task] += count * verdict.keep

        keep = [verdict.keep for verdict, _ in judged]
        self._kept.add(
            [groups[i] for i in order if keep[i]], [groups[i] for i in order if not keep[i]]
        )
        self._advance(told, kept)

    def _check_told(self, told: Mapping[str, int]) -> None:
        for task, count in told.items():
            if task not in self._index:
                raise ConfigError(unknown("tell", "task", task, self._index))

            asked = int(self._pending[self._index[task]])
            if count > asked:
                raise StateError(
                    f"tell: {counted(count, 'group')} of task {task!r}, outstanding: {asked}; "
                    "tell what ask() returned"
                )

    def _advance(self, told: Mapping[str, int], kept: Mapping[str, int]) -> None:
        for task, count in told.items():
            i = self._index[task]
            self._pending[i] -= count
            self._round_generated[i] += count
            self._round_accepted[i] += kept[task]
            self._num_accepted[i] += kept[task]

        if told and not self._pending.any():
            num_generated = int(self._round_generated.sum())
            num_accepted = int(self._round_accepted.sum())
            self._kept.end_round(num_accepted, num_generated - num_accepted)

            self._rules.acceptance.observe(self._round_generated, self._whole_accepted())
            self._round_generated = np.zeros_like(self._pending)
            self._round_accepted = np.zeros_like(self._pending)

    def _whole_accepted(self) -> Ints | Floats:
        return self._round_accepted

    # ---- the outcome -----------------------------------------------------------------------------
    @property
    def done(self) -> bool:
        """Whether `groups` is final."""
        return self._kept.selected is not None

    @property
    def groups(self) -> list[Group]:
        """The groups to train on: at most ``batch_size``, quotas first.

        Raises:
            StateError: The batch is still being filled.
        """
        if self._kept.selected is None:
            raise StateError(
                "batch: still being filled; call ask() and tell() until ask() returns {}"
            )
        return self._kept.selected

    @property
    def banked(self) -> list[Group]:
        """The groups of earlier steps in this batch: generated by an older policy."""
        return list(self._kept.banked)

    @property
    def exhausted(self) -> list[str]:
        """Tasks whose quota is unmet although they had all the prompts a step may spend on them."""
        is_spent = self._rules.affordable(self._quotas, self._asked) == 0
        is_short = self._view().deficits > 0
        return [self._rules.tasks[i] for i in np.flatnonzero(is_short & is_spent)]

    @property
    def surplus(self) -> list[Group]:
        """Accepted groups that are not in `groups`."""
        return self._kept.accepted if self.done else []

    def padding(self, count: int) -> list[Group]:
        """Up to `count` dropped groups, for engines that must train on a fixed number of groups.

        Groups of constant reward come first: they add no gradient. The engine must give
        the others equal rewards before training on them.
        """
        return sorted(self._kept.dropped, key=lambda g: lenient(g).keep)[:count]

    @property
    def quotas(self) -> dict[str, int] | None:
        """Groups wanted per task; None when the batch is filled from any task."""
        if self._quotas is None:
            return None
        return dict(zip(self._rules.tasks, self._quotas.tolist(), strict=True))

    @property
    def shortfall(self) -> int:
        """Groups by which quotas (without quotas: the batch) are unmet."""
        if self._quotas is None:
            return self._rules.batch_size - len(self.groups)
        return int(np.maximum(self._quotas - self._count(self.groups), 0).sum())

    @property
    def weight_array(self) -> Floats:
        """z, the task weights of the step, in task order."""
        return self._weights

    @property
    def loss_targets(self) -> Mapping[str, float]:
        """Each task's wanted share of the loss, of any sum: its quota, or weight without quotas."""
        targets = self._weights if self._quotas is None else self._quotas
        return dict(zip(self._rules.tasks, targets.tolist(), strict=True))

    @property
    def loss_shares(self) -> Mapping[str, float] | None:
        """Each task's share of the loss, where shares are made there; else None."""
        return None

    @property
    def cost(self) -> float | None:
        """What the groups cost, in the unit of the sampler's budget; None where none is counted."""
        return None

    @property
    def expected_costs(self) -> Mapping[str, float]:
        """What a group of each task was expected to cost, likewise; empty where not known."""
        return {}

    def tell_loss_shares(self, shares: Mapping[str, float]) -> None:
        """Hand in each task's share of the engine's loss, for samplers that make shares there."""

    def attach(self, payloads: Mapping[int | str, Any]) -> None:
        """Give groups of a restored batch their payloads back, by ``uid``."""
        self._kept.attach(payloads)

    # ---- state -----------------------------------------------------------------------------------
    def state_dict(self) -> State:
        """Everything but payloads; valid between any ask and tell."""
        quotas = self._quotas
        return {
            "weights": self._weights.tolist(),
            "quotas": None if quotas is None else quotas.tolist(),
            "pending": self._pending.tolist(),
            "asked": self._asked.tolist(),
            "round_generated": self._round_generated.tolist(),
            "round_accepted": self._round_accepted.tolist(),
            "groups": self._kept.state_dict(),
            "counts": self.counts.state_dict(),
            "num_predicted": self.num_predicted,
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned, without payloads."""
        quotas = state["quotas"]
        self._weights = np.array(state["weights"], dtype=np.float64)
        self._quotas = None if quotas is None else np.array(quotas, dtype=np.int64)
        self._pending = np.array(state["pending"], dtype=np.int64)
        self._asked = np.array(state["asked"], dtype=np.int64)
        self._round_generated = np.array(state["round_generated"], dtype=np.int64)
        self._round_accepted = np.array(state["round_accepted"], dtype=np.int64)

        self._kept.load_state_dict(state["groups"])
        # Banked groups are among the selected ones, once there are some.
        chosen = self._kept.banked if self._kept.selected is None else self._kept.selected
        self._num_accepted = self._count(self._kept.accepted + chosen)

        self.counts.load_state_dict(state["counts"])
        self.num_predicted = float(state["num_predicted"])
