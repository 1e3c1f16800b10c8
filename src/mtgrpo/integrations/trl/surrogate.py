"""How much one policy update improved each task: the change of the clipped surrogate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from mtgrpo.errors import ConfigError, StateError, unknown
from mtgrpo.integrations.trl.old_log_probs import OLD
from mtgrpo.integrations.trl.rollouts import TASK_NUMBERS

FORMS = ("mean", "sum")
# What TRL asks of a forward pass besides log-probabilities.
EXTRAS = ("compute_entropy", "compute_aux_loss")


@dataclass(slots=True)
class _Forward:
    """One micro batch's forward pass of the loss, kept until after the optimizer step."""

    inputs: Mapping[str, Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    log_probs: torch.Tensor


class SurrogateMeter:
    """Measures I_k with one more forward pass per minibatch, and none before the step.

    For a sequence with tokens t, ratio ``w_t = pi(t) / pi_old(t)`` and advantage A the surrogate is
    ``mean_t min(w_t A, clip(w_t, 1 - eps_low, 1 + eps_high) A)``, without KL and entropy terms,
    whatever the loss type. The log-probabilities before the step are those of the loss itself.

    Args:
        names: Task names, in the order of the numbers.
        form: ``"mean"``: change of the mean over the task's sequences (paper). ``"sum"``: sum of
            the changes (released code), which grows with the task's share of the minibatch.
        epsilon_low: Lower clip distance.
        epsilon_high: Upper clip distance.
        level: TRL's ``importance_sampling_level``: ``"token"`` or ``"sequence"``.
        on: Whether anything is measured.

    Source: paper, Algorithm 1, ``I_k = J_GRPO,k(theta_{t+1}) - J_GRPO,k(theta_t)``.
    """

    def __init__(
        self,
        names: Sequence[str],
        form: str,
        epsilon_low: float,
        epsilon_high: float,
        level: str = "token",
        *,
        on: bool = True,
    ) -> None:
        if form not in FORMS:
            raise ConfigError(unknown("MultiTaskGRPOTrainer: surrogate", "form", form, FORMS))

        self.names, self.form, self.level, self.on = tuple(names), form, level, on
        self.epsilon_low, self.epsilon_high = epsilon_low, epsilon_high
        self._inputs: Mapping[str, Any] | None = None
        self._forwards: list[_Forward] = []

    @contextmanager
    def recording(self, inputs: Mapping[str, Any]) -> Iterator[None]:
        """While the loss of a micro batch is computed."""
        self._inputs = inputs if self.on else None
        try:
            yield
        finally:
            self._inputs = None

    def record(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], log_probs: torch.Tensor
    ) -> None:
        """Keep a forward pass of the loss; those at other times are passed over.

        Args:
            args: What TRL's method was called with.
            kwargs: The same, by name.
            log_probs: What it returned, shape (rows, tokens).
        """
        if self._inputs is not None:
            self._forwards.append(_Forward(self._inputs, args, kwargs, log_probs.detach()))

    @torch.no_grad()
    def measure(
        self,
        forward: Callable[..., tuple[torch.Tensor, ...]],
        reduce: Callable[..., torch.Tensor],
        within: Callable[[Mapping[str, Any]], AbstractContextManager[None]] = nullcontext,
    ) -> dict[str, float]:
        """I_k of the optimizer step just done, of the tasks in its minibatch; empty if off.

        Args:
            forward: TRL's method; returns log-probabilities of shape (rows, tokens) and more.
            reduce: `reduce` of accelerate's `Accelerator`.
            within: Makes what each pass is repeated in, of its inputs.

        Raises:
            StateError: The loss computed no log-probabilities through TRL's method (a fused loss
                kernel, say).
        """
        if not self.on:
            return {}

        if not self._forwards:
            raise StateError(
                "surrogate improvement: the loss computed no log-probabilities that could be "
                "compared; switch fused losses (use_liger_kernel, use_liger_loss) off, or use "
                "improvement='rewards'"
            )

        kept, self._forwards = self._forwards, []
        device = kept[0].log_probs.device
        sums = torch.zeros(
            (2, len(self.names)), dtype=torch.float64, device=device
        )  # (changes and rows, tasks)

        for part in kept:
            with within(part.inputs):
                change = self._change(part, forward)  # (rows,)
            numbers = part.inputs[TASK_NUMBERS]  # (rows,)
            known = numbers >= 0
            sums[0].index_add_(0, numbers[known], change[known].double())
            sums[1].index_add_(0, numbers[known], torch.ones_like(change[known]).double())

        total, count = reduce(sums, reduction="sum").tolist()

        improvements: dict[str, float] = {}
        for k, name in enumerate(self.names):
            if count[k] > 0:
                improvements[name] = total[k] / count[k] if self.form == "mean" else total[k]

        return improvements

    def _change(
        self, part: _Forward, forward: Callable[..., tuple[torch.Tensor, ...]]
    ) -> torch.Tensor:
        """How much the surrogate of each sequence changed, shape (rows,)."""
        plain = {name: False if name in EXTRAS else value for name, value in part.kwargs.items()}
        before, after = part.log_probs, forward(*part.args, **plain)[0]  # (rows, tokens)

        # First use of the rollouts: the ratio is 1. NaN marks such rows beside others, see
        # `banked`.
        old = part.inputs.get(OLD)
        old = before if old is None else torch.where(old.isnan(), before, old)

        return self.objective(after, old, part.inputs) - self.objective(before, old, part.inputs)

    def objective(
        self, log_probs: torch.Tensor, old: torch.Tensor, inputs: Mapping[str, Any]
    ) -> torch.Tensor:
        """The clipped surrogate of each sequence, shape (rows,)."""
        mask = inputs["completion_mask"]  # (rows, tokens)
        mask = mask * inputs["tool_mask"] if "tool_mask" in inputs else mask
        num_tokens = mask.sum(-1).clamp(min=1)  # (rows,)

        log_ratio = log_probs - old  # (rows, tokens)
        if self.level == "sequence":
            log_ratio = ((log_ratio * mask).sum(-1) / num_tokens).unsqueeze(-1).expand_as(log_probs)
        ratio = log_ratio.exp()

        advantages = inputs["advantages"]  # (rows,) or (rows, tokens)
        advantages = advantages.unsqueeze(1) if advantages.dim() == 1 else advantages
        clipped = ratio.clamp(1 - self.epsilon_low, 1 + self.epsilon_high)
        gain = torch.minimum(ratio * advantages, clipped * advantages)  # (rows, tokens)
        return (gain * mask).sum(-1) / num_tokens
