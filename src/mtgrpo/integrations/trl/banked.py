"""Groups that wait for a later step, and are trained on as what they are: of an earlier policy.

The importance ratio of a token is that of the policy being trained over the policy that generated
it. TRL knows one generating policy a batch, the current one. A batch with banked groups has
several: those log-probabilities are computed once for the groups that go to the bank, travel with
their rows, and take TRL's place wherever it uses its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mtgrpo.core.batch import Batch
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.types import Group, State
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.old_log_probs import OLD, put_recorded
from mtgrpo.integrations.trl.rollouts import RecordedRow
from mtgrpo.integrations.trl.saved_rollouts import bank_file, load_groups, save_groups
from mtgrpo.integrations.trl.schedule import WHERE
from mtgrpo.tasks.task_set import TaskSet

logger = logging.getLogger("mtgrpo")


class BankedGroups:
    """Lets a batch hold rows of earlier policies.

    Args:
        mixer: Its sampler has the bank.
        tasks: Rows of a checkpoint are looked up here.

    Attributes:
        owners: The process that generated each group of this step, or of the bank, by the group's
            number.
    """

    def __init__(self, mixer: TaskMixer, tasks: TaskSet) -> None:
        self.mixer, self.tasks = mixer, tasks
        self.owners: dict[int | str, int] = {}
        self._recorded: list[torch.Tensor | None] | None = None  # of rows being replayed
        self._loss_inputs: dict[str, Any] | None = None  # of a loss, where rows still lack theirs

    @property
    def keeps(self) -> bool:
        """Whether surplus groups are kept for later steps."""
        return self.mixer.sampler.bank.max_staleness > 0

    # ---- the step in which a group is generated ------------------------------------------------
    def begin_step(self) -> None:
        """Forget the owners of all groups but those in the bank."""
        self.owners = {group.uid: self.owners[group.uid] for group in self.mixer.sampler.bank}

    def record_surplus(
        self, batch: Batch, log_probs: Callable[[Sequence[RecordedRow]], list[torch.Tensor]]
    ) -> None:
        """Note the log-probabilities of groups that go to the bank, while their policy is current.

        Args:
            batch: Finished.
            log_probs: Those of rows' completions under the current policy, tensors of shape
                (tokens,).
        """
        if not self.keeps:
            return

        own = [group for group in batch.surplus if group.payload is not None]
        if not own:
            return

        values = iter(log_probs([row for group in own for row in group.payload]))
        payloads: dict[int | str, Any] = {}
        for group in own:
            payloads[group.uid] = [
                replace(row, old_log_probs=next(values)) for row in group.payload
            ]

        batch.attach(payloads)

    # ---- the step in which it is trained on ----------------------------------------------------
    @contextmanager
    def recorded(self, rows: Sequence[RecordedRow]) -> Iterator[list[torch.Tensor | None]]:
        """While TRL's method runs on these rows. Yields what was recorded of each."""
        recorded = self._recorded = [row.old_log_probs for row in rows]
        try:
            yield recorded
        finally:
            self._recorded = None

    def of_the_sampler(self, log_probs: torch.Tensor) -> torch.Tensor:
        """Log-probabilities to be compared with what vLLM sampled from, shape (rows, tokens).

        TRL's first question for rows that are replayed is this one, and the current policy is the
        wrong one for those of the bank. At other times `log_probs` are passed through.
        """
        if self._recorded is None:
            return log_probs

        recorded, self._recorded = self._recorded, None
        return put_recorded(recorded, log_probs)

    @contextmanager
    def ratios(self, inputs: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """While a loss is computed. Yields its inputs, in which `fill` puts what is missing."""
        if OLD not in inputs:
            yield inputs
            return

        self._loss_inputs = dict(inputs)
        try:
            yield self._loss_inputs
        finally:
            self._loss_inputs = None

    def fill(self, log_probs: torch.Tensor) -> None:
        """Within `ratios`: fresh rows get the loss's own log-probabilities; their ratio is 1."""
        if self._loss_inputs is not None:
            old = self._loss_inputs[OLD]  # (rows, tokens)
            self._loss_inputs[OLD] = torch.where(old.isnan(), log_probs.detach(), old)

    # ---- checkpoints ---------------------------------------------------------------------------
    def waiting(self) -> list[Group]:
        """The groups in the bank, and those that go there when the open step is closed."""
        batch = self.mixer.batch
        surplus = batch.surplus if self.keeps and batch is not None else ()
        return [*self.mixer.sampler.bank, *surplus]

    def save(self, folder: Path, process: int) -> None:
        """Write the groups that this process generated."""
        own = [group for group in self.waiting() if self.owners[group.uid] == process]
        if own:
            save_groups(bank_file(folder, process), own)

    def state_dict(self) -> State:
        """Who generated the groups that wait; empty when there are none."""
        owners = [[group.uid, self.owners[group.uid]] for group in self.waiting()]
        return {"bank_owners": owners} if owners else {}

    def load_state_dict(self, state: Mapping[str, Any], folder: Path, accelerator: Any) -> None:
        """Take up the groups of a checkpoint, when the mixer has its own part of it.

        With fewer processes than were saved, each takes up the groups of several.

        Raises:
            StateError: A file is missing or damaged.
        """
        processes, process = accelerator.num_processes, accelerator.process_index

        saved: dict[int | str, int] = {
            uid: int(owner) for uid, owner in state.get("bank_owners", [])
        }
        self.owners = {uid: owner % processes for uid, owner in saved.items()}

        wanted = {group.uid for group in self.waiting()}
        payloads: dict[int | str, Any] = {}
        for owner in sorted(set(saved.values())):
            if owner % processes == process:
                payloads |= load_groups(bank_file(folder, owner), self.tasks, wanted)

        self.mixer.sampler.bank.attach(payloads)
        if self.mixer.batch is not None:
            self.mixer.batch.attach(payloads)


def settle_bank(trainer: Any, mixer: TaskMixer, *, has_images: bool) -> None:
    """Keep no groups where log-probabilities of earlier policies do not work.

    Args:
        trainer: TRL's, complete.
        mixer: Its sampler has the bank.
        has_images: Whether prompts have images.

    Raises:
        ConfigError: The model is sharded or its loss is fused; with the way out.
    """
    bank = mixer.sampler.bank
    if not bank.max_staleness:
        return

    plugin = getattr(trainer.accelerator.state, "deepspeed_plugin", None)
    refused = {
        "the model is sharded (FSDP)": trainer.is_fsdp_enabled,
        "the model is sharded (DeepSpeed ZeRO-3)": plugin is not None and plugin.zero_stage == 3,
        "use_liger_kernel may fuse the loss": trainer.args.use_liger_kernel,
    }
    for reason, is_so in refused.items():
        if is_so:
            raise ConfigError(
                f"{WHERE}: max_staleness={bank.max_staleness} keeps surplus groups for later "
                f"steps, which does not work here, because {reason}; set the sampler's "
                "max_staleness=0"
            )

    # What a rollout holds besides its tokens is there for one step only.
    stepping_aside = {
        "prompts have images": has_images,
        "there are tools": bool(trainer.tools),
        "there are environments": trainer.environment_factories is not None,
        "rollout_func generates": trainer.rollout_func is not None,
    }
    reason = next((reason for reason, is_so in stepping_aside.items() if is_so), None)
    if reason is not None:
        logger.warning(
            "%s: surplus groups are not kept for later steps (max_staleness=%d), because %s",
            WHERE,
            bank.max_staleness,
            reason,
        )
        mixer.sampler.stop_banking()
