"""Large groups in parts: a prompt's first completions say whether the others are worth it.

The first n0 of a prompt's G completions are its probe. Where there is something to learn from them
the others are generated too; where all are alike they are with a chance q > 0, and the group then
counts 1 / q. There may be another look on the way, after 24 of 72 say: what is still all alike goes
on with a chance again, and counts 1 over the product. So every group is there on average as often
as if all were whole: the gradient is unbiased, and hard prompts stay in. The task's mean is that of
the first n0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from mtgrpo.core.beta_prompts import BetaPrompts
from mtgrpo.core.filters import lenient
from mtgrpo.core.probe_choice import best_probes
from mtgrpo.core.probe_stages import Probe, Stage
from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, Group, Ints, State, Verdict
from mtgrpo.errors import ConfigError, StateError

AUTO = "auto"
DECAY = 0.8  # of what is known of a task's accuracy, per step; as that of acceptance rates


class ProbeRule:
    """Which probe each task has.

    Args:
        stated: ``"auto"``: for each task and step the one that saves most completions at equal
            variance of the gradient, none where that is less than a tenth, see `best_probes`. The
            first step has none. ``{"size": 8, "chance": 0.25}``: this one for all tasks; with
            lists, ``{"size": [8, 24], "chance": [0.4, 0.5]}``, several stages.
        num_tasks: K.

    Raises:
        ConfigError: Something else, or a number out of range.
    """

    def __init__(self, stated: str | Mapping[str, Any], num_tasks: int) -> None:
        self._fixed = None if stated == AUTO else stated_probe(stated)

        # Sums over groups, older steps fading, shape (K,).
        self._accuracy, self._groups = np.zeros(num_tasks), np.zeros(num_tasks)

    def probes(self, acceptance: Floats, counts: Ints | Floats, group_size: int) -> list[Probe]:
        """Those of all tasks.

        Args:
            acceptance: Share of each task's whole groups that are mixed, shape (K,).
            counts: Groups that are asked of each, shape (K,).
            group_size: G.
        """
        if self._fixed is not None:
            return [self._fixed.within(group_size)] * len(acceptance)

        means = (self._accuracy + 0.5) / (self._groups + 1)
        tasks: list[BetaPrompts | None] = []
        for k, mean in enumerate(means.tolist()):
            is_known = self._groups[k] > 0  # not at first, nor if graded: it has no accuracies
            tasks.append(BetaPrompts(mean, acceptance[k], group_size) if is_known else None)
        return best_probes(tasks, counts.tolist(), group_size)

    def observe(self, accuracy_sums: Floats, num_groups: Floats) -> None:
        """Take in a step.

        Args:
            accuracy_sums: Sums of the groups' accuracies, shape (K,).
            num_groups: Over how many groups, of those that have accuracies.
        """
        fade = np.where(num_groups > 0, DECAY, 1.0)
        self._accuracy = self._accuracy * fade + np.minimum(
            np.maximum(accuracy_sums, 0.0), num_groups
        )
        self._groups = self._groups * fade + num_groups

    def _stated(self) -> str | dict[str, Any]:
        if self._fixed is None:
            return AUTO

        sizes = [stage.size for stage in self._fixed.stages]
        chances = [stage.if_wrong for stage in self._fixed.stages]
        if len(sizes) == 1:
            return {"size": sizes[0], "chance": chances[0]}
        return {"size": sizes, "chance": chances}

    def change_tasks(self, change: TaskChange) -> None:
        """Go on with other tasks; of new ones nothing is known."""
        change.carry(self, ("_accuracy", "_groups"), {"_accuracy": 0.0, "_groups": 0.0})

    def state_dict(self) -> State:
        """JSON-able state."""
        return {
            "stated": self._stated(),
            "accuracy": self._accuracy.tolist(),
            "groups": self._groups.tolist(),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned.

        Raises:
            StateError: It was saved with other probes.
        """
        saved = state.get("stated", self._stated())  # not in states of 0.2 before its release
        if saved != self._stated():
            raise StateError(
                f"sampler: saved with probes={saved!r}, now probes={self._stated()!r}; "
                "resume with the probes that the run was started with"
            )

        self._accuracy = np.array(state["accuracy"], dtype=np.float64)
        self._groups = np.array(state["groups"], dtype=np.float64)


