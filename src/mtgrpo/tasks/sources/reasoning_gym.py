"""Tasks from reasoning-gym's generators, each deterministic by (seed, index)."""

from __future__ import annotations

import copy
import dataclasses
import decimal
import os
import random
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast, final

import numpy as np

from mtgrpo.core.types import at_least
from mtgrpo.errors import TaskError, counted, require, unknown
from mtgrpo.tasks.answers.extract import as_completion, extract_answer
from mtgrpo.tasks.answers.reference import NO_REFERENCE, reference_answer
from mtgrpo.tasks.answers.vets.gates import shown
from mtgrpo.tasks.answers.vets.table import is_right
from mtgrpo.tasks.scores import Row, each
from mtgrpo.tasks.sources.generated import Cached, GeneratedRows, check_count
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import prompt_key

PAPER_TEMPLATE = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant "
    "solves it. The assistant first thinks about the reasoning process in the mind and then "
    "provides the user with the answer.\n"
    "User: {question}\nAssistant: Let me solve this step by step."
)
"""The paper's prompt for a base model, without chat template (arXiv 2602.05547, on tasks)."""

TAGS_TEMPLATE = (
    "{question}\n\n"
    "Think step by step, then give only the final answer between <answer> and </answer>."
)
"""reasoning-gym's own answer format: unlike a box, tags can hold any brackets."""

# Prompts that are also in the test split are re-drawn from a reserve of this many further indices.
_RESERVE = 1_000

# These loop over sets of text, whose order Python chooses anew in every process.
HASH_DEPENDENT = frozenset({"isomorphic_strings", "polynomial_multiplication", "ransom_note"})
"""Datasets whose rows are the same in two processes only under one PYTHONHASHSEED."""


def reasoning_gym_task(
    dataset: str,
    *,
    name: str | None = None,
    seed: int = 0,
    num_train: int = 10_000,
    num_test: int = 200,
    template: str = TAGS_TEMPLATE,
    chat: bool = False,
    correct_at: float = 1.0,
    floor: float = 0.0,
    family: str | None = None,
    level: str | None = None,
    **dataset_parameters: Any,
) -> Task:
    r"""A task from one of reasoning-gym's datasets.

    The reward is the dataset's own score of the answer, which is taken from the last
    ``\boxed{...}`` or ``<answer>...</answer>``, whichever stands last; without an answer it is 0.
    Rows are generated on access; the test split as a whole before the first row to train on,
    because no test prompt is trained on.

    Args:
        dataset: reasoning-gym's name, such as ``"countdown"``.
        name: The task's name; the dataset's by default.
        seed: Chooses the rows, from 0 on.
        num_train: Number of rows to train on.
        num_test: Number of rows to test on.
        template: The prompt; ``{question}`` stands for the dataset's question.
        chat: Whether the prompt is one chat message of the user, and not a text.
        correct_at: A completion is correct from this score on.
        floor: Accuracy of a guess.
        family: Group of tasks in reports; the dataset's name by default.
        level: Difficulty in reports.
        **dataset_parameters: Fields of the dataset's configuration, such as ``min_numbers=4``.

    Raises:
        TaskError: reasoning-gym does not know the dataset, a parameter or a value.
        MissingExtra: reasoning-gym is not installed.
    """
    where = f"reasoning_gym_task({dataset!r})"
    if "{question}" not in template:
        raise TaskError(f"{where}: template has no {{question}}; put it where the question belongs")

    def row_of(entry: Mapping[str, Any], index: int) -> Row:
        text = template.replace("{question}", str(entry["question"]))
        if chat:
            return {"prompt": [{"role": "user", "content": text}], "index": index}
        return {"prompt": text, "index": index}

    source = Source(dataset, seed, num_train, num_test, row_of, dataset_parameters)

    def score(text: str, row: Row) -> float:
        return source.score(text, int(row["index"]))

    score.__qualname__ = f"reasoning_gym.{dataset}"

    def oracle(row: Row) -> str:
        return source.oracle(int(row["index"]))

    return Task(
        name=name if name is not None else dataset,
        train=source.train,
        test=source.test,
        reward=each(score),
        correct_at=correct_at,
        floor=floor,
        family=family if family is not None else dataset,
        level=level,
        oracle=None if dataset in NO_REFERENCE else oracle,
    )


