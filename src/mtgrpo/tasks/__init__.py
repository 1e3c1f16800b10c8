"""Tasks: prompts, rewards and where they come from.

Importing this needs numpy and the standard library only.
"""

from __future__ import annotations

from mtgrpo.tasks.answers.rewards import score_countdown, score_exact
from mtgrpo.tasks.check import check_task
from mtgrpo.tasks.generation import Generation
from mtgrpo.tasks.policy import Scoring
from mtgrpo.tasks.scores import Completion, RewardFunction, Row, Score, completion_text, each
from mtgrpo.tasks.sources.generated import GeneratedRows
from mtgrpo.tasks.sources.hub import hub_task
from mtgrpo.tasks.sources.paper import paper_task, paper_tasks
from mtgrpo.tasks.sources.reasoning_gym import reasoning_gym_task
from mtgrpo.tasks.sources.released import released_tasks
from mtgrpo.tasks.sources.rows import rows_task
from mtgrpo.tasks.sources.verifiers import verifiers_task
from mtgrpo.tasks.specs import build_task, build_tasks, kinds
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet

__all__ = [
    "Completion",
    "GeneratedRows",
    "Generation",
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
    "verifiers_task",
]