class StepProbes:
    """The probes of one step's groups: an engine asks for their parts, and which go on.

        probe = batch.probes.of("arc", group_size=32)
        probe.sizes(32)                                # [8, 16, 32] completions, part by part
        weights = batch.probes.weights(groups_of_8)    # 0: leave it; else what it will count
        weights = batch.probes.weights(groups_of_16)   # of those that went on, with that weight

    Args:
        tasks: Task names, in order.
        rule: Chooses.
        rates: Acceptance rates, shape (K,).
        counts: Groups that the step asks of each task, shape (K,).
        judge: The sampler's filter.
        rng: The mixer's.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        rule: ProbeRule,
        rates: Floats,
        counts: Ints | Floats,
        judge: Callable[[Group], Verdict],
        rng: np.random.Generator,
    ) -> None:
        self._places = {name: k for k, name in enumerate(tasks)}
        self._rule, self._rates, self._counts = rule, rates, counts
        self._of_size: dict[int, list[Probe]] = {}  # of all tasks, by the size of groups
        self._judge, self._rng = judge, rng
        self.chosen: dict[str, Probe] = {}

    def of(self, task: str, group_size: int) -> Probe:
        """The probe of a task's groups of G; it is the same all through the step."""
        if task not in self.chosen:
            if group_size not in self._of_size:
                probes = self._rule.probes(self._rates, self._counts, group_size)
                self._of_size[group_size] = probes
            self.chosen[task] = self._of_size[group_size][self._places[task]]
        return self.chosen[task]

    def weights(self, groups: Sequence[Group]) -> list[float]:
        """What each group counts once it is completed; 0 where no more of it is to be generated.

        Of a task's constant groups a share of q goes on, spread evenly from a random start, which
        varies less than a coin for each.

        Args:
            groups: As far as they are generated, each as large as one of the stages of its task, in
                an order that does not depend on what is in them: that of their prompts. From the
                second stage on they have what they count so far, see `Probed`. Groups of a task
                without a probe are whole, and count 1.

        Raises:
            StateError: `of` was not asked for the probe of one of the tasks, or a group is as large
                as no stage of its task.
        """
        stages = [self._stage(group) for group in groups]
        positions: dict[tuple[str, int, float], float] = {}
        weights: list[float] = []

        for group, stage in zip(groups, stages, strict=True):
            is_first = stage.size == self.chosen[group.task].size
            weight = 1 if is_first else group.weight
            chance = stage.if_right if _are_right(group) else stage.if_wrong
            if chance == 1.0 or self._is_mixed(group):
                weights.append(weight)
                continue

            spread = group.task, stage.size, chance
            if spread not in positions:
                positions[spread] = float(self._rng.random())
            before = positions[spread]
            positions[spread] = after = before + chance
            weights.append(weight / chance if math.floor(after) > math.floor(before) else 0)

        return weights

    def _stage(self, group: Group) -> Stage:
        if group.task not in self.chosen:
            raise StateError(
                f"probes.weights: a group of task {group.task!r}, whose probe was not asked for; "
                "allowed are tasks that `of` was asked for; call of(task, group_size) first"
            )

        probe, size = self.chosen[group.task], len(group.rewards)
        stage = probe.stage(size)
        if stage is None:
            allowed = ", ".join(str(stage.size) for stage in probe.stages)
            raise StateError(
                f"probes.weights: a group of task {group.task!r} with {size} completions; allowed: "
                f"{allowed}; generate groups in parts, as of(task, group_size).sizes says"
            )
        if size > probe.size and (group.probe is None or not group.weight):
            raise StateError(
                f"probes.weights: a group of task {group.task!r} with {size} completions and "
                f"probe={group.probe}; it must say what the group counts so far; give it "
                f"Probed({probe.size}, weight) with the weight of the stage before"
            )
        return stage

    def _is_mixed(self, group: Group) -> bool:
        return self._judge(group).keep and lenient(group).keep


def _are_right(group: Group) -> bool:
    return group.mean_accuracy >= 0.5  # of groups that are all alike; not where it is not known


def stated_probe(stated: str | Mapping[str, Any]) -> Probe:
    """The probe that a configuration states.

    Raises:
        ConfigError: It states none, or a number is out of range.
    """
    where = f"probes: {stated!r}"
    if not isinstance(stated, Mapping) or set(stated) != {"size", "chance"}:
        raise ConfigError(
            f"{where}; allowed: {AUTO}, or a size and a chance, as in {{size: 8, chance: 0.25}}"
        )

    sizes, chances = (_as_list(stated[key]) for key in ("size", "chance"))
    for size in sizes:
        if not _is_whole(size) or size < 2:
            raise ConfigError(f"{where}; size must be a whole number of at least 2")
    for chance in chances:
        is_number = isinstance(chance, (int, float)) and not isinstance(chance, bool)
        if not is_number or not 0 < chance <= 1:
            raise ConfigError(
                f"{where}; chance must be above 0, so that no prompt is given up, to 1"
            )

    if not sizes or len(sizes) != len(chances) or sizes != sorted(set(sizes)):
        raise ConfigError(
            f"{where}; several sizes must grow, with a chance each, as in "
            "{size: [8, 24], chance: [0.4, 0.5]}"
        )
    return Probe.with_one_chance(map(int, sizes), map(float, chances))


def _as_list(value: Any) -> list[Any]:
    return list(cast("Sequence[Any]", value)) if isinstance(value, (list, tuple)) else [value]


def _is_whole(size: Any) -> bool:
    if isinstance(size, float):
        return size.is_integer()  # not inf, not nan
    return isinstance(size, int) and not isinstance(size, bool)
