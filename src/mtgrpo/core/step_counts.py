"""What a step has generated so far: sums and counts, before the filter and by its verdicts."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

from mtgrpo.core.filters import lenient
from mtgrpo.core.round_stats import RoundStats
from mtgrpo.core.types import Group, State, Verdict


class StepCounts:
    """Counts of the groups that were told in a step. Keys are task names.

    Attributes:
        rounds: What was generated in each round.
        num_rollouts: Completions generated.
        num_informative: Groups that pass the filter; without one, that would pass the default.
            One that was completed by chance counts as many as it stands for, see `Probed`.
        num_with_gradient: Accepted groups that carry a gradient: their rewards vary.
        num_varied: Dropped groups whose rewards vary.
        dropped: Groups dropped, per task and reason.
        highest_reward: The highest reward; minus infinity where nothing could be scored.
        graded_rewards: All rewards of the groups of which only rewards are known.
    """

    def __init__(self) -> None:
        self.rounds: list[RoundStats] = []
        self.num_rollouts = 0
        self.num_informative: defaultdict[str, float] = defaultdict(int)
        self.num_with_gradient: Counter[str] = Counter()
        self.num_varied: Counter[str] = Counter()
        self.dropped: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.highest_reward: dict[str, float] = {}
        self.graded_rewards: defaultdict[str, list[float]] = defaultdict(list)

    def begin_round(self) -> None:
        """What is added from now on is of another round."""
        self.rounds.append(RoundStats())

    def add(self, group: Group, count: int, verdict: Verdict, is_informative: bool) -> None:
        """Count a group.

        Args:
            group: The group.
            count: How many there are of it.
            verdict: What the filter says of it.
            is_informative: Whether it passes the filter; without one, whether it would pass the
                default.
        """
        task, rewards = group.task, group.rewards
        self.rounds[-1].add(task, group.mean_reward, group.mean_accuracy, count, group.draw)
        self.num_rollouts += count * len(rewards)

        self.num_informative[task] += count * is_informative * group.weight
        if lenient(group).keep:
            varied = self.num_with_gradient if verdict.keep else self.num_varied
            varied[task] += count
        if not verdict.keep:
            self.dropped[task][verdict.reason or "filtered"] += count

        scored = [reward for reward in rewards if not math.isnan(reward)]
        highest = self.highest_reward.get(task, -math.inf)
        self.highest_reward[task] = max([highest, *scored])
        if group.is_graded:
            self.graded_rewards[task] += scored * count

    @property
    def num_generated(self) -> int:
        """Groups generated."""
        return sum(sum(stats.num_groups.values()) for stats in self.rounds)

    def totals(self) -> RoundStats:
        """The sums over all rounds."""
        total = RoundStats()
        for stats in self.rounds:
            total.merge(stats)
        return total

    def first_rounds(self) -> RoundStats:
        """The sums over each task's first round of the step: a fair sample of its prompts.

        How many prompts that round asks is settled before any result of the step is known.
        Later rounds are asked because earlier ones fell short: where many groups were
        informative by chance there are none, so that means over all rounds, averaged over
        steps, are too high for tasks of which few groups are informative.
        """
        first = RoundStats()
        for stats in self.rounds:
            first.merge(stats, [task for task in stats.num_groups if task not in first.num_groups])
        return first

    def state_dict(self) -> State:
        """JSON-able state."""
        return {
            "rounds": [stats.state_dict() for stats in self.rounds],
            "num_rollouts": self.num_rollouts,
            "num_informative": dict(self.num_informative),
            "num_with_gradient": dict(self.num_with_gradient),
            "num_varied": dict(self.num_varied),
            "dropped": {task: dict(reasons) for task, reasons in self.dropped.items()},
            # JSON has no infinity: a task of which nothing could be scored is left out.
            "highest_reward": {t: r for t, r in self.highest_reward.items() if math.isfinite(r)},
            "graded_rewards": {task: list(values) for task, values in self.graded_rewards.items()},
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        self.rounds = []
        for saved in state["rounds"]:
            self.begin_round()
            self.rounds[-1].load_state_dict(saved)

        self.num_rollouts = int(state["num_rollouts"])
        self.num_informative = defaultdict(int, state["num_informative"])
        self.num_with_gradient = Counter(state["num_with_gradient"])
        self.num_varied = Counter(state["num_varied"])

        self.dropped = defaultdict(Counter)
        for task, reasons in state["dropped"].items():
            self.dropped[task] = Counter(reasons)

        self.highest_reward = dict(state["highest_reward"])
        self.graded_rewards = defaultdict(list, state["graded_rewards"])