@final
class Source:
    """A reasoning-gym dataset as a train and a test split that have no prompt in common.

    Args:
        dataset: reasoning-gym's name.
        seed: From 0 on; different seeds give different rows, also next to each other.
        num_train: Number of rows to train on.
        num_test: Number of rows to test on.
        row_of: Makes the row of an entry and its index.
        parameters: Fields of the dataset's configuration.

    Attributes:
        train: Rows to train on.
        test: Rows to test on.

    Raises:
        TaskError: As for `reasoning_gym_task`.
    """

    def __init__(
        self,
        dataset: str,
        seed: int,
        num_train: int,
        num_test: int,
        row_of: Callable[[Mapping[str, Any], int], Row],
        parameters: Mapping[str, Any],
    ) -> None:
        where = f"reasoning_gym_task({dataset!r})"
        self._where = where
        self._dataset_name = dataset
        self._num_train = check_count(f"{where}: num_train", num_train)
        self._num_test = check_count(f"{where}: num_test", num_test)
        self._row_of = row_of

        if dataset in HASH_DEPENDENT and os.environ.get("PYTHONHASHSEED", "random") == "random":
            warnings.warn(
                f"{where}: reasoning-gym makes other rows of it in every process; to get the same "
                "ones again, start Python with the environment variable PYTHONHASHSEED=0",
                stacklevel=3,
            )

        # reasoning-gym seeds entry i with seed + i: neighbouring seeds would share almost all.
        self._seed = check_count(f"{where}: seed", seed) * 1_000_003 % (2**32 - 2**24)
        size = num_test + num_train + _RESERVE
        self._dataset = _create(where, dataset, self._seed, size, parameters)

        self._test_prompts: frozenset[str] | None = None
        self.entry = Cached(self._entry, 4096)
        self.test = GeneratedRows(num_test, self._row, num_test)
        self.train = GeneratedRows(num_train, self._train_row)

    def score(self, text: str, index: int) -> float:
        """The dataset's own score of a completion for the entry of that index.

        It is 0 without a readable answer, and for an answer that the dataset's scorer takes for
        right and our vet does not (`mtgrpo.tasks.answers.vets`).

        An answer that the dataset's scorer fails on is worth 0, provided that it can score the
        entry's own answer; otherwise the scorer is at fault, and its exception is raised.
        """
        answer = extract_answer(text)
        if answer is None:
            return 0.0

        entry = copy.deepcopy(self.entry(index))  # some scorers write into it
        name = self._name_of(entry)
        if not answer:
            return float(entry["answer"] == "")

        answer = shown(name, answer, entry)
        if answer is None:
            return 0.0

        with _own_state(self._seed + index):
            try:
                value = float(self._dataset.score_answer(answer, entry))
            except Exception:  # a third party's scorer, which answers make fail in any way
                if (reference := reference_answer(name, entry)) is not None:
                    self._dataset.score_answer(reference, entry)
                return 0.0

        if at_least(value, 1.0) and not is_right(name, answer, self.entry(index)):
            return 0.0
        return value

    def oracle(self, index: int) -> str:
        """A right completion for the entry of that index; empty when the dataset brings none."""
        entry = self.entry(index)
        answer = reference_answer(self._name_of(entry), entry)
        return "" if answer is None else as_completion(answer)

    def _name_of(self, entry: Mapping[str, Any]) -> str:
        # A composite has several.
        return str(entry["metadata"].get("source_dataset", self._dataset_name))

    def _entry(self, index: int) -> Mapping[str, Any]:
        with _own_state(self._seed + index):
            return self._dataset[index]

    def _row(self, index: int) -> Row:
        return self._row_of(self.entry(index), index)

    def _train_row(self, i: int) -> Row:
        """Row i to train on: its own entry, or one of the reserve when the test split has that."""
        if self._test_prompts is None:
            self._test_prompts = frozenset(prompt_key(row["prompt"]) for row in self.test)

        reserve = self._num_test + self._num_train
        for attempt in range(_RESERVE + 1):
            index = reserve + (i + attempt) % _RESERVE if attempt else self._num_test + i
            row = self._row(index)
            if prompt_key(row["prompt"]) not in self._test_prompts:
                return row

        raise TaskError(
            f"{self._where}: {_RESERVE + 1:,} draws for train row {i} all gave prompts of the test "
            f"split ({counted(len(self._test_prompts), 'prompt')}); the dataset is too small; use "
            "fewer test prompts (num_test) or parameters with more variety"
        )


