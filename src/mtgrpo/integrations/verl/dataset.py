"""Multi-task GRPO with verl: a dataset class and a replay buffer class, both loaded from verl's configuration.

    data.custom_cls:                   {path: pkg://mtgrpo.integrations.verl, name: MultiTaskDataset}
    trainer.v1.sampler.custom_sampler: {path: pkg://mtgrpo.integrations.verl, name: MultiTaskReplayBuffer}

How it works. verl's V1 trainer fetches prompts from the dataset and takes batches from the replay buffer. The dataset
ignores the index it is asked for and returns the next row of the task that the mixer wants; the buffer looks at every
finished group before a batch is made, tells the mixer, has the missing prompts fetched, and hands on exactly the
groups to train on. The mixer's state lies in the dataset's, which verl saves with every checkpoint. docs/verl.md.
"""

# ruff: noqa: E402 - the check comes first
# verl has an environment of its own: the one that types are checked in does not have it.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUntypedBaseClass=false
from __future__ import annotations

from mtgrpo.errors import require

require("torch", "verl")
require("verl", "verl")
require("transfer_queue", "verl")

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import OmegaConf
from verl.utils.dataset.rl_dataset import RLHFDataset

from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.prompts import PromptStream
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.verl.buffer import MultiTaskReplayBuffer
from mtgrpo.integrations.verl.groups import TICKET
from mtgrpo.integrations.verl.settings import VerlSettings, make_mixer, read_settings

__all__ = ["MultiTaskDataset", "MultiTaskReplayBuffer"]


class MultiTaskDataset(RLHFDataset):
    """verl's dataset, whose train split hands out rows of the task the mixer asks for.

    The task of a row is its ``data_source`` (``data.mtgrpo.task_key`` names another column). Reads ``data.mtgrpo``,
    see `VerlSettings`; needs ``data.dataloader_num_workers=0`` and ``data.gen_batch_size=1``. The validation split,
    ``data.val_files``, is verl's own dataset.

    Args:
        data_files: Parquet or JSON files.
        tokenizer: Of the model.
        config: verl's section ``data``.
        processor: Of a multimodal model.
        max_samples: Rows used at most; -1 uses all.

    Raises:
        ConfigError: Something in the configuration or the data that cannot work.
    """

    def __init__(
        self,
        data_files: Any,
        tokenizer: Any,
        config: Any,
        processor: Any = None,
        max_samples: int = -1,
    ) -> None:
        super().__init__(
            data_files, tokenizer, config, processor=processor, max_samples=max_samples
        )
        train, val = _files(config.train_files), _files(config.val_files)
        if train == val:  # verl does not say which of the two is being made
            raise ConfigError(
                f"data.train_files and data.val_files are both {train}; test prompts must be others"
            )
        self.settings = VerlSettings()
        self.ledger: RolloutLedger | None = None
        if _files(data_files) != train:
            return
        self.settings = read_settings(
            OmegaConf.to_container(OmegaConf.create(config.get("mtgrpo") or {}), resolve=True)
        )
        if config.dataloader_num_workers != 0 or config.get("gen_batch_size") != 1:
            raise ConfigError(
                f"data.dataloader_num_workers={config.dataloader_num_workers}, data.gen_batch_size="
                f"{config.get('gen_batch_size')}; prompts are chosen one by one at the moment they are fetched, so set "
                "data.dataloader_num_workers=0 and data.gen_batch_size=1"
            )
        key = self.settings.task_key or config.get("reward_fn_key") or "data_source"
        if key not in self.dataframe.column_names:
            columns = ", ".join(self.dataframe.column_names)
            raise ConfigError(
                f"data.train_files: no column {key!r} with the task's name; columns there are: {columns}"
            )
        rows: defaultdict[str, list[int]] = defaultdict(list)
        for i, name in enumerate(self.dataframe[key]):
            rows[str(name)].append(i)
        seed = int(config.get("seed") or 0)
        self._rows = dict(rows)
        mixer = make_mixer(
            self.settings, list(rows), batch_size=int(config.train_batch_size), seed=seed
        )
        self.ledger = RolloutLedger(
            mixer, {name: PromptStream(name, len(rows[name]), seed) for name in rows}
        )

    def __getitem__(self, item: int) -> dict[str, Any]:
        if self.ledger is None:
            return super().__getitem__(item)
        ticket = self.ledger.next_prompt()
        row = super().__getitem__(self._rows[ticket.task][ticket.row])
        row[TICKET] = torch.tensor([ticket.number])
        return row

    def state_dict(self) -> dict[str, Any]:
        """For verl's ``data.pt``: the ledger's state, plain values; empty for the validation split."""
        return {} if self.ledger is None else self.ledger.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where the checkpoint stood.

        Raises:
            StateError: Written for other tasks, rows, batch size, seed or weighting, or not by this class.
        """
        if self.ledger is not None:
            self.ledger.load_state_dict(state)


def _files(files: Any) -> list[str]:
    return [files] if isinstance(files, str) else [str(file) for file in files]
