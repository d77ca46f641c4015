"""The diagrams in docs/contributing/architecture.md show the imports between the packages, and nothing else."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "airflow_provider_secoda"
TEXT = (ROOT / "docs" / "contributing" / "architecture.md").read_text()
#: Modules that every package may import: left out of the diagrams, listed below them.
SHARED = frozenset(re.findall(r"`(\w+)`", TEXT.split("Modules that any package may import")[1].split("\n\n")[0]))


def diagram(number):
    """Return the arrows of a diagram: for each package those that it points to."""
    block = re.findall(r"```mermaid\n(.*?)```", TEXT, re.DOTALL)[number]
    arrows: dict[str, set[str]] = {}
    for line in block.splitlines():
        if match := re.fullmatch(r" +([\w &.]+?)(?: --> ([\w &.]+))?", line):
            tails, heads = ({name.strip() for name in (part or "").split("&")} - {""} for part in match.groups())
            for name in tails | heads:
                arrows.setdefault(name, set())
            for name in tails:
                arrows[name] |= heads
    return arrows


def reachable(arrows, start):
    """Return all packages that can be reached from a package along the arrows."""
    found: set[str] = set()
    rest = [start]
    while rest:
        fresh = arrows.get(rest.pop(), set()) - found
        found |= fresh
        rest += fresh
    return found


def is_module(path):
    """Return whether a path below the package, as a tuple, is a module or a package."""
    return bool(path) and any(PACKAGE.joinpath(*path).with_suffix(end).exists() for end in ("", ".py"))


@cache
def imports():
    """Return the imports between modules: pairs of paths below the package, as tuples.

    Imports for annotations count, and strings that name a module or a name in it, which is then imported at run time.
    Strings in shared modules do not count: those modules list names for Airflow and for tests.
    """
    found = set()
    for path in PACKAGE.rglob("*.py"):
        source = path.relative_to(PACKAGE).with_suffix("").parts
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and source[0] not in SHARED:
                if re.fullmatch(rf"{PACKAGE.name}(\.\w+)+", str(node.value)):
                    target = tuple(node.value.split(".")[1:])
                    found |= {(source, part) for part in (target, target[:-1]) if is_module(part)}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
                for alias in node.names:
                    target = (*node.module.split(".")[1:], alias.name)
                    found.add((source, target if is_module(target) else target[:-1]))
    return frozenset(found)


def edges(*parent):
    """Return for each package or module directly in a package, or in ``parent``, those that it imports."""
    depth = len(parent)
    found: dict[str, set[str]] = {}
    for source, target in imports():
        if source[:depth] == parent and source[depth] != "__init__":
            arrows = found.setdefault(source[depth], set())
            if target[:depth] == parent and len(target) > depth and target[depth] != source[depth]:
                arrows.add(target[depth])
    for arrows in list(found.values()):
        for name in arrows:
            found.setdefault(name, set())
    return found


DIAGRAMS = {"packages": (0, ()), "client": (1, ("client",))}


@pytest.mark.parametrize(("number", "parent"), DIAGRAMS.values(), ids=DIAGRAMS)
def test_a_diagram_shows_the_imports(number, parent):
    """Every arrow is an import, every import is an arrow or follows from arrows, and no package is missing."""
    shown, real = diagram(number), edges(*parent)
    real = {name: arrows - SHARED for name, arrows in real.items() if name not in SHARED}
    assert set(shown) == set(real)
    for name, arrows in shown.items():
        assert arrows <= real[name], f"{name} does not import {arrows - real[name]}"
        missing = real[name] - reachable(shown, name)
        assert not missing, f"{name} imports {missing}"


@pytest.mark.parametrize(("number", "parent"), DIAGRAMS.values(), ids=DIAGRAMS)
def test_a_diagram_has_no_cycle(number, parent):
    """No package imports itself through others."""
    del parent
    shown = diagram(number)
    assert [name for name in shown if name in reachable(shown, name)] == []


def test_shared_modules_import_the_client_only():
    """Modules that are left out of the diagram import nothing of the provider but each other and the client."""
    real = edges()
    assert SHARED
    for name in SHARED:
        assert (PACKAGE / f"{name}.py").exists(), name
        assert real.get(name, set()) <= {*SHARED, "client"}, name


@pytest.mark.parametrize(
    "document", ["docs/contributing/architecture.md", "docs/explanation/how_a_window_is_read.md", "CONTRIBUTING.md"]
)
def test_modules_that_a_document_names_exist(document):
    """Every module in backticks is in the repository, and contains the function or class after ``::``."""
    prose = re.sub(r"```.*?```", "", (ROOT / document).read_text(), flags=re.DOTALL)
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", prose)
    assert len(named) > 10
    for name, inside in named:
        files = [path for path in (ROOT / name, PACKAGE / name, *PACKAGE.rglob(name)) if path.is_file()]
        assert files, name
        assert not inside or re.search(rf"^(?:async )?(?:def|class) {inside}\b", files[0].read_text(), re.MULTILINE)


def test_the_diagrams_are_read():
    """The functions above find arrows and imports; the other tests depend on it."""
    assert len(diagram(0)) > 10
    assert ("hooks",) in {target[:1] for _, target in imports()}
    assert reachable({"a": {"b"}, "b": {"c"}, "c": set()}, "a") == {"b", "c"}
    assert "_api" in edges("client")["_http"]
    assert (("triggers", "secoda"), ("_polling", "trigger_loop")) in imports(), "a module that is imported by its name"
