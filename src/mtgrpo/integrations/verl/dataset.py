"""verl's dataset over a mixer: whatever index is asked for, the row that the mixer wants."""

# verl has an environment of its own, and the one that types are checked in does not have it.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUntypedBaseClass=false
from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import OmegaConf
from verl.utils.dataset.rl_dataset import RLHFDataset

from mtgrpo.core.ledger import RolloutLedger
from mtgrpo.core.method import Method
from mtgrpo.core.prompts import PromptStream
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.verl.changing import resume
from mtgrpo.integrations.verl.groups import TICKET
from mtgrpo.integrations.verl.settings import (
    VerlSettings,
    make_mixer,
    read_settings,
    resolve_method,
)


class MultiTaskDataset(RLHFDataset):
    """verl's dataset, whose train split hands out rows of the task the mixer asks for.

    The task of a row is its ``data_source`` (``data.mtgrpo.task_key`` names another column). Reads
    ``data.mtgrpo``, see `VerlSettings`; needs ``data.dataloader_num_workers=0`` and
    ``data.gen_batch_size=1``. The validation split, ``data.val_files``, is verl's own dataset.

    Args:
        data_files: Parquet or JSON files.
        tokenizer: The model's tokenizer.
        config: verl's section ``data``.
        processor: Processor of a multimodal model.
        max_samples: Rows used at most; -1 uses all.

    Attributes:
        settings: What ``data.mtgrpo`` says; the defaults for the validation split.
        method: The method that is; the default one for the validation split.
        ledger: Decides whose row each fetch gets; None for the validation split.

    Raises:
        ConfigError: Something in the configuration or the data cannot work.
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
        self.settings, self.method = VerlSettings(), Method()
        self.ledger: RolloutLedger | None = None

        if not _is_train_split(data_files, config):
            return

        section = OmegaConf.create(config.get("mtgrpo") or {})
        self.settings = read_settings(OmegaConf.to_container(section, resolve=True))
        self.method = resolve_method(self.settings)
        _check_fetching(config)
        self._rows = self._rows_by_task(config)

        seed = int(config.get("seed") or 0)
        mixer = make_mixer(
            self.settings,
            list(self._rows),
            batch_size=int(config.train_batch_size),
            families=self._families(),
            seed=seed,
        )
        streams = {
            task: PromptStream(task, len(rows), seed, remember=self.method.prompt_memory)
            for task, rows in self._rows.items()
        }
        self.ledger = RolloutLedger(mixer, streams)

    def _rows_by_task(self, config: Any) -> dict[str, list[int]]:
        """Places of each task's rows among all rows, tasks in the order of the data."""
        key = self.settings.task_key or config.get("reward_fn_key") or "data_source"
        columns = self.dataframe.column_names
        if key not in columns:
            raise ConfigError(
                f"data.train_files: no column {key!r} with the task's name; columns there are: "
                f"{', '.join(columns)}"
            )

        rows: defaultdict[str, list[int]] = defaultdict(list)
        for i, task in enumerate(self.dataframe[key]):
            rows[str(task)].append(i)
        return dict(rows)

    def _families(self) -> dict[str, str]:
        """What each task's rows name as their ``ability``, where they agree."""
        if "ability" not in self.dataframe.column_names:
            return {}

        abilities = self.dataframe["ability"]
        families: dict[str, str] = {}
        for task, rows in self._rows.items():
            named = {abilities[i] for i in rows}
            if len(named) == 1 and (ability := named.pop()):
                families[task] = str(ability)
        return families

    def __getitem__(self, item: int) -> dict[str, Any]:
        if self.ledger is None:
            return super().__getitem__(item)

        ticket = self.ledger.next_prompt()
        row = super().__getitem__(self._rows[ticket.task][ticket.row])
        row[TICKET] = torch.tensor([ticket.number])  # (1,)
        return row

    def state_dict(self) -> dict[str, Any]:
        """For verl's ``data.pt``: the ledger's state, plain values; empty for validation."""
        return {} if self.ledger is None else self.ledger.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where the checkpoint stood, with the tasks that there are now.

        Raises:
            StateError: Written for another batch size, seed or weighting, not by this class, or
                for other tasks and with prompts on their way.
        """
        if self.ledger is not None:
            resume(self.ledger, state, self._families())


def _is_train_split(data_files: Any, config: Any) -> bool:
    train = _as_list(config.train_files)
    val = _as_list(config.val_files)
    if train == val:  # verl does not say which of the two is being made
        raise ConfigError(
            f"data.train_files and data.val_files are both {train}; test prompts must be others"
        )
    return _as_list(data_files) == train


def _check_fetching(config: Any) -> None:
    workers = config.dataloader_num_workers
    fetched = config.get("gen_batch_size")
    if workers != 0 or fetched != 1:
        raise ConfigError(
            f"data.dataloader_num_workers={workers}, data.gen_batch_size={fetched}; prompts are "
            "chosen one by one at the moment they are fetched, so set "
            "data.dataloader_num_workers=0 and data.gen_batch_size=1"
        )


def _as_list(files: Any) -> list[str]:
    return [files] if isinstance(files, str) else [str(file) for file in files]
