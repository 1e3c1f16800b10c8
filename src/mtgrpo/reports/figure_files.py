"""Figures as SVG text and as files."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

from mtgrpo.errors import require
from mtgrpo.runlog.files import os_errors_as

require("matplotlib", "report")

from matplotlib.figure import Figure  # noqa: E402

from mtgrpo.reports.style import drawing  # noqa: E402

_SVG: WeakKeyDictionary[Figure, str] = WeakKeyDictionary()


def save(
    figures: Mapping[str, Figure],
    folder: str | os.PathLike[str],
    *,
    suffixes: Sequence[str] = ("svg", "png"),
    dpi: int = 200,
) -> list[Path]:
    """Write every figure as ``<name>.svg`` and ``<name>.png``, or as other kinds.

    Raises:
        RunError: The folder cannot be written.
    """
    directory = Path(folder)
    written: list[Path] = []

    with os_errors_as(directory, "written"), drawing():
        directory.mkdir(parents=True, exist_ok=True)

        for name, figure in figures.items():
            for suffix in suffixes:
                path = directory / f"{name}.{suffix}"

                if suffix == "svg":
                    path.write_text(svg_text(figure), encoding="utf-8")
                else:
                    figure.savefig(path, dpi=dpi)

                written.append(path)

    return written


def svg_text(figure: Figure) -> str:
    """A finished figure as SVG, drawn once: a page and a file show the same one.

    Its layout is fixed from then on.
    """
    if figure not in _SVG:
        file = io.StringIO()
        with drawing():
            figure.savefig(file, format="svg", metadata={"Date": None})

        figure.set_layout_engine("none")  # arranging the panels is most of the work of drawing them
        _SVG[figure] = file.getvalue()

    return _SVG[figure]
