"""Finished groups in the columns that verl's TransferQueue returns; needs no verl and no torch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mtgrpo.core.types import as_accuracy, at_least
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.verl.settings import WHERE, VerlSettings

TICKET = "mtgrpo_ticket"  # the column that leads a group back to the prompt that was handed out


class Rollouts(NamedTuple):
    """What came back of one prompt.

    Attributes:
        ticket: Number under which the prompt was handed out.
        rewards: Reward of each completion, in session order.
        accuracies: Accuracy of each completion, likewise.
    """

    ticket: int
    rewards: tuple[float, ...]
    accuracies: tuple[float, ...]

    @property
    def is_finite(self) -> bool:
        """Whether every reward is a finite number."""
        return all(math.isfinite(reward) for reward in self.rewards)


def uid_of(key: str) -> str:
    """The prompt's uid in a trajectory's key ``{uid}_{session}_{output}``."""
    return key.rsplit("_", 2)[0]


def session_of(key: str) -> tuple[int, int]:
    """Session and output in a trajectory's key ``{uid}_{session}_{output}``."""
    _, session, output = key.rsplit("_", 2)
    return int(session), int(output)


def check_one_output(keys: Sequence[str]) -> None:
    """Refuse sessions of several outputs, whose advantages an estimator by name cannot tell apart.

    Raises:
        ConfigError: A trajectory is not the only output of its session.
    """
    if any(session_of(key)[1] > 0 for key in keys):
        raise ConfigError(
            "algorithm.adv_estimator=mtgrpo: the agent loop returns several outputs a session, "
            f"which verl's own grpo alone can follow; set {WHERE}.loss_shares=false and "
            "algorithm.adv_estimator=grpo"
        )


def read_tickets(data: Any) -> list[int]:
    """Each trajectory's ticket; the queue returns a column as a plain or as a nested tensor."""
    return [int(ticket) for ticket in data[TICKET].unbind()]


def columns(settings: VerlSettings) -> list[str]:
    """The columns that `read_groups` reads."""
    names = [TICKET, "rm_scores"]
    if settings.accuracy_key:
        names.append("extra_fields")
    return names


def read_groups(keys: Sequence[str], data: Any, settings: VerlSettings) -> dict[str, Rollouts]:
    """Rewards of the trajectories under these keys, by the uid of their prompts.

    A session with several outputs counts once, with its last one, as in verl's advantages.

    Args:
        keys: Keys of the trajectories.
        data: Their `columns`, one entry per key, in the same order.
        settings: Where an accuracy comes from.

    Raises:
        ConfigError: The accuracy is not where the settings say, or no number in [0, 1].
    """
    tickets = read_tickets(data)
    rewards = [float(scores.sum()) for scores in data["rm_scores"]]  # each: (tokens,)
    accuracies = _accuracies(data, rewards, settings)

    groups: dict[str, Rollouts] = {}
    for uid, places in _last_outputs(keys).items():
        groups[uid] = Rollouts(
            ticket=tickets[places[0]],
            rewards=tuple(rewards[place] for place in places),
            accuracies=tuple(accuracies[place] for place in places),
        )
    return groups


def _last_outputs(keys: Sequence[str]) -> dict[str, list[int]]:
    """Places of each prompt's trajectories in session order: the last output of each session."""
    last: defaultdict[str, dict[int, tuple[int, int]]] = defaultdict(dict)
    for place, key in enumerate(keys):
        session, output = session_of(key)

        sessions = last[uid_of(key)]
        sessions[session] = max(sessions.get(session, (-1, -1)), (output, place))

    return {
        uid: [sessions[session][1] for session in sorted(sessions)]
        for uid, sessions in last.items()
    }


def _accuracies(data: Any, rewards: Sequence[float], settings: VerlSettings) -> list[float]:
    if settings.accuracy_key:
        extras = [getattr(value, "data", value) for value in data["extra_fields"]]
        return [_reported_accuracy(extra, settings.accuracy_key) for extra in extras]

    # verl keeps rewards as float32: 0.9 comes back as 0.89999998, which the tolerance covers.
    return [
        reward if math.isnan(reward) else float(at_least(reward, settings.correct_at))
        for reward in rewards
    ]


def _reported_accuracy(extra_fields: Any, key: str) -> float:
    """What the reward function returned under `key`."""
    info: Any = {}
    if isinstance(extra_fields, Mapping):
        info = extra_fields.get("reward_extra_info", {})

    if key not in info:
        raise ConfigError(
            f"{WHERE}.accuracy_key: the reward function returned no {key!r}, only "
            f"{sorted(map(str, info))}; return a dict with that key, or set accuracy_key to null "
            "to use correct_at"
        )

    value = info[key]
    try:
        accuracy = as_accuracy(float(value))
    except (TypeError, ValueError):
        accuracy = None

    if accuracy is None:
        raise ConfigError(
            f"{WHERE}.accuracy_key: {key!r} is {value!r}; an accuracy in [0, 1] is needed"
        )
    return accuracy
