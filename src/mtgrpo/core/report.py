"""What a closed step did, kept small: no completions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mtgrpo.core.base_sampler import Sampler
from mtgrpo.core.batch import Batch
from mtgrpo.core.metrics import mean_accuracy, worst_accuracy
from mtgrpo.core.probe_stages import Probe
from mtgrpo.core.round_stats import RoundStats


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step's bookkeeping. Mappings are keyed by task name and leave out tasks that had nothing.

    Attributes:
        weights: The weights the step's quotas were drawn from.
        quotas: Groups wanted per task; None when the batch was filled from any task.
        realized: Groups trained on per task.
        totals: Sums over all generated groups, before the filter.
        num_informative: Groups that passed the filter; without one, that would pass the default.
            With probes, an estimate for whole groups.
        dropped: Groups dropped per task and reason.
        scores: Mean accuracy in this step, over all generated groups; of graded tasks the mean
            reward on the task's scale.
        running_scores: The same over recent steps, see `RunningStats`.
        graded: Tasks of which only rewards are known, no accuracies.
        num_rounds: Generation rounds.
        num_rollouts: Completions generated.
        shortfall: Groups by which the quotas are unmet.
        surplus: Accepted groups that were not trained on.
        num_predicted: Groups that filling the batch was expected to take, when the step
            began.
        num_banked: Groups trained on that an earlier step generated.
        num_expired: Banked groups that grew too old in this step.
        exhausted: Tasks that had all the prompts a step may spend on them, and stayed below
            their quota.
        notices: What a user should be told of a task at present.
        loss_shares: Each task's share of the loss, where shares are made there; else None.
        owed: What each task is owed of the loss after the step, likewise.
        debts_within_limit: Whether nothing that was owed was forgiven in the step; None where
            shares are to be exact in each step.
        cost: What the groups cost, in the unit of the sampler's budget; None where that is groups.
        expected_costs: What a group of each task was expected to cost; empty where not known.
        remarks: What a user should be told of a task once, in this step.
        probes: The probe of each task whose groups were generated in parts, or might have been.
    """

    weights: Mapping[str, float]
    quotas: Mapping[str, int] | None
    realized: Mapping[str, int]
    totals: RoundStats
    num_informative: Mapping[str, float]
    dropped: Mapping[str, Mapping[str, int]]
    scores: Mapping[str, float]
    running_scores: Mapping[str, float]
    graded: frozenset[str]
    num_rounds: int
    num_rollouts: int
    shortfall: int
    surplus: int
    num_predicted: float
    num_banked: int
    num_expired: int
    exhausted: tuple[str, ...]
    notices: Mapping[str, str]
    loss_shares: Mapping[str, float] | None = None
    owed: Mapping[str, float] | None = None
    debts_within_limit: bool | None = None
    cost: float | None = None
    expected_costs: Mapping[str, float] = field(default_factory=dict[str, float])
    remarks: Mapping[str, str] = field(default_factory=dict[str, str])
    probes: Mapping[str, Probe] = field(default_factory=dict[str, Probe])

    @classmethod
    def of(
        cls,
        batch: Batch,
        weights: Mapping[str, float],
        *,
        scores: Mapping[str, float],
        running_scores: Mapping[str, float],
        graded: Collection[str] = (),
        reasons: Collection[str] = (),
        sampler: Sampler,
        notices: Mapping[str, str] | None = None,
        remarks: Mapping[str, str] | None = None,
    ) -> StepReport:
        """The report of a finished batch.

        Args:
            batch: The batch.
            weights: As the attribute.
            scores: As the attribute.
            running_scores: As the attribute.
            graded: As the attribute.
            reasons: Reasons that are counted for every task, with 0 where there was no group.
            sampler: Whose batch it is; closed for the step.
            notices: As the attribute.
            remarks: As the attribute.
        """
        dropped: dict[str, Counter[str]] = {}
        for task in weights:
            dropped[task] = Counter(dict.fromkeys(sorted(reasons), 0))
            dropped[task].update(batch.counts.dropped.get(task, ()))
        return cls(
            weights=weights,
            quotas=batch.quotas,
            realized=Counter(group.task for group in batch.groups),
            totals=batch.counts.totals(),
            num_informative=batch.counts.num_informative,
            dropped=dropped,
            scores=scores,
            running_scores=running_scores,
            graded=frozenset(graded),
            num_rounds=len(batch.counts.rounds),
            num_rollouts=batch.counts.num_rollouts,
            shortfall=batch.shortfall,
            surplus=len(batch.surplus),
            num_predicted=batch.num_predicted,
            num_banked=len(batch.banked),
            num_expired=sampler.bank.num_expired,
            exhausted=tuple(batch.exhausted),
            notices=dict(notices or {}),
            loss_shares=batch.loss_shares,
            owed=sampler.owed(),
            debts_within_limit=sampler.debts_within_limit,
            cost=batch.cost,
            expected_costs=batch.expected_costs,
            remarks=dict(remarks or {}),
            probes={} if batch.probes is None else batch.probes.chosen,
        )

    @property
    def shares_met(self) -> bool:
        """Whether every task got exactly its quota; of the loss, its weight."""
        if self.loss_shares is not None:
            had = [self.loss_shares.get(task, 0.0) for task in self.weights]
            wanted = self.weights.values()
            return all(abs(h - w) < 1e-9 for h, w in zip(had, wanted, strict=True))
        if self.quotas is None:
            return False
        return all(self.realized.get(task, 0) == count for task, count in self.quotas.items())

    def metrics(self) -> dict[str, float]:
        """Flat figures for a logger; docs/metrics.md has a line for each."""
        rewards = self.totals.mean_rewards()
        targets, shares = self._target_ratios(), self.realized_shares()

        metrics: dict[str, float] = {}
        for task, weight in self.weights.items():
            prefix, num_generated = f"task/{task}/", self.totals.num_groups.get(task, 0)
            metrics[prefix + "weight"] = weight
            metrics[prefix + "target_ratio"] = targets[task]
            metrics[prefix + "realized_ratio"] = shares[task]
            if self.owed is not None:
                metrics[prefix + "owed"] = self.owed[task]
            if task in self.expected_costs:
                metrics[prefix + "group_cost"] = self.expected_costs[task]
            if task in self.probes:
                metrics |= _probe_metrics(prefix, self.probes[task])
            metrics[prefix + "num_generated"] = num_generated
            metrics[prefix + "num_informative"] = self.num_informative.get(task, 0)

            kind = "score" if task in self.graded else "accuracy"
            if task in rewards:
                metrics[prefix + "reward"] = rewards[task]
                metrics[prefix + kind] = self.scores[task]
            if task in self.running_scores:
                metrics[f"{prefix}running_{kind}"] = self.running_scores[task]
            if num_generated:
                accepted = self.num_informative.get(task, 0)
                metrics[prefix + "acceptance_rate"] = accepted / num_generated

            for reason, count in self.dropped.get(task, {}).items():
                metrics[f"{prefix}dropped/{reason}"] = count

        if self.running_scores:
            kind = "score" if self.graded else "accuracy"
            metrics[f"tasks/worst_{kind}"] = worst_accuracy(self.running_scores)
            metrics[f"tasks/mean_{kind}"] = mean_accuracy(self.running_scores)
        if self.cost is not None:
            metrics["sampler/cost"] = self.cost
        if self.probes:
            metrics["sampler/completions"] = self.num_rollouts
        return metrics | self._sampler_metrics()

    def realized_shares(self) -> dict[str, float]:
        """Each task's share of what was trained on: of the groups, or of the loss as scaled."""
        if self.loss_shares is not None:
            return {task: self.loss_shares.get(task, 0.0) for task in self.weights}

        num_trained = max(1, sum(self.realized.values()))
        return {task: self.realized.get(task, 0) / num_trained for task in self.weights}

    def _target_ratios(self) -> Mapping[str, float]:
        if self.quotas is None:
            return self.weights

        num_wanted = max(1, sum(self.quotas.values()))
        return {task: count / num_wanted for task, count in self.quotas.items()}

    def _sampler_metrics(self) -> dict[str, float]:
        figures = {
            "sampler/rounds": self.num_rounds,
            "sampler/groups_generated": sum(self.totals.num_groups.values()),
            "sampler/shortfall": self.shortfall,
            "sampler/surplus": self.surplus,
            "sampler/groups_predicted": self.num_predicted,
            "sampler/groups_banked": self.num_banked,
            "sampler/groups_expired": self.num_expired,
            "sampler/tasks_exhausted": len(self.exhausted),
        }
        if self.debts_within_limit is None:
            figures["sampler/shares_met"] = float(self.shares_met)
        else:
            figures["sampler/debts_within_limit"] = float(self.debts_within_limit)
        return figures


def _probe_metrics(prefix: str, probe: Probe) -> dict[str, float]:
    return {
        prefix + "probe_size": probe.size,
        prefix + "probe_stages": 0 if probe.completes_all else len(probe.stages),
        prefix + "probe_chance_wrong": probe.chance_wrong,
        prefix + "probe_chance_right": probe.chance_right,
    }


def notice_changes(before: Mapping[str, str], report: StepReport) -> dict[str, str]:
    """What is new to say of tasks, by name.

    Args:
        before: The notices of the step before.
        report: A notice that it has no longer is taken back where the step trained on the task.
    """
    changes = {
        name: notice for name, notice in report.notices.items() if notice != before.get(name)
    }
    for name in before.keys() - report.notices.keys():
        if report.realized.get(name):
            changes[name] = "can be trained again"

    for name, remark in report.remarks.items():
        changes[name] = f"{changes[name]}; it {remark}" if name in changes else remark

    return dict(sorted(changes.items()))
