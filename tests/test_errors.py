import importlib
import re
import sys

import pytest

from mtgrpo import errors
from mtgrpo.errors import (
    ConfigError,
    MissingExtra,
    MtgrpoError,
    counted,
    did_you_mean,
    require,
    unknown,
)


def test_the_tree_is_as_drawn():
    drawn = re.findall(r"── (\w+)", errors.__doc__)
    classes = {
        c.__name__: c
        for c in vars(errors).values()
        if isinstance(c, type) and issubclass(c, Exception)
    }
    assert sorted(drawn) == sorted(set(classes) - {"MtgrpoError"})
    for name, cls in classes.items():
        assert issubclass(cls, MtgrpoError), name
        assert cls.__doc__, name
    assert issubclass(ConfigError, ValueError)
    assert issubclass(errors.TaskError, ConfigError)
    assert issubclass(MissingExtra, ImportError)


def test_did_you_mean():
    assert did_you_mean("zebre", ["arc", "zebra"]) == " (did you mean 'zebra'?)"
    assert did_you_mean("quux", ["arc", "zebra"]) == ""
    assert did_you_mean("x", []) == ""


def test_counted():
    assert [counted(n, "key") for n in (0, 1, 2, 1234)] == [
        "0 keys",
        "1 key",
        "2 keys",
        "1,234 keys",
    ]
    assert counted(1, "process", "processes") == "1 process"
    assert counted(3, "process", "processes") == "3 processes"


def test_unknown_names():
    assert unknown("here", "task", "zebre", {"zebra": 1, "arc": 2}) == (
        "here: unknown task 'zebre' (did you mean 'zebra'?); allowed: arc, zebra"
    )
    many = unknown("here", "task", "x", [f"task-{i:03}" for i in range(500)])
    assert many.endswith("task-011, ... (500 in all)")
    assert "\n" not in many


def test_require_returns_the_module():
    assert require("json", "cli") is importlib.import_module("json")
    assert require("xml.etree.ElementTree", "cli").__name__ == "xml.etree.ElementTree"


def test_require_names_the_extra():
    for module in ("no_such_module_at_all", "no_such_module_at_all.inside"):
        with pytest.raises(MissingExtra, match=r"pip install 'mtgrpo\[report\]'") as error:
            require(module, "report")
        assert module in str(error.value)


def test_require_shows_what_is_broken_inside(tmp_path, monkeypatch):
    (tmp_path / "half_broken_module.py").write_text("import something_it_needs")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="something_it_needs") as error:
        require("half_broken_module", "cli")
    assert not isinstance(error.value, MissingExtra)
    assert "half_broken_module" not in sys.modules
