"""DESIGN's rules, held by walking the syntax trees: who imports whom, what is never called, what is documented."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mtgrpo
from mtgrpo.core.filters import FILTERS
from mtgrpo.core.types import Group
from mtgrpo.core.weightings import ImprovementAware
from tests.core.driver import RATES, SETUPS, TASKS, Dice, fill

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "mtgrpo"
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(path.relative_to(SOURCE)) for path in FILES]

# What a part may import of ours, also inside functions. "core" stands for "core.types" and so on.
# Parts that are not listed (the command line, the configuration and what they compose) are free.
ALLOWED = {
    "errors": (),
    "core": ("core", "errors"),
    "values": ("errors",),
    "tasks": ("tasks", "core.types", "errors", "tiny", "values"),
    "tiny": ("tiny", "tasks", "core.types", "errors"),
    "runlog": ("runlog", "core.metrics", "errors"),
    "evidence": ("evidence", "runlog", "core.metrics", "errors"),
    "reports": ("reports", "evidence", "runlog", "core.metrics", "errors"),
    "integrations": ("integrations", "core", "tasks", "runlog", "errors", "values"),
    "build": ("core", "errors", "values"),
    "presets": ("build", "preset_tables", "core", "errors"),
    "preset_tables": (),
    "testing": ("testing", "core", "tasks", "errors"),
}
# Where a configuration meets an engine.
COMPOSITION = {
    "jobs/run.py": ("build", "config"),
    "jobs/resume.py": ("config",),
    "jobs/setup.py": ("build", "config", "plan", "tiny"),
    "jobs/memory.py": ("config", "plan"),
    "integrations/verl/settings.py": ("build", "config"),
}

# Files of the recipe that makes the embedded model; only they and integrations/ may know torch.
RECIPE = ("tiny/recipe.py", "tiny/train.py", "tiny/profile.py")
HEAVY = {"torch", "trl", "verl", "accelerate", "deepspeed", "vllm", "ray", "transfer_queue"}
PRINTS = ("cli.py", "__main__.py", *RECIPE)
# Core is pure: no clock, no files, no threads, no logging, no randomness but a generator it is given.
IMPURE = {
    *(
        "asyncio",
        "datetime",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
        "shutil",
    ),
    *("socket", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid", "warnings"),
}


def tree(name: str) -> ast.Module:
    return ast.parse((SOURCE / name).read_text(encoding="utf-8"))


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING``."""
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from runtime_nodes(child)


def imports(name: str) -> set[str]:
    """Modules a file imports, anywhere in it, by ``require`` and ``import_module`` too."""
    found = set[str]()
    for node in runtime_nodes(tree(name)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: relative import; write the full name"
            assert node.module is not None
            if node.module == "mtgrpo":  # from mtgrpo import tiny
                found.update(
                    f"mtgrpo.{a.name}" if is_module(a.name) else "mtgrpo" for a in node.names
                )
            else:
                found.add(node.module)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).split(".")[-1] in ("require", "import_module")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(str(node.args[0].value))
    return found


