"""Real vLLM on a CPU, in an environment of its own: `make test-vllm`. Without vLLM all tests here skip, and say so."""

import importlib.util
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

import pytest

HAS_VLLM = importlib.util.find_spec("vllm") is not None


def pytest_collection_modifyitems(items):
    if HAS_VLLM:
        return
    skip = pytest.mark.skip(
        reason="vLLM is not installed; `make test-vllm` makes an environment that has it"
    )
    for item in items:
        if "tests/vllm/" in item.path.as_posix():
            item.add_marker(skip)


@pytest.fixture
def lab(tmp_path):
    from .lab import Lab

    return Lab(tmp_path)


@pytest.fixture
def float32(monkeypatch):
    """vLLM makes the embedded model's weights bfloat16, and TRL has no setting for it."""
    from .lab import use_float32

    use_float32(monkeypatch.setattr)


@pytest.fixture(scope="session")
def url(tmp_path_factory):
    """The address of a server that all tests share: each sends it the weights that it begins with."""
    from .server import running

    with running(tmp_path_factory.mktemp("server") / "log") as address:
        yield address


@pytest.fixture
def files(monkeypatch, tmp_path):
    """TRL's client sends weights through files: NCCL needs CUDA."""
    from .server import send_through_files

    send_through_files(monkeypatch.setattr, tmp_path)
