"""Which part of the package may import which, read from the sources, function-level imports included."""

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent.parent / "src"

FLOORS = (
    ("_version", "_jit", "_pytree", "_gymnasium", "counts", "errors"),
    ("_compilation", "_units", "_yaml"),
    ("_processes", "storage"),
    ("_settings", "_programs", "engines"),
    ("literature",),
    ("scenario",),
    ("physics", "channels"),
    ("optimisation", "pictures"),
    ("environment",),
    ("agents",),
    ("learners",),
    ("training",),
    ("price_net",),
    ("online",),
    ("experiments.measure",),
    ("experiments.claims", "experiments.evaluate"),
    ("experiments.studies", "experiments.calibrate"),
    ("experiments.report", "experiments.sweep"),
    ("experiments.reproduce",),
    ("cli",),
    ("__main__",),
)
"""Packages, the wings of `experiments` and single modules, from the ground up. Each may import from the
floors below its own; within a floor, none imports another."""

ROOTS = ("scattermec", "scattermec.experiments")
"""Packages whose own `__init__` belongs to no floor."""


def modules() -> dict[str, Path]:
    """Every module of the package and where it is."""
    found = {}
    for path in sorted((SOURCES / "scattermec").rglob("*.py")):
        parts = path.relative_to(SOURCES).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(text: str, known: dict[str, Path]) -> set[str]:
    """The modules of ours that a source imports anywhere, but for those that only type checkers import."""
    found = set()
    ignored: set[ast.AST] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            ignored |= {inner for statement in node.body for inner in ast.walk(statement)}
        if node in ignored:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = {name for name in names if name in known}
            found |= submodules
            # From a package itself something may be taken besides.
            if submodules != names:
                found.add(node.module)
    return {name for name in found if name.partition(".")[0] == "scattermec"}


def place(module: str) -> str:
    """The part of a floor that a module belongs to."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2] if parts[0] == "experiments" else parts[:1])


@cache
def graph() -> dict[str, set[str]]:
    """What every module imports; read by the worker that needs it alone."""
    return {name: imports(path.read_text(encoding="utf-8"), MODULES) for name, path in MODULES.items()}


HEIGHTS = {part: height for height, floor in enumerate(FLOORS) for part in floor}


def test_every_module_has_its_floor() -> None:
    assert {place(name) for name in MODULES if name not in ROOTS} == set(HEIGHTS)


@pytest.mark.parametrize("module", sorted(set(MODULES) - set(ROOTS)))
def test_imports_go_down(module: str) -> None:
    own = place(module)
    others = {place(name) for name in graph()[module] if name not in ROOTS} - {own}
    upwards = {other for other in others if HEIGHTS[other] >= HEIGHTS[own]}
    assert not upwards


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_imports_are_found_wherever_they_stand() -> None:
    known = dict.fromkeys(("scattermec.a", "scattermec.a.b", "scattermec.c", "scattermec.d"), Path())
    text = """
import scattermec.c, numpy
def late():
    from scattermec.a import b, name
if TYPE_CHECKING:
    from scattermec.d import Type
"""
    assert imports(text, known) == {"scattermec.c", "scattermec.a", "scattermec.a.b"}
    assert imports("from scattermec.a import b", known) == {"scattermec.a.b"}


def test_the_page_on_the_design_lists_packages_from_the_ground_up() -> None:
    page = (SOURCES.parent / "docs" / "design.md").read_text(encoding="utf-8")
    table = page.split("| package |")[1].split("\n\n")[0]
    rows = [re.findall(r"`([\w/]+?)(?:\.py|/)`", line.split("|")[1]) for line in table.splitlines()[2:]]
    listed = [name.replace("/", ".") for row in rows for name in row]
    assert set(listed) == {part for part in HEIGHTS if not part.startswith("_")}
    for upper, lower in zip(rows[1:], rows, strict=False):
        assert min(HEIGHTS[name.replace("/", ".")] for name in upper) >= max(
            HEIGHTS[name.replace("/", ".")] for name in lower
        )
