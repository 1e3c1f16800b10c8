"""Finished groups as verl's TransferQueue holds them."""

# verl has an environment of its own: the one that types are checked in does not have it.
# pyright: reportMissingImports=false, reportMissingTypeStubs=false
from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import transfer_queue

from mtgrpo.errors import ConfigError
from mtgrpo.integrations.verl.settings import WHERE, VerlSettings

TICKET = "mtgrpo_ticket"  # the column that brings a group back to the prompt that was handed out


class Rollouts(NamedTuple):
    """What came back of one prompt.

    Attributes:
        ticket: Number under which the prompt was handed out.
        rewards: Per completion, in session order.
        accuracies: Likewise.
    """

    ticket: int
    rewards: tuple[float, ...]
    accuracies: tuple[float, ...]


def session_of(key: str) -> tuple[int, int]:
    """Session and output index of a trajectory's key ``{uid}_{session}_{index}``."""
    _, session, index = key.rsplit("_", 2)
    return int(session), int(index)


def read_tickets(data: Any) -> list[int]:
    """The ticket of each trajectory; the queue gives a column back as a plain or as a nested tensor."""
    return [int(ticket) for ticket in data[TICKET].unbind()]


def read_groups(keys: Sequence[str], partition: str, settings: VerlSettings) -> dict[str, Rollouts]:
    """Rewards of the trajectories under these keys, by the uid of their prompts.

    A session with several outputs counts once, with its last one, as in verl's advantages.

    Raises:
        ConfigError: The accuracy is not where the settings say, or no number in [0, 1].
    """
    if not keys:
        return {}
    fields = [TICKET, "rm_scores", *(["extra_fields"] if settings.accuracy_key else [])]
    data = transfer_queue.kv_batch_get(
        keys=list(keys), partition_id=partition, select_fields=fields
    )
    tickets = read_tickets(data)
    rewards = [float(scores.sum()) for scores in data["rm_scores"]]
    if settings.accuracy_key:
        accuracies = [
            _accuracy(getattr(v, "data", v), settings.accuracy_key) for v in data["extra_fields"]
        ]
    else:
        # verl keeps rewards as float32: 0.9 comes back as 0.89999998.
        enough = settings.correct_at - 1e-6 * max(1.0, abs(settings.correct_at))
        accuracies = [reward if reward != reward else float(reward >= enough) for reward in rewards]
    last: defaultdict[str, dict[int, tuple[int, int]]] = defaultdict(
        dict
    )  # uid -> session -> (output, place)
    for place, key in enumerate(keys):
        session, index = session_of(key)
        sessions = last[key.rsplit("_", 2)[0]]
        sessions[session] = max(sessions.get(session, (-1, -1)), (index, place))
    groups: dict[str, Rollouts] = {}
    for uid, sessions in last.items():
        places = [sessions[session][1] for session in sorted(sessions)]
        groups[uid] = Rollouts(
            tickets[places[0]],
            tuple(rewards[p] for p in places),
            tuple(accuracies[p] for p in places),
        )
    return groups


def _accuracy(extra_fields: Any, key: str) -> float:
    info = extra_fields.get("reward_extra_info", {}) if isinstance(extra_fields, Mapping) else {}
    if key not in info:
        raise ConfigError(
            f"{WHERE}.accuracy_key: the reward function returned no {key!r}, only {sorted(map(str, info))}; return a "
            "dict with that key, or set accuracy_key to null to use correct_at"
        )
    value = info[key]
    try:
        accuracy = float(value)
    except (TypeError, ValueError):
        accuracy = -1.0
    if not 0.0 <= accuracy <= 1.0:
        raise ConfigError(
            f"{WHERE}.accuracy_key: {key!r} is {value!r}; an accuracy in [0, 1] is needed"
        )
    return accuracy
