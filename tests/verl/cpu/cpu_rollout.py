"""A rollout engine on transformers, one token at a time: test only.

A completion is a function of the weights' version, the prompt, and how often it was asked for in that version. So a
resumed run draws what the uninterrupted one drew, whatever the order of requests.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from typing import Any

import ray
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput


class Server:
    def __init__(self, path: str, response_length: int) -> None:
        torch.set_num_threads(1)
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        self.base = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.eos = AutoTokenizer.from_pretrained(path).eos_token_id
        self.response_length = response_length
        self.version = 0
        self.asked: Counter[tuple[int, ...]] = Counter()
        self.running = asyncio.Event()
        self.running.set()
        self.abort = False

    async def generate(
        self, prompt_ids: Any, sampling_params: dict[str, Any], request_id: str, **kwargs: Any
    ) -> Any:
        await self.running.wait()
        prompt = tuple(int(token) for token in prompt_ids)
        self.asked[prompt] += 1
        name = f"{self.version} {prompt} {self.asked[prompt]}"
        dice = torch.Generator().manual_seed(
            int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest())
        )
        temperature = float(sampling_params.get("temperature", 1.0))
        length = int(sampling_params.get("max_tokens") or self.response_length)
        version, ids, past = self.version, torch.tensor([prompt]), None
        tokens: list[int] = []
        log_probs: list[float] = []
        stop = "completed"
        for _ in range(length):
            with torch.no_grad():
                out = self.model(input_ids=ids, past_key_values=past, use_cache=True)
            past = out.past_key_values
            logits = torch.log_softmax(out.logits[0, -1] / (temperature or 1.0), -1)
            token = (
                int(torch.multinomial(logits.exp(), 1, generator=dice))
                if temperature
                else int(logits.argmax())
            )
            tokens.append(token)
            log_probs.append(float(logits[token]))
            ids = torch.tensor([[token]])
            if token == self.eos:
                break
            await asyncio.sleep(0)  # others take turns, and an abort gets through
            if self.abort:
                stop = "aborted"
                break
        return TokenOutput(
            token_ids=tokens,
            log_probs=log_probs,
            stop_reason=stop,
            num_preempted=0,
            extra_fields={"global_steps": version},
        )

    async def load(
        self, weights: dict[str, torch.Tensor], version: int | None, scale: float | None
    ) -> None:
        if scale is not None:
            weights = with_adapter(self.base, weights, scale)
        missing = self.model.load_state_dict(weights, strict=False).missing_keys
        assert not missing, missing
        if version is not None:
            self.version = version
            self.asked.clear()

    async def abort_all_requests(self, reject_request: bool = False) -> None:
        self.abort = True
        self.running.clear()

    async def resume_generation(self) -> None:
        self.abort = False
        self.running.set()

    async def set_global_steps(self, version: int) -> None: ...

    async def wake_up(self, tags: Any = None) -> None: ...

    async def sleep(self) -> None: ...

    async def clear_kv_cache(self) -> None: ...

    async def release_kv_cache(self) -> None: ...

    async def resume_kv_cache(self) -> None: ...

    async def start_profile(self, **kwargs: Any) -> None: ...

    async def stop_profile(self) -> None: ...


def with_adapter(
    base: dict[str, torch.Tensor], adapter: dict[str, torch.Tensor], scale: float
) -> dict[str, torch.Tensor]:
    """The weights with an adapter of LoRA, whose parts have the names that peft gives them."""
    weights = dict(base)
    for name, down in adapter.items():
        if name.endswith(".lora_A.weight"):
            up = adapter[name.replace(".lora_A.", ".lora_B.")]
            module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            weights[f"{module}.weight"] = base[f"{module}.weight"] + scale * up @ down
    return weights


class Replica(RolloutReplica):
    async def launch_servers(self) -> None:
        path = os.path.expanduser(self.model_config.path)
        server = (
            ray.remote(Server)
            .options(num_cpus=0, name=f"cpu_server_{self.replica_rank}", max_concurrency=1000)
            .remote(path, self.config.response_length)
        )
        self.servers = [server]
        self._server_handle, self._server_address = server, f"cpu:{self.replica_rank}"


class Adapter(BaseRollout):
    def __init__(
        self,
        config: Any,
        model_config: Any,
        device_mesh: Any,
        *args: Any,
        replica_rank: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(config, model_config, device_mesh)
        self.replica_rank = int(os.environ["RANK"]) if replica_rank == -1 else replica_rank
        self.is_leader_rank = True  # verl asks

    async def resume(self, tags: list[str]) -> None: ...

    async def release(self) -> None: ...

    async def update_weights(
        self,
        weights: Any,
        global_steps: int | None = None,
        wire_format: str = "named_tensors",
        peft_config: dict[str, Any] | None = None,
        base_sync_done: bool = False,
        **kwargs: Any,
    ) -> None:
        is_adapter = peft_config is not None and base_sync_done
        scale = peft_config["lora_alpha"] / peft_config["r"] if is_adapter else None
        copied = {name: tensor.detach().float().cpu().clone() for name, tensor in weights}
        server = ray.get_actor(f"cpu_server_{self.replica_rank}")
        await server.load.remote(copied, global_steps, scale)
