"""The toy policy: draws groups, learns from them, predicts its own improvement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mtgrpo.core.advantages import STD_EPSILON
from mtgrpo.core.types import Draw, Floats, Group, Ints
from mtgrpo.simulation.prompt_sets import PromptSets
from mtgrpo.simulation.world import World

FORMAT_REWARD = 0.1


class Answers(NamedTuple):
    """How many completions of a prompt are right, well-formed but wrong, and neither."""

    correct: int
    formed: int
    neither: int

    def rewards(self) -> tuple[float, ...]:
        """One per completion."""
        right, formed = (1.0,) * self.correct, (FORMAT_REWARD,) * self.formed
        return right + formed + (0.0,) * self.neither


class ToyPolicy:
    """One skill and one format skill per task, trained by the policy gradient of a logistic model.

    A group's code is ``num_correct * (G + 1) + num_well_formed``: all that its rewards depend on.
    Groups of one task and code are one shared object, whose payload is the code.

    Args:
        world: What there is to learn.
        group_size: G, completions per group, at least 2.
        rng: Generator of the draws and of the noise on improvements.
        prompt_sets: Prompts of the tasks with a finite number of them. The sensitivity of a
            group's prompt is that of the whole distribution all the same.
    """

    def __init__(
        self,
        world: World,
        group_size: int,
        rng: np.random.Generator,
        prompt_sets: PromptSets | None = None,
    ) -> None:
        self.world = world
        self.group_size = group_size
        self._rng = rng
        self._sets = PromptSets(world, 0, False) if prompt_sets is None else prompt_sets

        formatted = world.array("format_skill")
        self.skill = world.array("skill")
        self.format_logit = np.log(formatted / (1 - formatted))

        self._start = self.skill.copy()
        self._rates = world.array("learning_rate")
        self._forgetting = world.array("forgetting")
        self._transfer = world.transfer_matrix()
        self._signal, self._format_own, self._format_wrong = group_signals(group_size)
        self._index = {name: k for k, name in enumerate(world.names)}

        # by task, then by code
        self._num_codes = (group_size + 1) ** 2
        self._shared: list[Group | None] = [None] * (len(world.tasks) * self._num_codes)

        self._refresh()

    def __repr__(self) -> str:
        skills = ", ".join(f"{name}: {self.skill[k]:.2f}" for name, k in self._index.items())
        return f"ToyPolicy(group_size={self.group_size}, skill={{{skills}}})"

    def accuracy(self) -> Floats:
        """Exact expected accuracy per task, shape (K,): the mean pass rate over its prompts."""
        means = self._pass_rates.mean(axis=1)

        for name in self._sets.streams:
            k = self._index[name]
            means[k] = self._sets.pass_rates(name, float(self.skill[k])).mean()

        return means

    def draw(self, request: Mapping[str, int]) -> tuple[list[Group], list[int]]:
        """That many groups of each task, for prompts drawn at random.

        Returns:
            The groups, those that are alike only once; and which of them each drawn group is, by
            its place in that list, in a random order over all tasks. `Batch.tell` takes both.
        """
        codes, single = list[Ints](), list[Group]()
        for name, count in request.items():
            if name in self._sets:
                single += self._draw_from_set(name, count)
            else:
                codes.append(self._draw_codes(self._index[name], count))

        drawn = np.concatenate(codes) if codes else np.zeros(0, dtype=np.int64)
        distinct = np.flatnonzero(np.bincount(drawn))
        groups = [self._shared_group(code) for code in distinct.tolist()] + single

        alike = np.searchsorted(distinct, drawn)
        places = np.concatenate([alike, np.arange(len(distinct), len(groups))])
        return groups, self._rng.permutation(places).tolist()

    def _draw_codes(self, k: int, count: int) -> Ints:
        correct = np.searchsorted(self._cumulated[k], self._rng.random(count))
        formed = self._rng.binomial(self.group_size - correct, self._formatted[k])
        return k * self._num_codes + correct * (self.group_size + 1) + formed

    def _shared_group(self, code: int) -> Group:
        group = self._shared[code]
        if group is None:
            group = self._shared[code] = self._make(*divmod(code, self._num_codes))
        return group

    def _draw_from_set(self, name: str, count: int) -> list[Group]:
        k = self._index[name]
        draws = self._sets.draw(name, count)
        rates = self._sets.pass_rates(name, float(self.skill[k]), [draw.row for draw in draws])

        correct = self._rng.binomial(self.group_size, rates)
        formed = self._rng.binomial(self.group_size - correct, self._formatted[k])
        codes = (correct * (self.group_size + 1) + formed).tolist()

        return [self._make(k, code, draw) for code, draw in zip(codes, draws, strict=True)]

    # ---- completions of a prompt in parts --------------------------------------------------------
    def draw_prompts(self, name: str, count: int) -> tuple[Floats, list[Draw | None]]:
        """Prompts drawn at random: their pass rates, and how they were drawn if from a set."""
        k = self._index[name]
        if name not in self._sets:
            places = self._rng.integers(self._pass_rates.shape[1], size=count)
            return self._pass_rates[k, places], [None] * count

        draws = self._sets.draw(name, count)
        rates = self._sets.pass_rates(name, float(self.skill[k]), [draw.row for draw in draws])
        return rates, list[Draw | None](draws)

    def answers(self, name: str, rates: Floats, number: int) -> list[Answers]:
        """So many completions of each prompt, prompts given by their pass rates."""
        right = self._rng.binomial(number, rates)
        formed = self._rng.binomial(number - right, self._formatted[self._index[name]])
        pairs = zip(right.tolist(), formed.tolist(), strict=True)
        return [Answers(c, f, number - c - f) for c, f in pairs]

    def group(self, name: str, parts: Sequence[Answers]) -> Group:
        """A prompt's completions, part by part; a whole group's payload is its code.

        Args:
            name: Task.
            parts: Together they may be less than a group.
        """
        rewards = tuple(reward for part in parts for reward in part.rewards())
        payload: int | None = None
        if len(rewards) == self.group_size:
            correct, formed = sum(p.correct for p in parts), sum(p.formed for p in parts)
            payload = correct * (self.group_size + 1) + formed
        return Group.verified(name, rewards, payload=payload)

    def learn(
        self,
        groups: Sequence[Group],
        updates_per_step: int,
        surrogate: str,
        factors: Mapping[str, float] | None = None,
        num_padded: int = 0,
    ) -> list[dict[str, float]]:
        """One step on these groups; returns the measured improvements, one mapping per minibatch.

        Args:
            groups: Groups of the batch, each of which counts as many as its weight.
            updates_per_step: Minibatches that the batch is split into, at random.
            surrogate: ``"mean"`` or ``"sum"`` over a task's completions in the minibatch.
            factors: What the advantages of each task's groups are multiplied by; measured
                improvements stay those of the unscaled loss. None leaves all as they are.
            num_padded: Groups without a gradient that the loss is averaged over besides.
        """
        num, num_tasks = len(groups), len(self._index)
        if not num:
            self._forget(np.zeros(num_tasks))
            return [{} for _ in range(updates_per_step)]

        tasks = np.fromiter((self._index[g.task] for g in groups), np.int64, num)  # (groups,)
        codes = np.fromiter((g.payload for g in groups), np.int64, num)
        weights = np.fromiter((g.weight for g in groups), np.float64, num)
        signal = self._signal[codes] * self._sensitivity[tasks, codes // (self.group_size + 1)]
        form = self._format_own[codes] - self._formatted[tasks] * self._format_wrong[codes]

        minibatch = np.empty(num, dtype=np.int64)
        minibatch[self._rng.permutation(num)] = np.arange(num) % updates_per_step

        # sums by minibatch and task, (updates_per_step, tasks) each
        cell = minibatch * num_tasks + tasks
        num_cells = updates_per_step * num_tasks
        shape = (updates_per_step, num_tasks)
        counts = np.bincount(cell, minlength=num_cells).reshape(shape)
        skill_sums = np.bincount(cell, signal * weights, num_cells).reshape(shape)
        form_sums = np.bincount(cell, form * weights, num_cells).reshape(shape)

        # groups per minibatch, informative or not
        num_all = counts.sum(axis=1, keepdims=True) + num_padded / updates_per_step
        scales = self._scales(factors) / np.maximum(num_all, 1)  # (updates_per_step, tasks)

        moves = (skill_sums * scales) @ self._transfer * self._rates / updates_per_step
        form_moves = form_sums * scales * self.world.format_learning_rate / updates_per_step

        changes = skill_sums * moves + form_sums * form_moves
        improvements = self._improvements(counts, changes, surrogate)

        self.skill = self.skill + moves.sum(axis=0)
        self.format_logit = self.format_logit + form_moves.sum(axis=0)
        trained = np.bincount(tasks, weights, num_tasks)  # (tasks,)
        self._forget(trained * self._scales(factors) / weights.sum())

        return improvements

    def _scales(self, factors: Mapping[str, float] | None) -> Floats:
        # Of the tasks' advantages, shape (K,).
        if factors is None:
            return np.ones(len(self._index))
        return np.array([factors.get(name, 1.0) for name in self._index])

    def _improvements(
        self, counts: Ints, changes: Floats, surrogate: str
    ) -> list[dict[str, float]]:
        """What an engine would measure, task by task, a mapping per minibatch.

        Args:
            counts: Groups by minibatch and task, shape (updates_per_step, tasks).
            changes: Predicted change of the objective, summed over groups, each the mean of its
                completions; same shape.
            surrogate: ``"mean"`` or ``"sum"`` over completions.
        """
        completions = counts * self.group_size
        deviations = self.world.improvement_noise * np.sqrt(completions)
        noise = self._rng.standard_normal(counts.shape) * deviations

        values = changes * self.group_size + noise
        if surrogate == "mean":
            values = values / np.maximum(completions, 1)

        names = self.world.names
        improvements: list[dict[str, float]] = []
        for row, present in zip(values, counts, strict=True):
            improvements.append({names[k]: float(row[k]) for k in np.flatnonzero(present)})

        return improvements

    def _forget(self, shares: Floats) -> None:
        gained = np.maximum(self.skill - self._start, 0)
        self.skill = self.skill - self._forgetting * (1 - shares) * gained
        self._refresh()

    def _refresh(self) -> None:
        self._pass_rates, slopes = self.world.pass_rates(self.skill)
        self._formatted = 1.0 / (1.0 + np.exp(-self.format_logit))
        self.outcomes, self._sensitivity = outcome_table(self._pass_rates, slopes, self.group_size)

        # The last edge is above any draw, whatever the rounding of the sum.
        self._cumulated = np.cumsum(self.outcomes, axis=1)
        self._cumulated[:, -1] = 2.0

    def _make(self, k: int, code: int, draw: Draw | None = None) -> Group:
        correct, formed = divmod(code, self.group_size + 1)
        answers = Answers(correct, formed, self.group_size - correct - formed)
        return Group.verified(self.world.names[k], answers.rewards(), payload=code, draw=draw)


def group_signals(group_size: int) -> tuple[Floats, Floats, Floats]:
    """What a group's advantages teach, by its code.

    Returns:
        Mean over completions of ``A * correct`` (times the sensitivity of its prompt: the gradient
        in the skill; for rewards of 0 and 1 it is ``sqrt(p (1 - p))``), of ``A * well_formed``, and
        of ``A * wrong``; shape ((G + 1)^2,) each, 0 for codes that cannot occur.
    """
    correct, formed = np.divmod(np.arange((group_size + 1) ** 2), group_size + 1)
    possible = correct + formed <= group_size

    mean = (correct + FORMAT_REWARD * formed) / group_size
    squares = (correct + FORMAT_REWARD**2 * formed) / group_size
    std = np.sqrt(np.maximum(squares - mean**2, 0) * group_size / (group_size - 1))

    scale = np.where(possible & (std > 1e-9), 1.0 / ((std + STD_EPSILON) * group_size), 0.0)
    right = correct * (1 - mean) * scale
    well_formed = formed * (FORMAT_REWARD - mean) * scale

    return right, well_formed, -right


def outcome_table(rates: Floats, slopes: Floats, group_size: int) -> tuple[Floats, Floats]:
    """Distribution of the number c of correct completions, and the mean sensitivity given c.

    Args:
        rates: Pass rates p of a task's prompts, shape (K, prompts).
        slopes: Their derivatives in the skill.
        group_size: Completions per group, G.

    Returns:
        ``P(c)``, exact over prompts and draws, and ``E[p' / (p (1 - p)) | c]``: how strongly skill
        shows in the answers to the prompts that such groups come from (1 without floor and
        ceiling). Both of shape (K, G + 1).
    """
    p = np.clip(rates, 1e-12, 1 - 1e-12)
    counts = np.arange(group_size + 1)

    right = np.log(p)[:, :, None] * counts  # (K, prompts, G + 1)
    wrong = np.log1p(-p)[:, :, None] * counts[::-1]
    likelihood = np.exp(right + wrong + log_choose(group_size))
    outcomes = likelihood.mean(axis=1)  # (K, G + 1)

    sensitivity = np.minimum(slopes / (p * (1 - p)), 1.0)
    weighted = np.einsum("kic,ki->kc", likelihood, sensitivity) / p.shape[1]

    return outcomes, weighted / np.maximum(outcomes, 1e-300)


def log_choose(size: int) -> Floats:
    """Logarithms of the binomial coefficients of `size`, shape (size + 1,)."""
    logs: list[float] = []
    for c in range(size + 1):
        logs.append(math.lgamma(size + 1) - math.lgamma(c + 1) - math.lgamma(size - c + 1))

    return np.array(logs)
