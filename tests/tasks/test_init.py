import subprocess
import sys

import mtgrpo.tasks


def test_all_is_sorted_and_there():
    assert mtgrpo.tasks.__all__ == sorted(mtgrpo.tasks.__all__)
    assert all(hasattr(mtgrpo.tasks, name) for name in mtgrpo.tasks.__all__)


def test_importing_tasks_needs_numpy_only():
    code = (
        "import sys, mtgrpo.tasks\n"
        "heavy = {'torch', 'datasets', 'pyarrow', 'pandas', 'reasoning_gym', 'sympy', 'trl', 'transformers', 'yaml'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
