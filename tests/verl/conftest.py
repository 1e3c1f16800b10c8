"""These tests need verl, which has an environment of its own: `make test-verl`."""

import importlib.util

import pytest

# verl and TRL pin different releases of transformers.
collect_ignore_glob = [] if importlib.util.find_spec("verl") else ["test_*.py"]


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory):
    from .cpu.toy import save_model

    folder = tmp_path_factory.mktemp("model")
    save_model(folder)
    return folder


@pytest.fixture(scope="session")
def toy_rows(tmp_path_factory):
    """A folder that `write_rows` wrote: three tasks of thirty rows."""
    from pathlib import Path

    from mtgrpo.integrations.verl.rows import write_rows

    folder = tmp_path_factory.mktemp("rows")
    write_rows([{"task": f"{Path(__file__).parent / 'cpu' / 'toy.py'}:make"}], folder)
    return folder
