"""Multi-task GRPO post-training that leaves no task behind.

`TaskMixer` is the framework-free brain; the task functions make prompts and rewards;
`mtgrpo.integrations.trl` trains with TRL. Importing this package needs numpy alone.
"""

from mtgrpo.core.method import Method
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.sampler import RatioPreservingSampler
from mtgrpo.core.types import Group, Verdict
from mtgrpo.core.weightings import (
    SEC,
    Balanced,
    Fixed,
    ImprovementAware,
    Regularized,
    Sequential,
    TaskWeighting,
    Uniform,
)
from mtgrpo.errors import MtgrpoError
from mtgrpo.tasks import Task, TaskSet, hub_task, paper_tasks, reasoning_gym_task, rows_task

__version__ = "0.2.0"

__all__ = [
    "SEC",
    "Balanced",
    "Fixed",
    "Group",
    "ImprovementAware",
    "Method",
    "MtgrpoError",
    "RatioPreservingSampler",
    "Regularized",
    "Sequential",
    "Task",
    "TaskMixer",
    "TaskSet",
    "TaskWeighting",
    "Uniform",
    "Verdict",
    "hub_task",
    "paper_tasks",
    "reasoning_gym_task",
    "rows_task",
]
