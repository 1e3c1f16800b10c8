"""One step's batch: ask what to roll out, tell what came back, train on `groups`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtgrpo.core.filters import informative, keep_all, lenient
from mtgrpo.core.quotas import Floats, Ints
from mtgrpo.core.round_stats import RoundStats
from mtgrpo.core.rounds import RoundView
from mtgrpo.core.types import Group, State, Verdict, dump_group, load_group
from mtgrpo.errors import ConfigError, ShortfallError, StateError, unknown

if TYPE_CHECKING:
    from mtgrpo.core.sampler import RatioPreservingSampler


class Batch:
    """A batch being filled. Made by `TaskMixer.new_batch`.

    ``ask`` and ``tell`` may be called in any rhythm: groups can be told in pieces and in any order, and ``ask``
    repeats what is still outstanding. Every generated group must be told, informative or not.
    """

    def __init__(
        self,
        sampler: RatioPreservingSampler,
        weights: Floats,
        quotas: Ints | None,
        rng: np.random.Generator,
        banked: Sequence[Group] = (),
    ) -> None:
        self._sampler, self._weights, self._quotas, self._rng = sampler, weights, quotas, rng
        self._index = {name: i for i, name in enumerate(sampler.tasks)}
        # With no filter every group is kept; the acceptance rate that is reported still says how many inform.
        self._gauge = informative if sampler.group_filter is keep_all else sampler.group_filter
        size = len(sampler.tasks)
        self._pending: Ints = np.zeros(size, dtype=np.int64)
        self._round_generated: Ints = np.zeros(size, dtype=np.int64)
        self._round_accepted: Ints = np.zeros(size, dtype=np.int64)
        self._asked: Ints = np.zeros(size, dtype=np.int64)
        self._banked = list(banked)
        self._accepted_counts = self._count(self._banked)
        self._accepted: list[Group] = []
        self._dropped: list[Group] = []
        self._selected: list[Group] | None = None
        self.rounds: list[RoundStats] = []
        self.num_rollouts = 0
        self.num_predicted = self._predict()
        self.num_informative: Counter[str] = Counter()
        self.dropped: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def _count(self, groups: Iterable[Group]) -> Ints:
        places = [self._index[group.task] for group in groups]
        return np.bincount(np.array(places, dtype=np.int64), minlength=len(self._index))

    def _predict(self) -> float:
        view = self._view()
        rates = np.maximum(view.acceptance_rates, 1e-3)
        if view.quotas is None:
            return float(view.num_missing / (view.weights @ rates))
        return float((view.deficits / rates).sum())

    # ---- filling -------------------------------------------------------------------------------------------
    def ask(self) -> dict[str, int]:
        """Prompts to roll out now, per task; empty once the batch is full or its budget of rounds is spent.

        Raises:
            ShortfallError: The budget is spent, something is missing and the policy is ``"fail"``. The batch is final
                all the same: `groups` holds what there is, and `TaskMixer.update` closes the step.
        """
        if self._selected is None and not self._pending.any():
            self._next_round()
        if self._selected is not None and self._sampler.shortfall == "fail":
            self._check_filled()
        tasks = self._sampler.tasks
        return {tasks[i]: int(self._pending[i]) for i in np.flatnonzero(self._pending)}

    def _view(self) -> RoundView:
        return RoundView(
            number=len(self.rounds),
            batch_size=self._sampler.batch_size,
            weights=self._weights,
            quotas=self._quotas,
            accepted=self._accepted_counts,
            acceptance_rates=self._sampler.acceptance.rates(),
            evidence=self._sampler.acceptance.evidence(),
            room=self._sampler.bank_room(self._weights),
        )

    def _next_round(self) -> None:
        view = self._view()
        full = view.num_missing == 0 and not view.deficits.any()
        if full or view.number > self._sampler.max_resamples:
            self._select()
            return
        wanted = np.minimum(self._sampler.rounds.plan(view, self._rng), self._affordable())
        if not wanted.any():
            self._select()
            return
        self._pending = wanted
        self._asked = self._asked + wanted
        self.rounds.append(RoundStats())

    def _affordable(self) -> Ints:
        # Prompts that each task may still be asked for in this step.
        most = self._sampler.max_prompts_per_group
        if most is None or self._quotas is None:
            return np.full_like(self._asked, np.iinfo(np.int64).max)
        return np.maximum(np.ceil(self._quotas * most).astype(np.int64) - self._asked, 0)

    def tell(self, groups: Iterable[Group]) -> None:
        """Hand in generated groups. All groups of a call are checked before the first one is counted.

        Raises:
            ConfigError: A group of an unknown task.
            StateError: More groups of a task than were asked for.
        """
        groups = list(groups)
        # The simulator tells the same object many times: what is in a group is looked at once.
        copies, distinct = Counter(map(id, groups)), {id(group): group for group in groups}
        told = Counter[str]()
        for key, group in distinct.items():
            told[group.task] += copies[key]
        for task, count in told.items():
            if task not in self._index:
                raise ConfigError(unknown("tell", "task", task, self._index))
            asked = int(self._pending[self._index[task]])
            if count > asked:
                raise StateError(
                    f"tell: {count} groups of task {task!r}, but {asked} are outstanding; tell what ask() returned"
                )
        # A user's filter may raise: judge all before counting one.
        facts = {key: self._judge(group) for key, group in distinct.items()}
        keep = {key: verdict.keep for key, (verdict, *_) in facts.items()}
        stats, kept = self.rounds[-1] if groups else RoundStats(), Counter[str]()
        for key, (verdict, informs, reward, accuracy) in facts.items():
            task, count = distinct[key].task, copies[key]
            self.num_rollouts += count * len(distinct[key].rewards)
            stats.add(task, reward, accuracy, count, distinct[key].draw)
            self.num_informative[task] += count * informs
            if verdict.keep:
                kept[task] += count
            else:
                self.dropped[task][verdict.reason or "filtered"] += count
        self._accepted += [group for group in groups if keep[id(group)]]
        room = self._sampler.batch_size - len(
            self._dropped
        )  # the rest is let go: completions are large
        if room > 0:
            self._dropped += [group for group in groups if not keep[id(group)]][:room]
        for task, count in told.items():
            i = self._index[task]
            self._pending[i] -= count
            self._round_generated[i] += count
            self._round_accepted[i] += kept[task]
            self._accepted_counts[i] += kept[task]
        if groups and not self._pending.any():
            self._sampler.acceptance.observe(self._round_generated, self._round_accepted)
            self._round_generated = np.zeros_like(self._pending)
            self._round_accepted = np.zeros_like(self._pending)

    def _judge(self, group: Group) -> tuple[Verdict, bool, float, float]:
        verdict = self._sampler.group_filter(group)
        informs = (
            verdict.keep if self._gauge is self._sampler.group_filter else self._gauge(group).keep
        )
        return verdict, informs, group.mean_reward, group.mean_accuracy

    def _select(self) -> None:
        size, policy = self._sampler.batch_size, self._sampler.shortfall
        if self._quotas is None:
            fresh, self._accepted = self._split(self._accepted, size - len(self._banked))
            self._selected = self._banked + fresh
            return
        # Within a task the order does not depend on what is in the groups: the first n_k are as random as any.
        room: list[int] = self._quotas.tolist()
        selected, surplus = list[Group](), list[Group]()
        for group in self._banked + self._accepted:
            i = self._index[group.task]
            if room[i] > 0:
                room[i] -= 1
                selected.append(group)
            else:
                surplus.append(group)
        # Released quotas may sum to more than B. Banked groups are within quotas and B: they are not left over again.
        fresh, excess = self._split(selected[len(self._banked) :], size - len(self._banked))
        selected, surplus = self._banked + fresh, surplus + excess
        if policy == "surplus" and len(selected) < size:
            filling, surplus = self._split(surplus, size - len(selected))
            selected += filling
        self._selected, self._accepted = selected, surplus

    def _check_filled(self) -> None:
        view = self._view()
        missing = view.num_missing if view.quotas is None else int(view.deficits.sum())
        if missing:
            each = {
                task: n
                for task, n in zip(self._sampler.tasks, view.deficits.tolist(), strict=True)
                if n
            }
            raise ShortfallError(
                f"batch: {missing} of {view.batch_size} groups missing after {view.number} rounds"
                + (f" {each}; " if each else "; ")
                + "allow more with max_resamples, or choose shortfall='surplus' or 'smaller'"
            )

    def _split(self, groups: list[Group], count: int) -> tuple[list[Group], list[Group]]:
        # At random, as engines may hand groups in task by task: the first `count` would be the first task's.
        if len(groups) <= count:
            return groups, []
        taken = {int(j) for j in self._rng.permutation(len(groups))[:count]}
        chosen = [g for j, g in enumerate(groups) if j in taken]
        return chosen, [g for j, g in enumerate(groups) if j not in taken]

    # ---- the outcome ---------------------------------------------------------------------------------------
    @property
    def done(self) -> bool:
        """Whether `groups` is final."""
        return self._selected is not None

    @property
    def groups(self) -> list[Group]:
        """The groups to train on: at most ``batch_size``, quotas first.

        Raises:
            StateError: The batch is still being filled.
        """
        if self._selected is None:
            raise StateError(
                "batch: still being filled; call ask() and tell() until ask() returns {}"
            )
        return self._selected

    @property
    def banked(self) -> list[Group]:
        """The groups of earlier steps in this batch: generated by an older policy."""
        return list(self._banked)

    @property
    def capped(self) -> list[str]:
        """Tasks whose quota is unmet because they have had all the prompts that a step may spend on them."""
        short = (self._view().deficits > 0) & (self._affordable() == 0)
        return [self._sampler.tasks[i] for i in np.flatnonzero(short)]

    @property
    def surplus(self) -> list[Group]:
        """Accepted groups that are not in `groups`."""
        return self._accepted if self.done else []

    def padding(self, count: int) -> list[Group]:
        """Up to `count` dropped groups, for engines that must train on a fixed number of groups.

        Groups of constant reward come first: they add no gradient. The engine must give the others
        equal rewards before training on them.
        """
        return sorted(self._dropped, key=lambda g: lenient(g).keep)[:count]

    @property
    def quotas(self) -> dict[str, int] | None:
        """Groups wanted per task; None when the batch is filled from any task."""
        if self._quotas is None:
            return None
        return dict(zip(self._sampler.tasks, self._quotas.tolist(), strict=True))

    @property
    def shortfall(self) -> int:
        """Groups by which quotas (without quotas: the batch) are unmet."""
        if self._quotas is None:
            return self._sampler.batch_size - len(self.groups)
        counts = Counter(group.task for group in self.groups)
        return sum(max(0, n - counts[task]) for task, n in (self.quotas or {}).items() if n)

    @property
    def num_generated(self) -> int:
        """Groups generated so far."""
        return sum(sum(stats.num_groups.values()) for stats in self.rounds)

    def totals(self) -> RoundStats:
        """The sums over all rounds of the step."""
        total = RoundStats()
        for stats in self.rounds:
            total.merge(stats)
        return total

    def attach(self, payloads: Mapping[int | str, Any]) -> None:
        """Give groups of a restored batch their payloads back, by ``uid``."""

        self._banked = [g.with_payload(payloads) for g in self._banked]
        self._accepted = [g.with_payload(payloads) for g in self._accepted]
        self._dropped = [g.with_payload(payloads) for g in self._dropped]
        if self._selected is not None:
            self._selected = [g.with_payload(payloads) for g in self._selected]

    # ---- state ---------------------------------------------------------------------------------------------
    def state_dict(self) -> State:
        """Everything but payloads; valid between any ask and tell."""
        return {
            "weights": self._weights.tolist(),
            "quotas": None if self._quotas is None else self._quotas.tolist(),
            "pending": self._pending.tolist(),
            "asked": self._asked.tolist(),
            "round_generated": self._round_generated.tolist(),
            "round_accepted": self._round_accepted.tolist(),
            "banked": [dump_group(g) for g in self._banked],
            "accepted": [dump_group(g) for g in self._accepted],
            "dropped_groups": [dump_group(g) for g in self._dropped],
            "selected": None if self._selected is None else [dump_group(g) for g in self._selected],
            "rounds": [r.dump() for r in self.rounds],
            "num_rollouts": self.num_rollouts,
            "num_predicted": self.num_predicted,
            "num_informative": dict(self.num_informative),
            "dropped": {task: dict(reasons) for task, reasons in self.dropped.items()},
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned, without payloads."""
        self._weights = np.array(state["weights"], dtype=np.float64)
        self._quotas = (
            None if state["quotas"] is None else np.array(state["quotas"], dtype=np.int64)
        )
        self._pending = np.array(state["pending"], dtype=np.int64)
        self._round_generated = np.array(state["round_generated"], dtype=np.int64)
        self._round_accepted = np.array(state["round_accepted"], dtype=np.int64)
        self._asked = np.array(state["asked"], dtype=np.int64)
        self._banked = [load_group(g) for g in state["banked"]]
        self._accepted = [load_group(g) for g in state["accepted"]]
        self._dropped = [load_group(g) for g in state["dropped_groups"]]
        self._selected = (
            None if state["selected"] is None else [load_group(g) for g in state["selected"]]
        )
        self.rounds = [RoundStats.load(r) for r in state["rounds"]]
        self.num_rollouts = int(state["num_rollouts"])
        self.num_predicted = float(state["num_predicted"])
        self.num_informative = Counter(state["num_informative"])
        self.dropped = defaultdict(
            Counter, {task: Counter(r) for task, r in state["dropped"].items()}
        )
        # Banked groups are among the selected ones, once there are some.
        self._accepted_counts = self._count(
            self._accepted + (self._banked if self._selected is None else self._selected)
        )
