"""Each task's share of verl's loss: factors on the advantages of a batch's groups.

verl finds advantage estimators by name. The one registered here, with the configuration
``algorithm.adv_estimator=mtgrpo``, is verl's GRPO times the factor of each row's task.
"""

# verl has an environment of its own, and the one that types are checked in does not have it.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, compute_grpo_outcome_advantage

from mtgrpo.core.filters import lenient
from mtgrpo.core.loss_shares import balance_loss
from mtgrpo.core.types import Group
from mtgrpo.integrations.verl.checks import ESTIMATOR

PER_COMPLETION = "seq-mean-token-mean"  # verl's loss in which each completion counts the same


class BatchLossShares:
    """Knows, and may set, the tasks' shares of the loss of the batch that verl trains on next.

    Shares hold for a step's batch, for which quotas are drawn. They are settled when the groups are
    chosen, before verl has computed an advantage: what a row weighs in the loss follows from its
    length, and the debts of `OneRoundSampler` need the shares when the step is closed.

    Attributes:
        exact: Whether advantages are scaled so that the shares are the targets; else they are only
            measured.
        now: Each task's share of the loss of the batch settled last.
    """

    def __init__(self) -> None:
        self.exact = False
        self.now: Mapping[str, float] = {}
        self._factors: dict[str, float] = {}  # by verl's uid

    def register(self) -> None:
        """Make `advantages` what verl finds under the name `ESTIMATOR`."""
        # verl's decorator refuses a second function under a name, but a process may train twice.
        ADV_ESTIMATOR_REGISTRY[ESTIMATOR] = self.advantages

    def settle(
        self,
        groups: Sequence[Group],
        lengths: Mapping[str, Sequence[int]],
        targets: Mapping[str, float],
        loss_agg_mode: str,
    ) -> dict[str, float]:
        """Set the factors of the batch that verl is handed.

        Args:
            groups: The groups of the batch, each with verl's uid as its payload.
            lengths: Tokens of each of their completions that are trained on, by uid.
            targets: The shares that the batch should have, of any sum.
            loss_agg_mode: verl's, which says what a completion weighs.

        Returns:
            Figures of the step.
        """
        num_groups, masses = Counter[str](), Counter[str]()
        for group in groups:
            if not lenient(group).keep:  # no gradient
                continue
            tokens = lengths[group.payload]
            num_groups[group.task] += 1
            masses[group.task] += sum(
                map(bool, tokens) if loss_agg_mode == PER_COMPLETION else tokens
            )

        shares = balance_loss(targets, num_groups, masses)
        self.now = shares.after if self.exact else shares.before
        self._factors = {
            group.payload: shares.factors[group.task] if self.exact else 1.0 for group in groups
        }
        return shares.metrics(exact=self.exact)

    def advantages(
        self,
        token_level_rewards: torch.Tensor,
        response_mask: torch.Tensor,
        index: Sequence[Any],
        config: Any = None,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """verl's GRPO advantages times the factor of each row's task: an estimator for verl.

        Args:
            token_level_rewards: Of shape (rows, tokens).
            response_mask: Of shape (rows, tokens).
            index: verl's uid of each row; of rows that fill up the batch it is one of their own.
            config: verl's section ``algorithm``.

        Returns:
            Advantages and returns, both of shape (rows, tokens).
        """
        options = {} if config is None else config
        advantages, _returns = compute_grpo_outcome_advantage(
            token_level_rewards=token_level_rewards,
            response_mask=response_mask,
            index=index,
            norm_adv_by_std_in_grpo=options.get("norm_adv_by_std_in_grpo", True),
        )  # (rows, tokens)

        factors = torch.tensor(
            [self._factors.get(str(uid), 1.0) for uid in index],
            dtype=advantages.dtype,
            device=advantages.device,
        )  # (rows,)
        scaled = advantages * factors.unsqueeze(-1)
        return scaled, scaled
