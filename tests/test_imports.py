from pathlib import Path

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.imports import import_function


def test_modules_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_module_for_imports.py").write_text(
        "def f():\n    return 1\nclass A:\n    @staticmethod\n    def g(): return 2\n"
    )
    monkeypatch.chdir(tmp_path)
    assert import_function("json:dumps", "here")(1) == "1"
    assert import_function("my_module_for_imports:f", "here")() == 1
    assert import_function("my_module_for_imports:A.g", "here")() == 2
    assert import_function("my_module_for_imports.py:f", "here")() == 1
    assert import_function(f"{tmp_path}/my_module_for_imports.py:f", "here") is import_function(
        "my_module_for_imports.py:f", "here"
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("json", "'json' is no import path; write 'module:function'"),
        (":f", "is no import path"),
        ("json:", "is no import path"),
        ("no_such_module:f", "no module 'no_such_module'"),
        ("json.no_such_module:f", "no module 'json.no_such_module'"),
        ("json:dunps", r"json has no 'dunps' \(did you mean 'dumps'\?\)"),
        ("json:__name__", "json:__name__ is a str; a function is needed"),
        ("no_such_file.py:f", "no file no_such_file.py; paths are relative to"),
        (
            "broken_module.py:f",
            "importing broken_module.py failed: ZeroDivisionError: division by zero",
        ),
        ("broken_module:f", "importing broken_module failed: ZeroDivisionError"),
        ("needy_module:f", "importing needy_module failed: No module named 'not_there_at_all'"),
    ],
)
def test_mistakes_are_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str
):
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    (tmp_path / "needy_module.py").write_text("import not_there_at_all\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskError, match=f"^task 'a', reward: .*{message}") as caught:
        import_function(path, "task 'a', reward")
    assert "\n" not in str(caught.value)