def dataset_names() -> list[str]:
    """The names of reasoning-gym's datasets."""
    require("reasoning_gym", "reasoning-gym")
    return sorted(require("reasoning_gym.factory", "reasoning-gym").DATASETS)


def dataset_parameters(dataset: str) -> dict[str, Any]:
    """The parameters a dataset takes, with their defaults.

    Raises:
        TaskError: reasoning-gym has no such dataset.
    """
    config_class = _config_class(f"reasoning_gym_task({dataset!r})", dataset)

    defaults: dict[str, Any] = {}
    for field in dataclasses.fields(config_class):
        if field.name in ("seed", "size"):
            continue
        if field.default_factory is dataclasses.MISSING:
            defaults[field.name] = field.default
        else:
            defaults[field.name] = field.default_factory()
    return defaults


def _config_class(where: str, dataset: str) -> Any:
    names = dataset_names()
    if dataset not in names:
        raise TaskError(unknown(where, "dataset", dataset, names))
    return require("reasoning_gym.factory", "reasoning-gym").DATASETS[dataset][1]


def _create(where: str, dataset: str, seed: int, size: int, parameters: Mapping[str, Any]) -> Any:
    config_class = _config_class(where, dataset)
    allowed = dataset_parameters(dataset)
    for key in parameters:
        if key not in allowed:
            hint = "; set it by num_train and num_test" if key == "size" else ""
            raise TaskError(unknown(where, "parameter", key, allowed, most=40) + hint)

    values = dict(parameters)
    dataset_class = require("reasoning_gym.factory", "reasoning-gym").DATASETS[dataset][0]
    try:
        if dataset == "composite":
            values["datasets"] = _specifications(values.get("datasets") or [])

        with _own_state(seed):
            config = config_class(seed=seed, size=size, **values)
            if hasattr(config, "validate"):  # two of them have none
                config.validate()
            return dataset_class(config)
    except (AssertionError, ValueError, TypeError, KeyError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in parameters.items()) or "its defaults"
        raise TaskError(
            f"{where}: reasoning-gym refuses {given}: {error or type(error).__name__}"
        ) from error


def _specifications(datasets: list[Any]) -> list[Any]:
    """The parts of a composite, as reasoning-gym wants them."""
    specification = require("reasoning_gym.composite", "reasoning-gym").DatasetSpec
    made: list[Any] = []
    for part in datasets:
        if isinstance(part, Mapping):
            part = specification(**cast("dict[str, Any]", part))
        made.append(part)
    return made


@contextmanager
def _own_state(seed: int) -> Generator[None]:
    """Lend what datasets change for the whole process, and put ours back.

    Some draw from the global generators and reseed them; `decimal_arithmetic` leaves decimals at
    12 digits, for every scorer and reward after it.
    """
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002

    try:
        with decimal.localcontext(decimal.Context(prec=28)):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
