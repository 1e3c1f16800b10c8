# ruff: noqa: E402 - the path comes first
"""Run by test_processes.py with torchrun: prints one line of JSON per process."""

import faulthandler
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
faulthandler.dump_traceback_later(800, exit=True)  # processes that wait for each other say where

from tests.vllm.lab import Lab, logged, use_float32, weights_digest

use_float32(setattr)
lab = Lab(Path(sys.argv[1]))
trainer = lab.trainer("both", "grpo_fair", max_steps=2, per_device_train_batch_size=48)
trainer.train()
result = {
    "digest": weights_digest(trainer),
    "rollouts": trainer.num_rollouts,
    "realized": [dict(report.realized) for report in lab.steps],  # of the main process
    "weights": trainer.mixer.weights(),
    "difference": logged(trainer, "sampling/sampling_logp_difference/max"),
    "shares": [logged(trainer, f"task/{task}/loss_share") for task in trainer.tasks.names],
}
print("RESULT " + json.dumps(result), flush=True)
