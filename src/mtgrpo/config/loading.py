"""From a file, a run directory or a shipped name to a resolved run."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtgrpo.config.schema import ResolvedRun, RunConfig
from mtgrpo.errors import ConfigError, unknown
from mtgrpo.values import parse_dataclass
from mtgrpo.yaml_text import assign, assigned_keys, assignment_place, read_yaml

CONFIGS_DIR = Path(__file__).parents[1] / "configs"


def load_config(
    source: str, overrides: Sequence[str] = (), *, output: str | None = None
) -> ResolvedRun:
    """Read a configuration and resolve it.

    Args:
        source: Path of a YAML file, a run directory, or the name of a shipped configuration
            (`shipped_configs`). A run directory stands for the run in it, also when it was copied
            or moved and its configuration names another place.
        overrides: ``a.b=c`` assignments, their values read as YAML; they win over the file.
        output: Run directory; it wins over both.

    Raises:
        ConfigError: Unreadable, unknown keys, wrong types or values; the message names file and
            key.
    """
    path = _find(source)
    data = read_yaml(path)
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: a mapping of keys to values is needed at the top level")

    written: dict[str, Any] = dict(data)
    if "script" in written:
        raise ConfigError(
            f"{path}: a run that the script {written['script']} made; only that script can go on "
            "with it, with trainer.train(resume_from_checkpoint=True)"
        )

    if path.name == "config.yaml" and (path.parent / "run.json").is_file():
        written["output"] = str(path.parent)

    values = _changed(written, overrides, output)
    try:
        run = parse_config(values, str(path))
    except ConfigError as error:
        blame = _override_to_blame(error, path, written, overrides, output)
        if blame is None:
            raise
        message = str(error).removeprefix(f"{path}: ")
        raise ConfigError(f"{assignment_place(blame)}: {message}") from None

    if not overrides:
        return run
    return dataclasses.replace(run, origin=origin_with(run.origin, assigned_keys(overrides)))


def origin_with(origin: str, change: str) -> str:
    """The origin of a run that something else than its file changed.

    Args:
        origin: `ResolvedRun.origin` before; it stays empty where there is none.
        change: As in ``my.yaml (with --set steps, --model tiny)``.
    """
    if not origin:
        return ""
    if " (with " in origin and origin.endswith(")"):
        return f"{origin[:-1]}, {change})"
    return f"{origin} (with {change})"


def _changed(
    written: Mapping[str, Any], overrides: Sequence[str], output: str | None
) -> dict[str, Any]:
    """What a file says, with the changes of the command line."""
    values = copy.deepcopy(dict(written))

    for override in overrides:
        assign(values, override)

    if output is not None:
        values["output"] = output
    return values


def _override_to_blame(
    error: ConfigError,
    path: Path,
    written: Mapping[str, Any],
    overrides: Sequence[str],
    output: str | None,
) -> str | None:
    """The change of the command line with which the error appears; None for the file's own."""
    for number in range(len(overrides) + 1):
        try:
            parse_config(_changed(written, overrides[:number], output), str(path))
        except ConfigError as other:
            if str(other) == str(error):
                return overrides[number - 1] if number else None
    return None


def parse_config(values: Mapping[str, Any], where: str) -> ResolvedRun:
    """A resolved run from plain values.

    Raises:
        ConfigError: As `load_config`; `where` is named.
    """
    try:
        run = parse_dataclass(RunConfig, values, where).resolved()
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(where) else f"{where}: {text}") from None

    return dataclasses.replace(run, origin=where)


def shipped_configs() -> dict[str, Path]:
    """Configurations inside the package, by name."""
    return {path.stem: path for path in sorted(CONFIGS_DIR.glob("*.yaml"))}


def _find(source: str) -> Path:
    shipped = shipped_configs()
    if source in shipped and not Path(source).is_file():
        return shipped[source]

    path = Path(source)
    if path.is_dir() and (path / "config.yaml").is_file():
        return path / "config.yaml"  # a run directory: its own resolved configuration
    if not path.exists():
        raise ConfigError(
            unknown(source, "configuration: no such file, nor a shipped one named", source, shipped)
        )
    return path
