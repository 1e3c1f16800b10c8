"""Who may import whom: floors, circles, heavy libraries, the purity of core."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mtgrpo

from .graph import circles, import_graph, room_graph
from .house import ALSO_KNOWS, FLOORS, HEAVY, IMPURE, KNOWS, RECIPE, floor
from .source import NAMES, ROOT, SOURCE, calls, imports, room

GRAPH = import_graph(SOURCE, "mtgrpo")


def dotted(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


# ---- floors ------------------------------------------------------------------------------------------------
def test_every_room_has_one_floor_and_every_floor_its_rooms():
    rooms = [name for rooms in FLOORS for name in rooms]
    assert len(rooms) == len(set(rooms))
    assert set(rooms) == set(room_graph(GRAPH))


@pytest.mark.parametrize("name", NAMES)
def test_no_file_imports_from_a_higher_floor_or_from_beside_it(name):
    here = room(name)
    wrong = [
        other
        for other in sorted(GRAPH[name])
        if room(other) != here and floor(room(other)) >= floor(here)
    ]
    assert not wrong, f"{name}, floor {floor(here)}, imports {wrong}; floors: {FLOORS}"


@pytest.mark.parametrize("name", [name for name in NAMES if room(name) in KNOWS])
def test_a_room_imports_only_what_it_may_know(name):
    known = (room(name), *KNOWS[room(name)], *ALSO_KNOWS.get(name, ()))

    for other in sorted(GRAPH[name]):
        module = dotted(other)
        assert any(module == k or module.startswith(f"{k}.") for k in known), (
            f"{name} imports {other}; it may know: {known}"
        )


def test_the_exceptions_are_files_and_needed():
    for name, rooms in ALSO_KNOWS.items():
        used = {room(other) for other in GRAPH[name]}
        assert set(rooms) <= used, f"{name} does not import all of {rooms}: take them off the list"


# ---- circles -----------------------------------------------------------------------------------------------
def test_no_files_of_the_package_import_each_other():
    assert circles(GRAPH) == []


@pytest.mark.parametrize("folder", ["benchmarks", "research", "examples"])
def test_no_scripts_import_each_other(folder):
    assert circles(import_graph(ROOT / folder)) == []


def test_a_circle_is_found_through_functions_type_checking_and_faces(tmp_path):
    package = tmp_path / "p"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("from p.inner import a\n")
    (package / "inner" / "__init__.py").write_text("from p.inner.a import A as A\n")
    (package / "inner" / "a.py").write_text("def f():\n    from p.b import B\n")
    (package / "b.py").write_text("if TYPE_CHECKING:\n    from p.inner import A\n")
    (package / "c.py").write_text("import p.b\n")

    graph = import_graph(package, "p")
    assert graph["b.py"] == {"inner/a.py"}, "the face is looked through"
    assert graph["c.py"] == {"b.py"}
    assert circles(graph) == [["b.py", "inner/a.py"]]


# ---- third parties -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_third_parties_stay_where_they_belong(name):
    modules = {module.split(".")[0] for module in imports(name)}
    theirs = modules - sys.stdlib_module_names - {"mtgrpo", "__future__"}

    if room(name) == "core":
        assert theirs <= {"numpy"}, name
    if room(name) == "errors":
        assert not theirs, name
    if room(name) != "integrations" and name not in RECIPE:
        assert not theirs & HEAVY, (
            f"{name} imports {sorted(theirs & HEAVY)}; only integrations/ and {RECIPE} may"
        )


@pytest.mark.parametrize("name", [name for name in NAMES if name not in RECIPE])
def test_nothing_imports_the_recipe_of_the_embedded_model(name):
    assert not GRAPH[name] & set(RECIPE), f"{name} imports the recipe, and with it torch"


@pytest.mark.parametrize("name", [name for name in NAMES if room(name) == "core"])
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
    "module",
    [
        "mtgrpo",
        "mtgrpo.core.mixer",
        "mtgrpo.integrations.verl",
        "mtgrpo.presets",
        "mtgrpo.tasks",
        "mtgrpo.testing",
    ],
)
def test_importing_is_light(module):
    code = f"import sys, {module}; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())

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
