"""What `mtgrpo doctor` and `--version` say of the packages there are."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mtgrpo import __version__
from mtgrpo.cli import installed, main
from mtgrpo.cli.installed import TESTED, examine, versions

ROOT = Path(__file__).parents[2]


def test_tested_versions_are_those_that_are_installed_for_the_tests():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    for package, (tested, _) in TESTED.items():
        if tested and package != "verl":
            assert pinned[package] == tested
    assert f"verl=={TESTED['verl'][0]}" in (ROOT / "constraints-verl.txt").read_text()


def test_extras_bring_what_they_are_named_for():
    tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]

    def brought(extra: str) -> set[str]:
        names = {re.split(r"[\[<>=]", line)[0].lower() for line in extras[extra]}
        return names | {
            "pyyaml",
            "rich",
        }  # of the command line, which every extra that needs it brings

    for package, (_, extra) in TESTED.items():
        if extra and package not in ("transformers", "accelerate"):  # those come with trl
            assert package in brought(extra), package


def test_the_version_is_the_packages():
    assert f'\nversion = "{__version__}"\n' in (ROOT / "pyproject.toml").read_text()
    assert versions().startswith(f"mtgrpo {__version__}, torch ")


def test_what_is_missing_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(installed, "version_of", lambda package: None)
    findings = {finding.name: finding for finding in examine()}
    assert findings["torch"].state == "missing"
    assert findings["torch"].text.endswith("pip install 'mtgrpo[trl]'")
    assert "gpu" not in findings  # nobody could tell
    assert "torch not installed" in versions()


def test_another_version_than_the_tested_one_is_named(monkeypatch):
    monkeypatch.setattr(installed, "version_of", lambda package: "1.2.3+cpu")
    numpy = next(finding for finding in examine() if finding.name == "numpy")
    assert numpy.text == f"1.2.3+cpu; tests ran with {TESTED['numpy'][0]}"


def test_threads_are_looked_at(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert examine()[-1].state == "look"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert examine()[-1].state == "ok"


def test_the_doctor_prints_a_line_each(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= len(TESTED) + 3
    assert lines[0].split()[:2] == ["ok", "python"]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_every_command(capsys, shell):
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit) as stopped:
        main(["--print-completion", shell])
    assert stopped.value.code == 0
    script = capsys.readouterr().out
    assert "doctor" in script
    assert "--resume" in script


def test_a_shell_that_cannot_complete_is_named(capsys):
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit) as stopped:
        main(["--print-completion", "cmd"])
    assert stopped.value.code == 2
    assert "unknown shell 'cmd'; allowed: bash" in capsys.readouterr().err


def test_completion_without_its_package_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 2
    assert "shtab: not installed" in capsys.readouterr().err