def is_module(name: str) -> bool:
    return (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").is_file()


def calls(name: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def part(name: str) -> str:
    return Path(name).parts[0].removesuffix(".py")


# ---- imports -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_imports_go_one_way(name):
    ours = {
        module.removeprefix("mtgrpo").lstrip(".")
        for module in imports(name)
        if module.split(".")[0] == "mtgrpo"
    }
    if part(name) in ALLOWED:
        allowed = (*ALLOWED[part(name)], *COMPOSITION.get(name, ()))
        wrong = {m for m in ours if not any(m == a or m.startswith(a + ".") for a in allowed)}
        assert not wrong, f"{name} imports {sorted(wrong)} of mtgrpo; allowed: {allowed}"
    recipe = {f"{Path(file).with_suffix('')}".replace("/", ".") for file in RECIPE}
    if name not in RECIPE:
        assert not ours & recipe, (
            f"{name} imports the recipe of the embedded model, and with it torch"
        )


@pytest.mark.parametrize("name", NAMES)
def test_third_parties_stay_where_they_belong(name):
    theirs = (
        {module.split(".")[0] for module in imports(name)}
        - sys.stdlib_module_names
        - {"mtgrpo", "__future__"}
    )
    if part(name) == "core":
        assert theirs <= {"numpy"}, name
    if part(name) == "errors":
        assert not theirs, name
    if part(name) != "integrations" and name not in RECIPE:
        assert not theirs & HEAVY, (
            f"{name} imports {sorted(theirs & HEAVY)}; only integrations/ and {RECIPE} may"
        )


@pytest.mark.parametrize("name", [name for name in NAMES if part(name) == "core"])
def test_core_is_pure(name):
    assert not {module.split(".")[0] for module in imports(name)} & IMPURE
    for line, function in calls(name):
        assert function not in ("open", "input", "print", "breakpoint"), (
            f"{name}:{line}: {function}"
        )
        if function.startswith(("np.random.", "numpy.random.")):
            assert function.endswith(".default_rng"), (
                f"{name}:{line}: {function} is global randomness"
            )


@pytest.mark.parametrize(
    "module", ["mtgrpo", "mtgrpo.core.mixer", "mtgrpo.tasks", "mtgrpo.presets", "mtgrpo.testing"]
)
def test_importing_is_light(module):
    code = f"import sys, {module}; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )
    assert "mtgrpo" in loaded
    unwanted = "torch transformers trl verl datasets pandas pyarrow yaml rich matplotlib reasoning_gym sympy pytest"
    assert not loaded & set(unwanted.split())


def test_public_names():
    names = mtgrpo.__all__
    assert len(names) <= 20
    # As ruff sorts them: CONSTANTS, Classes, functions.
    assert names == sorted(
        names, key=lambda n: (0 if n.isupper() else 1 if n[0].isupper() else 2, n)
    )
    assert all(hasattr(mtgrpo, name) for name in names)


# ---- calls and size ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_what_is_never_called(name):
    for line, function in calls(name):
        assert function not in ("eval", "exec", "compile", "__import__"), (
            f"{name}:{line}: {function}"
        )
        assert function not in ("yaml.load", "yaml.unsafe_load", "np.load"), (
            f"{name}:{line}: {function}"
        )
        if name not in PRINTS:
            assert function != "print", (
                f"{name}:{line}: print; the command line prints, nothing else does"
            )
    unsafe = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
    assert not {module.split(".")[0] for module in imports(name)} & unsafe, name


@pytest.mark.parametrize("name", NAMES)
def test_errors_are_not_swallowed(name):
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name}:{node.lineno}: bare except"
        if part(name) == "core":
            assert not isinstance(node, ast.Assert), (
                f"{name}:{node.lineno}: assert; raise an error of mtgrpo.errors"
            )


@pytest.mark.parametrize("name", NAMES)
def test_files_stay_small(name):
    length = len((SOURCE / name).read_text(encoding="utf-8").splitlines())
    assert length <= 350, (
        f"{name} has {length} lines; find the second thing it does and give it a file"
    )
    assert Path(name).stem not in ("utils", "util", "helpers", "common", "misc")


# ---- metrics are documented --------------------------------------------------------------------------------
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def documented(heading: str) -> set[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \| \S.*\.[^|]* \|$", section, flags=re.MULTILINE))


def emitted_by_the_mixer() -> set[str]:
    found = set[str]()
    for setup in SETUPS.values():
        mixer, dice = setup(0), Dice(RATES)
        for _ in range(4):
            fill(mixer.new_batch(), dice)
            mixer.update([dict.fromkeys(TASKS, 0.1)])
            for key in mixer.metrics():
                for task in TASKS:
                    key = key.replace(f"task/{task}/", "task/<name>/")
                found.add(re.sub("/dropped/.*", "/dropped/<reason>", key))
    return found


def test_every_metric_of_the_mixer_has_its_line_and_every_line_its_metric():
    assert emitted_by_the_mixer() == documented("From the mixer")
    assert ImprovementAware().bind(["a"]).metrics().keys() == {"task/a/improvement"}


def test_every_reason_has_its_line_and_every_line_its_reason():
    values = [0.0, 0.1, 0.5, 1.0, float("nan")]
    groups = [
        Group("a", (r, s), (0.5, 0.5) if r == r and s == s else ()) for r in values for s in values
    ]
    groups += [Group("a", (r, s)) for r in values for s in values]
    groups.append(Group("a", (0.5, 0.5), (0.0, 1.0)))
    reasons = {keep(group).reason for keep in FILTERS.values() for group in groups} - {""}
    assert reasons == documented("Reasons")


def test_every_metric_an_engine_adds_has_its_line():
    known = (
        documented("From the mixer") | documented("From the TRL trainer") | documented("From verl")
    )
    known |= {metric.removeprefix("eval/") for metric in known}
    for name in NAMES:
        if part(name) not in ("integrations", "runlog", "evaluation"):
            continue
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.JoinedStr):
                text = "".join(
                    str(p.value) if isinstance(p, ast.Constant) else "<name>" for p in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            if re.fullmatch(r"(eval/)?(task/<name>|tasks|sampler)/[a-z_/]+[a-z]", text):
                assert text in known, (
                    f"{name}:{node.lineno}: metric {text!r} has no line in docs/metrics.md"
                )
