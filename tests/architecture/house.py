"""How the house stands: floors and rooms, what a room may know, where heavy libraries and printing belong."""

from __future__ import annotations

# Lowest first. A file may import from its own room and from the rooms of lower floors, nothing beside or above it.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("values",),
    ("imports", "yaml_text"),
    ("core",),
    ("build", "runlog", "tasks"),
    ("__init__", "evidence", "presets", "smollm2", "testing", "tiny"),
    ("config",),
    ("plan", "simulation"),
    ("integrations", "reports"),
    ("jobs",),
    ("console",),
    ("cli",),
    ("__main__",),
)

# Rooms that know less than their floor would allow. "core.types" stands for that file alone, "core" for all of it.
KNOWS: dict[str, tuple[str, ...]] = {
    "core": ("errors",),
    "values": ("errors",),
    "tasks": ("core.types", "errors", "imports", "values"),
    "tiny": ("tasks", "core.types", "errors", "values"),
    "smollm2": ("errors",),
    "runlog": ("core.metrics", "core.reward_scale", "core.task_news", "errors", "values"),
    "evidence": ("runlog", "core.metrics", "errors", "values"),
    "reports": ("evidence", "runlog", "simulation", "core.metrics", "errors", "values"),
    "integrations": ("core", "tasks", "runlog", "errors", "imports", "values"),
    "build": ("core", "errors", "imports", "values"),
    "presets": ("build", "core", "errors", "values"),
    "testing": ("core", "tasks", "errors", "values"),
}

# Where a configuration meets an engine.
ALSO_KNOWS: dict[str, tuple[str, ...]] = {
    "integrations/verl/settings.py": ("presets",),
    "integrations/trl/setup.py": ("presets",),
    "integrations/trl/grpo_arguments.py": ("config", "plan"),
    "integrations/trl/job.py": ("config",),
    "integrations/trl/own_code.py": ("config",),
}

# Files of the recipe that makes the embedded model; only they and integrations/ may know torch.
RECIPE = ("tiny/recipe.py", "tiny/train.py", "tiny/profile.py")
HEAVY = {"torch", "trl", "verl", "accelerate", "deepspeed", "vllm", "ray", "transfer_queue"}
PRINTS = ("cli/entry.py", "cli/commands.py", "__main__.py", *RECIPE)

# Core is pure: no clock, no files, no threads, no logging, no randomness but a generator it is given.
IMPURE = {
    *("asyncio", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random"),
    *("secrets", "shutil", "socket", "subprocess", "sys", "tempfile", "threading", "time"),
    *("urllib", "uuid", "warnings"),
}


def floor(room: str) -> int:
    """Number of the room's floor, from 0 on."""
    for number, rooms in enumerate(FLOORS):
        if room in rooms:
            return number
    raise AssertionError(
        f"{room}: a room without a floor; give it one in tests/architecture/house.py"
    )
