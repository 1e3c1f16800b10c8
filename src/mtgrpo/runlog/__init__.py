"""The run directory: write it while training, read it afterwards. JSON and YAML only, no torch.

```
run.json            format version and task names: the mark of a run directory
config.yaml         the resolved configuration, complete
environment.json    versions, machine, threads, seed, git commit
metrics.jsonl       one object per step
evaluations.jsonl   one object per evaluation
completions.jsonl   a few completions per task and step
changes.jsonl       one object per task that joined, left, grew or shrank
checkpoints/        checkpoint-<step>/, written by the engine
summary.json        how the run ended
report.html, figures/
.lock               process and host that write here, while they do
```
"""

from mtgrpo.runlog.continuity import LogEnd, LoggedSteps, read_logged_steps
from mtgrpo.runlog.reading import read_run
from mtgrpo.runlog.records import Completion, Evaluation, Metrics, Run, TaskEvaluation
from mtgrpo.runlog.state import load_state, save_state
from mtgrpo.runlog.writer import RunLog

__all__ = [
    "Completion",
    "Evaluation",
    "LogEnd",
    "LoggedSteps",
    "Metrics",
    "Run",
    "RunLog",
    "TaskEvaluation",
    "load_state",
    "read_logged_steps",
    "read_run",
    "save_state",
]
