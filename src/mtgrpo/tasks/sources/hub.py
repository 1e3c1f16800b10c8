"""Tasks from datasets on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtgrpo.errors import TaskError, require, unknown
from mtgrpo.tasks.scores import RewardFunction
from mtgrpo.tasks.sources.rows import rows_task
from mtgrpo.tasks.sources.saved_rows import is_saved
from mtgrpo.tasks.task import Task


def hub_task(
    name: str,
    dataset: str,
    *,
    prompt: str,
    reward: RewardFunction | str,
    template: str | None = None,
    chat: bool = False,
    config: str | None = None,
    train_split: str = "train",
    test_split: str | None = None,
    test_fraction: float = 0.0,
    revision: str | None = None,
    correct_at: float | None = None,
    reward_range: tuple[float, float] | None = None,
    floor: float = 0.0,
    family: str | None = None,
    level: str | None = None,
) -> Task:
    """A task from a dataset on the Hugging Face Hub, or from a local directory.

    Args:
        name: The task's name.
        dataset: The dataset's repository, such as ``"openai/gsm8k"``, or a directory that
            `datasets` can read.
        prompt: The column with the prompt.
        reward: A reward function, or where one is; see `rows_task`.
        template: The prompt around the column's text; see `rows_task`.
        chat: Whether a text becomes one chat message of the user.
        config: The dataset's configuration (subset).
        train_split: The split to train on; slices such as ``"train[:1000]"`` are allowed.
        test_split: The split to test on.
        test_fraction: Instead of `test_split`, the share of the rows to test on; see `rows_task`.
        revision: The commit, tag or branch; give one to get the same rows tomorrow.
        correct_at: A completion is correct from this reward on; left out, the task is graded,
            unless the reward returns `Score` objects. See `Task`.
        reward_range: Lowest and highest reward of a graded task.
        floor: Accuracy of a guess.
        family: Group of tasks in reports.
        level: Difficulty in reports.

    Raises:
        TaskError: the dataset, a split or a column is missing or cannot be loaded.
        MissingExtra: `datasets` is not installed.
    """
    train = load_split(name, dataset, config, train_split, revision)

    test = None
    if test_split is not None:
        test = load_split(name, dataset, config, test_split, revision)

    return rows_task(
        name,
        train,
        reward=reward,
        test=test,
        test_fraction=test_fraction,
        prompt=prompt,
        template=template,
        chat=chat,
        correct_at=correct_at,
        reward_range=reward_range,
        floor=floor,
        family=family,
        level=level,
    )


def load_split(
    name: str, dataset: str, config: str | None, split: str, revision: str | None
) -> Any:
    """One split of a dataset on the Hub, or of a local directory.

    Args:
        name: The task's name, for messages.
        dataset: The dataset's repository, or a directory.
        config: The dataset's configuration (subset).
        split: The split, or a slice of it.
        revision: The commit, tag or branch.

    Raises:
        TaskError: it is missing or cannot be loaded.
        MissingExtra: `datasets` is not installed.
    """
    datasets: Any = require("datasets", "trl")
    where = f"task {name!r}: dataset {dataset!r}"

    if is_saved(Path(dataset)):
        raise TaskError(
            f"{where}: a folder that save_to_disk wrote, which is no dataset of the Hub; write "
            f"'rows: {dataset}' instead of 'hub: {dataset}'"
        )

    try:
        return datasets.load_dataset(dataset, config, split=split, revision=revision)
    except (ConnectionError, TimeoutError) as error:
        raise TaskError(
            f"{where}: cannot be reached and is not in the local cache; connect, or download it "
            f"once and use the same cache: {_first_line(error)}"
        ) from error

    except ValueError as error:
        if "Unknown split" not in str(error):
            raise TaskError(f"{where}: {_first_line(error)}") from error

        builder: Any = datasets.load_dataset_builder(dataset, config, revision=revision)
        splits = [str(key) for key in builder.info.splits or ()]
        asked_for = split.partition("[")[0]
        raise TaskError(unknown(where, "split", asked_for, splits)) from error

    # The Hub's client has a dozen exception classes of its own for a wrong name, revision, or
    # missing rights.
    except Exception as error:
        reason = f"{type(error).__name__}: {_first_line(error)}"
        raise TaskError(f"{where}: cannot be loaded: {reason}") from error


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
