"""Without torch or TRL the import says what to install."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("missing", ["torch", "trl"])
def test_missing_packages_are_named_with_the_extra(missing):
    code = f"""
import sys
sys.modules[{missing!r}] = None
import mtgrpo
from mtgrpo.errors import MissingExtra
try:
    from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert (
        done.stdout
        == f"{missing}: not installed; needed here; install it with: pip install 'mtgrpo[trl]'\n"
    )
