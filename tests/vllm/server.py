"""A real `vllm serve` on a CPU, and what sends the trainer's weights to it: through files, as NCCL needs CUDA."""

import json
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from safetensors.torch import save_file

from mtgrpo import tiny

from .environment import fresh_environment

SERVER = {
    "VLLM_SERVER_DEV_MODE": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    # A busy machine with two cores takes longer than vLLM's own limits.
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "600",
    "VLLM_RPC_TIMEOUT": "600000",
    "VLLM_ENGINE_ITERATION_TIMEOUT_S": "600",
    "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "600",
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def chat_model(folder: Path) -> Path:
    """The embedded model with a chat template: contents one after the other, an end after each reply."""
    shutil.copytree(tiny.model_path(), folder)
    path = folder / "tokenizer_config.json"
    template = (
        "{% for m in messages %}{{ m['content'] }}"
        "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    )
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    return folder


@contextmanager
def running(log: Path, *arguments: str) -> Iterator[str]:
    """The address of a server of the embedded model, in float32.

    Args:
        log: What the server says.
        arguments: More of `vllm serve`.
    """
    port = free_port()
    command = [str(Path(sys.executable).parent / "vllm"), "serve", str(tiny.model_path())]
    command += ["--port", str(port), "--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", "64", "--logprobs-mode", "processed_logprobs"]
    # Tokens in and out, for verifiers.
    command += ["--enable-scale-out", "--return-tokens-as-token-ids"]
    command += ["--weight-transfer-config", '{"backend": "file"}', *arguments]
    environment = {**fresh_environment(), **SERVER}

    with log.open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url, server, log)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for(url: str, server: subprocess.Popen, log: Path, seconds: float = 1800) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        try:
            if requests.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.5)
    raise RuntimeError(f"vllm serve did not start: {log.read_text()[-2000:]}")


def send(url: str, folder: Path, tensors) -> None:
    """Replace the server's weights by (name, tensor) pairs."""
    path = folder / f"{uuid.uuid4().hex}.safetensors"
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors}, path)
    post(f"{url}/start_weight_update", {"is_checkpoint_format": True})
    post(f"{url}/update_weights", {"update_info": {"path": str(path)}})
    post(f"{url}/finish_weight_update", None)
    path.unlink()


def post(url: str, body) -> None:
    requests.post(url, json=body, timeout=600).raise_for_status()


def send_through_files(replace, folder: Path) -> None:
    """Have TRL's client send weights through files.

    Args:
        replace: Called with owner, name and value.
        folder: Where the files lie for a moment.
    """
    from trl.generation.vllm_client import VLLMClient

    def init_communicator(self, *args, **kwargs):
        post(f"{self.base_url}/init_weight_transfer_engine", {"init_info": {}})
        self.communicator = None

    def update_named_params(self, metadata, named_params):
        send(self.base_url, folder, named_params)

    replace(VLLMClient, "init_communicator", init_communicator)
    replace(VLLMClient, "update_named_params", update_named_params)


class FileTransfer:
    """TRL's `WeightTransferProtocol`, for its asynchronous trainer."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder, self.num_sent = url, folder, 0

    def init_weight_transfer(self) -> None:
        post(f"{self.url}/init_weight_transfer_engine", {"init_info": {}})

    def pause(self) -> None:
        requests.post(f"{self.url}/pause", params={"mode": "keep"}, timeout=600).raise_for_status()

    def send_weights(self, iterator) -> None:
        send(self.url, self.folder, iterator)
        self.num_sent += 1

    def resume(self) -> None:
        requests.post(f"{self.url}/resume", timeout=600).raise_for_status()

    def destroy(self) -> None:
        pass
