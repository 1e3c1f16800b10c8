# ruff: noqa: E402 - the path comes first
"""Run by test_processes.py with torchrun: prints one line of JSON per process.

Arguments: a folder, what generates (`colocate`, `server`, `async`), and the server's address.
"""

import faulthandler
import json
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[2]))
faulthandler.dump_traceback_later(800, exit=True)  # processes that wait for each other say where

from tests.vllm.lab import Lab, logged, use_float32, weights_digest

folder, mode, url = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


def synchronous() -> dict:
    if mode == "server":
        from tests.vllm.server import send_through_files

        send_through_files(setattr, folder)
    else:
        use_float32(setattr)

    lab = Lab(folder)
    server = {"vllm_mode": "server", "vllm_server_base_url": url} if mode == "server" else {}
    trainer = lab.trainer(
        "both", "grpo_fair", max_steps=2, per_device_train_batch_size=48, **server
    )
    trainer.train()
    return {
        "digest": weights_digest(trainer),
        "rollouts": trainer.num_rollouts,
        "realized": [dict(report.realized) for report in lab.steps],  # of the main process
        "weights": trainer.mixer.weights(),
        "difference": logged(trainer, "sampling/sampling_logp_difference/max"),
        "shares": [logged(trainer, f"task/{task}/loss_share") for task in trainer.tasks.names],
    }


def asynchronous() -> dict:
    from tests.vllm.async_lab import check_batches, make, steps_logged
    from tests.vllm.cpu_attention import use_on_cpu

    use_on_cpu(SimpleNamespace(setattr=setattr))
    trainer, made = make(folder, url, max_steps=2, save_steps=1, per_device_train_batch_size=24)
    trainer.train()
    if made:
        check_batches(made, 2)
    logs = steps_logged(trainer)
    return {
        "digest": weights_digest(trainer),
        "batches": len(made),
        "kl": [entry["kl"] for entry in logs],
        "samples": [entry["batch/samples_per_step"] for entry in logs],
        "saved": sorted(path.parent.name for path in folder.glob("async/*/mixer.json")),
    }


result = asynchronous() if mode == "async" else synchronous()
print("RESULT " + json.dumps(result), flush=True)
