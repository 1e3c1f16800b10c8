"""Tasks: prompts, rewards and where they come from. Importing this needs numpy and the standard library only."""

from __future__ import annotations

from mtgrpo.tasks.rewards import score_countdown, score_exact
from mtgrpo.tasks.scores import Completion, RewardFunction, Row, Score, completion_text, each
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet

__all__ = [
    "Completion",
    "RewardFunction",
    "Row",
    "Score",
    "Task",
    "TaskSet",
    "completion_text",
    "each",
    "score_countdown",
    "score_exact",
]
