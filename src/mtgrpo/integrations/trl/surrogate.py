"""How much one policy update improved each task: the change of the clipped surrogate on the minibatch just used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from mtgrpo.errors import ConfigError, StateError, unknown

FORMS = ("mean", "sum")
# Key of the task's number per row in the batch that TRL slices into minibatches; -1 marks filled-up rows.
TASK_NUMBERS = "mtgrpo_task_numbers"


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
    ``mean_t min(w_t A, clip(w_t, 1 - eps_low, 1 + eps_high) A)``, without KL and entropy terms and whatever the
    loss type. The log-probabilities before the step are those of the loss itself.

    Args:
        names: Task names, in the order of the numbers.
        form: ``"mean"``: change of the mean over the task's sequences (paper). ``"sum"``: sum of the changes
            (released code), which grows with the task's share of the minibatch.
        epsilon_low: Lower clip distance.
        epsilon_high: Upper clip distance.
        level: TRL's ``importance_sampling_level``: ``"token"`` or ``"sequence"``.

    Source: paper, Algorithm 1, ``I_k = J_GRPO,k(theta_{t+1}) - J_GRPO,k(theta_t)``.
    """

    def __init__(
        self,
        names: Sequence[str],
        form: str,
        epsilon_low: float,
        epsilon_high: float,
        level: str = "token",
    ) -> None:
        if form not in FORMS:
            raise ConfigError(unknown("MultiTaskGRPOTrainer: surrogate", "form", form, FORMS))
        self.names, self.form, self.level = tuple(names), form, level
        self.epsilon_low, self.epsilon_high = epsilon_low, epsilon_high
        self._inputs: Mapping[str, Any] | None = None
        self._forwards: list[_Forward] = []

    @contextmanager
    def recording(self, inputs: Mapping[str, Any]) -> Iterator[None]:
        """While the loss of a micro batch is computed."""
        self._inputs = inputs
        try:
            yield
        finally:
            self._inputs = None

    def record(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], log_probs: torch.Tensor
    ) -> None:
        """Keep a forward pass of the loss: its arguments and the log-probabilities it found, shape (rows, tokens)."""
        if self._inputs is not None:
            self._forwards.append(_Forward(self._inputs, args, kwargs, log_probs.detach()))

    @torch.no_grad()
    def measure(
        self,
        forward: Callable[..., torch.Tensor],
        reduce: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, float]:
        """I_k of the optimizer step just done, for the tasks that were in its minibatch.

        Args:
            forward: Log-probabilities for the arguments of a kept forward pass, with the parameters as they are now.
            reduce: Sum of a tensor over the processes.

        Raises:
            StateError: The loss computed no log-probabilities through TRL's method (a fused loss kernel, say).
        """
        if not self._forwards:
            raise StateError(
                "surrogate improvement: the loss computed no log-probabilities that could be compared; "
                "switch fused losses (use_liger_kernel, use_liger_loss) off, or use improvement='rewards'"
            )
        change: torch.Tensor | None = None
        for kept in self._forwards:
            after = forward(*kept.args, **kept.kwargs)
            old = kept.inputs.get("old_per_token_logps")
            # First use of the rollouts: the ratio is 1. NaN marks such rows beside others, see `trl_bank`.
            old = kept.log_probs if old is None else torch.where(old.isnan(), kept.log_probs, old)
            gain = self.objective(after, old, kept.inputs) - self.objective(
                kept.log_probs, old, kept.inputs
            )
            numbers = kept.inputs[TASK_NUMBERS]
            if change is None:
                change = gain.new_zeros((2, len(self.names)), dtype=torch.float64)
            known = numbers >= 0
            change[0].index_add_(0, numbers[known], gain[known].double())
            change[1].index_add_(0, numbers[known], torch.ones_like(gain[known]).double())
        self._forwards.clear()
        assert change is not None  # there was a forward pass
        total, count = reduce(change).tolist()
        return {
            name: total[k] / count[k] if self.form == "mean" else total[k]
            for k, name in enumerate(self.names)
            if count[k] > 0
        }

    def objective(
        self, log_probs: torch.Tensor, old: torch.Tensor, inputs: Mapping[str, Any]
    ) -> torch.Tensor:
        """The clipped surrogate of each sequence, shape (rows,)."""
        mask = inputs["completion_mask"]
        mask = mask * inputs["tool_mask"] if "tool_mask" in inputs else mask
        num_tokens = mask.sum(-1).clamp(min=1)
        log_ratio = log_probs - old
        if self.level == "sequence":
            log_ratio = ((log_ratio * mask).sum(-1) / num_tokens).unsqueeze(-1).expand_as(log_probs)
        ratio = log_ratio.exp()
        advantages = inputs["advantages"]
        advantages = advantages.unsqueeze(1) if advantages.dim() == 1 else advantages
        clipped = ratio.clamp(1 - self.epsilon_low, 1 + self.epsilon_high)
        gain = torch.minimum(ratio * advantages, clipped * advantages)
        return (gain * mask).sum(-1) / num_tokens
