"""Groups that wait for a later step: trained on with the log-probabilities of the policy that generated them.

The importance ratio of a token is that of the policy being trained over the policy that generated it. TRL knows one
generating policy a batch, the current one. A batch with banked groups has several: those log-probabilities are computed
once for the groups that go to the bank, travel with their rows, and take TRL's place wherever it uses its own.
"""

# TRL exports lazily, which pyright cannot see.
# pyright: reportPrivateImportUsage=false
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from trl.models.utils import disable_gradient_checkpointing

from mtgrpo.core.batch import Batch
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.types import Group, State
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.bank_file import bank_file, load_groups, save_groups
from mtgrpo.integrations.trl.prompt_sharing import PromptSharingTrainer
from mtgrpo.integrations.trl.rollouts import RecordedRow, token_ids
from mtgrpo.integrations.trl.setup import WHERE
from mtgrpo.tasks.task_set import TaskSet

OLD = "old_per_token_logps"  # TRL's name
IMAGES = ("image", "images")


class BankTrainer(PromptSharingTrainer):
    """A GRPOTrainer whose batches may hold rows of earlier policies."""

    accelerator: Any
    model: Any
    args: Any
    mixer: TaskMixer
    tasks: TaskSet
    _owners: dict[int | str, int]  # process that generated each group of this step, or of the bank
    _recorded: Sequence[torch.Tensor | None] | None = None  # of the rows that are being replayed
    _loss_inputs: dict[str, Any] | None = (
        None  # of the loss that is being computed, where rows still need theirs
    )

    @property
    def banks(self) -> bool:
        """Whether surplus groups are kept for later steps."""
        return self.mixer.sampler.bank.max_staleness > 0

    def check_bank(self) -> None:
        """Refuse what the log-probabilities of earlier policies cannot be had or used with.

        Raises:
            ConfigError: With the reason and the way out.
        """
        plugin = getattr(self.accelerator.state, "deepspeed_plugin", None)
        firsts = [(task.train or task.test)[0] for task in self.tasks]
        switches = {
            "the model is sharded (FSDP)": self.is_fsdp_enabled,
            "the model is sharded (DeepSpeed ZeRO-3)": plugin is not None
            and plugin.zero_stage == 3,
            "prompts have images": any(key in row for row in firsts for key in IMAGES),
            "there are tools": bool(self.tools),
            "there are environments": self.environment_factories is not None,
            "rollout_func generates": self.rollout_func is not None,
            "use_liger_kernel may fuse the loss": self.args.use_liger_kernel,
        }
        found = [reason for reason, is_so in switches.items() if is_so]
        if self.banks and found:
            raise ConfigError(
                f"{WHERE}: max_staleness={self.mixer.sampler.bank.max_staleness} keeps surplus groups for later steps, "
                f"which does not work here, because {found[0]}; set the sampler's max_staleness=0"
            )

    # ---- the step in which a group is generated --------------------------------------------------------------
    def _record_surplus(self, batch: Batch) -> None:
        """Note the log-probabilities of the groups that go to the bank while their policy is still the current one."""
        groups = [
            group for group in batch.surplus if self.banks and group.payload is not None
        ]  # this process's own
        if not groups:
            return
        found = iter(self._log_probs([row for group in groups for row in group.payload]))
        batch.attach(
            {g.uid: [replace(row, old_log_probs=next(found)) for row in g.payload] for g in groups}
        )

    def _log_probs(self, rows: Sequence[RecordedRow]) -> list[torch.Tensor]:
        # As TRL computes them: same method, mode, precision and number of rows at once.
        prompts, completions = (
            [torch.tensor(ids) for ids in part] for part in zip(*map(token_ids, rows), strict=True)
        )
        device = self.accelerator.device

        def padded(parts: Sequence[torch.Tensor], side: str) -> tuple[torch.Tensor, torch.Tensor]:
            masks = [torch.ones_like(ids) for ids in parts]
            both = (
                pad_sequence(list(x), batch_first=True, padding_side=side) for x in (parts, masks)
            )
            ids, mask = (tensor.to(device) for tensor in both)
            return ids, mask

        (prompt_ids, prompt_mask), (ids, mask) = (
            padded(prompts, "left"),
            padded(completions, "right"),
        )
        with (
            torch.no_grad(),
            disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs),
        ):
            found = self._get_per_token_logps_and_entropies(
                self.model,
                torch.cat([prompt_ids, ids], 1),
                torch.cat([prompt_mask, mask], 1),
                ids.size(1),
                batch_size=self.args.per_device_train_batch_size,
            )[0].cpu()
        return [values[: len(ids)].clone() for values, ids in zip(found, completions, strict=True)]

    # ---- the step in which it is trained on ------------------------------------------------------------------
    @contextmanager
    def _recorded_log_probs(self, rows: Sequence[RecordedRow]) -> Iterator[None]:
        """While TRL's method runs on these rows."""
        self._recorded = [row.old_log_probs for row in rows]
        try:
            yield
        finally:
            self._recorded = None

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        recorded = self._recorded
        output = super()._generate_and_score_completions(inputs)
        if recorded is not None and any(values is not None for values in recorded):
            # With one update per batch TRL computes none: its ratio is 1. So it is for rows that have NaN here, see
            # `compute_loss`, at no forward pass.
            nothing = output["completion_ids"].new_full(
                output["completion_ids"].shape, torch.nan, dtype=torch.float32
            )
            output[OLD] = _put(recorded, output.get(OLD, nothing))
        return output

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if (
            self._recorded is not None
            and self.use_vllm
            and self.vllm_importance_sampling_correction
        ):
            # TRL's first question is for the policy, to be compared with what vLLM sampled from: the same policy, then.
            found = (_put(self._recorded, found[0]), *found[1:])
            self._recorded = None
        if self._loss_inputs is not None:
            old = self._loss_inputs[OLD]
            self._loss_inputs[OLD] = torch.where(old.isnan(), found[0].detach(), old)
        return found

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if OLD not in inputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        self._loss_inputs = dict(inputs)
        try:
            return super().compute_loss(
                model, self._loss_inputs, return_outputs, num_items_in_batch
            )
        finally:
            self._loss_inputs = None

    # ---- checkpoints -----------------------------------------------------------------------------------------
    def _waiting(self) -> list[Group]:
        # Those in the bank, and those that go there when the open step is closed.
        batch = self.mixer.batch
        return [
            *self.mixer.sampler.bank,
            *(batch.surplus if self.banks and batch is not None else ()),
        ]

    def _keep_owners(self) -> None:
        """Forget the owners of all groups but those in the bank."""
        self._owners = {group.uid: self._owners[group.uid] for group in self.mixer.sampler.bank}

    def _save_bank(self, folder: Path) -> None:
        process = self.accelerator.process_index
        own = [group for group in self._waiting() if self._owners[group.uid] == process]
        if own:
            save_groups(bank_file(folder, process), own)

    def _bank_state(self) -> State:
        owners = [[group.uid, self._owners[group.uid]] for group in self._waiting()]
        return {"bank_owners": owners} if owners else {}

    def _load_bank(self, folder: Path, state: Mapping[str, Any]) -> None:
        processes, process = self.accelerator.num_processes, self.accelerator.process_index
        saved: dict[int | str, int] = {
            uid: int(owner) for uid, owner in state.get("bank_owners", [])
        }
        self._owners = {uid: owner % processes for uid, owner in saved.items()}
        payloads: dict[int | str, Any] = {}
        for owner in sorted(set(saved.values())):
            if owner % processes == process:
                payloads |= load_groups(bank_file(folder, owner), self.tasks)
        self.mixer.sampler.bank.attach(payloads)
        if self.mixer.batch is not None:
            self.mixer.batch.attach(payloads)


def _put(recorded: Sequence[torch.Tensor | None], into: torch.Tensor) -> torch.Tensor:
    """Rows of `into`, shape (rows, tokens), replaced by what was recorded; completions are padded on the right."""
    result = into.clone()
    for i, values in enumerate(recorded):
        if values is not None:
            result[i] = 0.0
            result[i, : len(values)] = values.to(result)
    return result
