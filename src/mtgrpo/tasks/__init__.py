"""Tasks: prompts, rewards and where they come from. Importing this needs numpy and the standard library only."""

from __future__ import annotations

from mtgrpo.tasks.check import check_task
from mtgrpo.tasks.generated import GeneratedRows
from mtgrpo.tasks.hub import hub_task
from mtgrpo.tasks.paper import paper_task, paper_tasks
from mtgrpo.tasks.reasoning_gym import reasoning_gym_task
from mtgrpo.tasks.released import released_tasks
from mtgrpo.tasks.rewards import score_countdown, score_exact
from mtgrpo.tasks.rows import rows_task
from mtgrpo.tasks.scores import Completion, RewardFunction, Row, Score, completion_text, each
from mtgrpo.tasks.scoring import Scoring
from mtgrpo.tasks.specs import build_task, build_tasks, kinds
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet

__all__ = [
    "Completion",
    "GeneratedRows",
    "RewardFunction",
    "Row",
    "Score",
    "Scoring",
    "Task",
    "TaskSet",
    "build_task",
    "build_tasks",
    "check_task",
    "completion_text",
    "each",
    "hub_task",
    "kinds",
    "paper_task",
    "paper_tasks",
    "reasoning_gym_task",
    "released_tasks",
    "rows_task",
    "score_countdown",
    "score_exact",
]
