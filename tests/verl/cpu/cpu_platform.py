"""verl on a machine without accelerator, for tests alone: a platform plugin and a rollout engine.

Every process of a run loads this module through verl's own plugin hook: VERL_USE_EXTERNAL_MODULES=cpu_platform with
VERL_PLATFORM=cpu and VERL_ENGINE_DEVICE=cuda (verl registers its FSDP engine under that word).
"""

from __future__ import annotations

import contextlib
import types
from typing import Any

import torch
import torch.distributed
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import PlatformRegistry
from verl.workers.rollout.base import _ROLLOUT_REGISTRY
from verl.workers.rollout.replica import RolloutReplicaRegistry

ENGINE = "plain_cpu"


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Stands for what only a device has."""


def _zero(*args: Any, **kwargs: Any) -> int:
    return 0


# What verl calls of ``torch.<device>``.
_DEVICE = types.SimpleNamespace(
    is_available=lambda: False,
    current_device=lambda: "cpu",
    device_count=lambda: 1,
    get_device_name=lambda *args: "cpu",
    mem_get_info=lambda *args: (2**33, 2**34),
    get_rng_state=torch.get_rng_state,
    set_rng_state=torch.set_rng_state,
    manual_seed=torch.manual_seed,
    manual_seed_all=torch.manual_seed,
    Stream=torch.cpu.Stream,
    stream=torch.cpu.stream,
    current_stream=torch.cpu.current_stream,
    **dict.fromkeys(
        ("set_device", "synchronize", "empty_cache", "ipc_collect", "reset_peak_memory_stats"),
        _nothing,
    ),
    **dict.fromkeys(
        ("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved"),
        _zero,
    ),
)


@PlatformRegistry.register(platform="cpu")
class CpuPlatform(PlatformBase):
    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _DEVICE  # type: ignore[assignment]

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        return False  # never found by itself

    def current_device(self) -> Any:
        return "cpu"

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None: ...

    def synchronize(self, device_index: int | None = None) -> None: ...

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None: ...

    def empty_cache(self) -> None: ...

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextlib.contextmanager
    def nvtx_range(self, msg: str):
        yield

    def profiler_start(self) -> None: ...

    def profiler_stop(self) -> None: ...

    def ray_resource_name(self) -> str:
        return "GPU"  # Ray is told of as many as there are ranks

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False

    def cudart(self) -> Any:
        return None


_real_init = torch.distributed.init_process_group


def _init_process_group(backend: str | None = None, *args: Any, **kwargs: Any) -> Any:
    # verl asks for "cpu:gloo,<device>:<its backend>", which names the CPU twice here.
    return _real_init("gloo" if backend and backend.count("cpu:") > 1 else backend, *args, **kwargs)


torch.distributed.init_process_group = _init_process_group


def _load_replica() -> type:
    from cpu_rollout import Replica  # pyright: ignore[reportMissingImports]

    return Replica


_ROLLOUT_REGISTRY[(ENGINE, "async")] = "cpu_rollout.Adapter"
RolloutReplicaRegistry.register(ENGINE, _load_replica)
