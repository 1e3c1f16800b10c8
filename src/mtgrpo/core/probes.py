"""Large groups in two parts: a prompt's first completions say whether the others are worth it.

The first n0 of a prompt's G completions are its probe. Where the probe has something to learn from
the others are generated too; where all its completions are alike they are with a chance q > 0, and
the group then counts 1 / q. So every group is there on average as often as if all were whole: the
gradient is unbiased, and hard prompts stay in. The task's mean is that of the probes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mtgrpo.core.filters import lenient
from mtgrpo.core.probe_choice import Probe, best_probe
from mtgrpo.core.task_change import TaskChange
from mtgrpo.core.types import Floats, Group, State, Verdict
from mtgrpo.errors import ConfigError, StateError

AUTO = "auto"
DECAY = 0.8  # of what is known of a task's accuracy, per step; as that of acceptance rates


class ProbeRule:
    """Which probe each task has.

    Args:
        stated: ``"auto"``: for each task and step the one that saves most completions at equal
            variance of the gradient, none where that is less than a tenth, see `best_probe`. The
            first step has none. ``{"size": 8, "chance": 0.25}``: this one for all tasks.
        num_tasks: K.

    Raises:
        ConfigError: Something else, or a number out of range.
    """

    def __init__(self, stated: str | Mapping[str, Any], num_tasks: int) -> None:
        self._fixed = None if stated == AUTO else _fixed_probe(stated)

        # Sums over groups, older steps fading, shape (K,).
        self._accuracy, self._groups = np.zeros(num_tasks), np.zeros(num_tasks)

    def probe(self, place: int, acceptance: float, group_size: int) -> Probe:
        """That of one task.

        Args:
            place: Of the task.
            acceptance: Share of its whole groups that are mixed.
            group_size: G.
        """
        if self._fixed is not None:
            return self._fixed if self._fixed.size < group_size else Probe(group_size)

        groups = float(self._groups[place])
        if not groups:  # nothing known yet, or graded: it has no accuracies
            return Probe(group_size)

        mean = (float(self._accuracy[place]) + 0.5) / (groups + 1)
        return best_probe(mean, acceptance, group_size)

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

    def _stated(self) -> str | dict[str, float]:
        if self._fixed is None:
            return AUTO
        return {"size": self._fixed.size, "chance": self._fixed.chance}

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
    """The probes of one step's groups: an engine asks how large they are, and which go on.

        probe = batch.probes.of("arc", group_size=32)      # Probe(size=8, chance=0.25)
        weights = batch.probes.weights(first_parts)        # 0: leave it; else what it will count

    Args:
        tasks: Task names, in order.
        rule: Chooses.
        rates: Acceptance rates, shape (K,).
        judge: The sampler's filter.
        rng: The mixer's.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        rule: ProbeRule,
        rates: Floats,
        judge: Callable[[Group], Verdict],
        rng: np.random.Generator,
    ) -> None:
        self._places = {name: k for k, name in enumerate(tasks)}
        self._rule, self._rates = rule, rates
        self._judge, self._rng = judge, rng
        self.chosen: dict[str, Probe] = {}

    def of(self, task: str, group_size: int) -> Probe:
        """The probe of a task's groups of G; it is the same all through the step."""
        if task not in self.chosen:
            place = self._places[task]
            rate = float(self._rates[place])
            self.chosen[task] = self._rule.probe(place, rate, group_size)
        return self.chosen[task]

    def weights(self, probes: Sequence[Group]) -> list[float]:
        """What each group counts once it is completed; 0 where it is not to be.

        Of a task's constant probes a share of q goes on, spread evenly from a random start, which
        varies less than a coin for each.

        Args:
            probes: First parts of groups, in an order that does not depend on what is in them: that
                of their prompts. Groups of a task without a probe are whole, and count 1.

        Raises:
            StateError: `of` was not asked for the probe of one of the tasks.
        """
        for group in probes:
            if group.task not in self.chosen:
                raise StateError(
                    f"probes.weights: a group of task {group.task!r}, whose probe was not asked "
                    "for; allowed are tasks that `of` was asked for; call of(task, group_size) "
                    "first"
                )

        positions: dict[str, float] = {}
        weights: list[float] = []

        for group in probes:
            chance = self.chosen[group.task].chance
            if chance == 1.0 or self._is_mixed(group):
                weights.append(1)
                continue

            if group.task not in positions:
                positions[group.task] = float(self._rng.random())
            before = positions[group.task]
            positions[group.task] = after = before + chance
            weights.append(1 / chance if math.floor(after) > math.floor(before) else 0)

        return weights

    def _is_mixed(self, group: Group) -> bool:
        return self._judge(group).keep and lenient(group).keep


def _fixed_probe(stated: str | Mapping[str, Any]) -> Probe:
    where = f"probes: {stated!r}"
    if not isinstance(stated, Mapping) or set(stated) != {"size", "chance"}:
        raise ConfigError(
            f"{where}; allowed: {AUTO}, or a size and a chance, as in {{size: 8, chance: 0.25}}"
        )

    size, chance = stated["size"], stated["chance"]
    is_whole = isinstance(size, int) and not isinstance(size, bool)
    is_whole = is_whole or (isinstance(size, float) and size.is_integer())  # not inf, not nan
    if not is_whole or size < 2:
        raise ConfigError(f"{where}; size must be a whole number of at least 2")
    if not isinstance(chance, (int, float)) or not 0 < chance <= 1:
        raise ConfigError(f"{where}; chance must be above 0, so that no prompt is given up, to 1")
    return Probe(int(size), float(chance))
