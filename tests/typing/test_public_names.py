"""Public modules say what is public; all others are private by their name."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_provider_secoda"
#: The public modules that need Airflow.
OF_AIRFLOW = (
    "airflow_provider_secoda.assets.secoda",
    "airflow_provider_secoda.hooks.secoda",
    "airflow_provider_secoda.hooks.signing_key",
    "airflow_provider_secoda.links.secoda",
    "airflow_provider_secoda.operators.secoda",
    "airflow_provider_secoda.retries",
    "airflow_provider_secoda.sensors.secoda",
    "airflow_provider_secoda.triggers.secoda",
    "airflow_provider_secoda.windows",
)
#: All public modules.
MODULES = (
    *OF_AIRFLOW,
    "airflow_provider_secoda.client",
    "airflow_provider_secoda.client.aio",
    "airflow_provider_secoda.client.errors",
    "airflow_provider_secoda.client.filters",
    "airflow_provider_secoda.client.sync",
    "airflow_provider_secoda.sandbox",
    "airflow_provider_secoda.sandbox.pytest_plugin",
    "airflow_provider_secoda.signing",
    "airflow_provider_secoda.verify",
)
#: Modules that Airflow or Python loads by this name.
ENTRY_POINTS = ("airflow_provider_secoda.get_provider_info",)


def modules():
    """Return the names of all modules of the package, without ``__main__`` modules."""
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in PACKAGE.rglob("*.py")
    }
    return sorted(name for name in names if not name.endswith(".__main__"))


@pytest.mark.parametrize("name", MODULES)
def test_a_public_module_says_what_is_public(name):
    """``__all__`` is sorted, and each name in it exists and is documented."""
    if name in OF_AIRFLOW:
        pytest.importorskip("airflow")
    module = import_module(name)
    assert list(module.__all__) == sorted(module.__all__)
    for each in module.__all__:
        value = getattr(module, each)
        assert not callable(value) or value.__doc__, each


def test_the_reference_names_the_public_modules():
    """The table of the reference has every public module, in which the names next to it are public."""
    text = (ROOT / "docs" / "reference" / "api" / "index.md").read_text()
    rows = {
        f"{PACKAGE.name}.{name}": imports
        for name, imports in re.findall(r"^\| `([\w.]+)` \| (.+) \|$", text, re.MULTILINE)
    }
    assert set(rows) == set(MODULES)
    pytest.importorskip("airflow")
    for name, imports in rows.items():
        assert set(re.findall(r"`(\w+)`", imports)) <= set(import_module(name).__all__), name


@pytest.mark.parametrize("name", modules())
def test_a_module_is_public_or_private_by_its_name(name):
    """A module that is not public, or a parent of it, starts with an underscore; other parents are empty."""
    private = any(part.startswith("_") for part in name.split(".")[1:])
    if name in (*MODULES, *ENTRY_POINTS):
        assert not private
    elif not private:
        path = PACKAGE.joinpath(*name.split(".")[1:]) / "__init__.py"
        assert path.exists(), "rename it, or add it to the public modules"
        statements = ast.parse(path.read_text()).body[1:]
        assert name == "airflow_provider_secoda" or statements == []


def test_the_provider_registers_public_classes():
    """What get_provider_info names is public."""
    from airflow_provider_secoda.get_provider_info import get_provider_info

    info = get_provider_info()
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in info[kind]:
            assert set(entry["python-modules"]) <= set(MODULES)
    paths = [*info["extra-links"], *(entry["hook-class-name"] for entry in info["connection-types"])]
    paths += [entry[key] for entry in info["asset-uris"] for key in ("handler", "factory", "to_openlineage_converter")]
    pytest.importorskip("airflow")
    for path in paths:
        module, _, name = path.rpartition(".")
        assert name in import_module(module).__all__, path


def test_the_reference_has_every_public_module():
    """A page of the reference contains the docstrings of each module; two of the client are parts of another page."""
    pages = "".join(path.read_text() for path in (ROOT / "docs" / "reference" / "api").glob("*.md"))
    shown = set(re.findall(r"^::: ([\w.]+)$", pages, re.MULTILINE))
    assert shown == set(MODULES) - {f"{PACKAGE.name}.client.sync", f"{PACKAGE.name}.client.aio"}
