"""The typing contract holds for mypy, and covers every public name and argument."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.typing.test_public_names import MODULES, OF_AIRFLOW

ROOT = Path(__file__).parents[2]
CONTRACT = Path(__file__).parent / "contract.py"
TREE = ast.parse(CONTRACT.read_text())
#: Airflow creates it from stored arguments; the fields of the sandbox's faults are tested there.
NOT_BY_ARGUMENT = {"Faults", "SecodaVersionHistoryTrigger"}


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is installed by scripts/check, which also runs it")
def test_mypy_accepts_the_contract():
    """Right uses have the types that the contract states, and mypy reports each wrong use that it marks."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(CONTRACT.relative_to(ROOT))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.stdout, result.returncode) == ("", 0)


def imported():
    """Return the names that the contract imports of this package, each with its module."""
    return {
        alias.name: node.module
        for node in TREE.body
        if isinstance(node, ast.ImportFrom) and node.module.startswith("airflow_provider_secoda")
        for alias in node.names
    }


def test_every_public_name_is_in_the_contract():
    """A name in ``__all__`` of a public module is used in the contract, except fixtures, which pytest passes."""
    pytest.importorskip("airflow")
    used = {node.id for node in ast.walk(TREE) if isinstance(node, ast.Name)}
    names = {name for module in MODULES for name in import_module(module).__all__}
    assert names - used - {"secoda_sandbox", "secoda_sandbox_factory"} == set()
    assert set(imported()) <= used


def called():
    """Return the calls in the contract by the public name that is called."""
    calls = {}
    for node in ast.walk(TREE):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in imported():
            calls.setdefault(node.func.id, []).append(node)
    return calls


@pytest.mark.parametrize("name", sorted(set(called()) - NOT_BY_ARGUMENT))
def test_every_argument_is_in_the_contract(name):
    """The contract passes each argument of each public class and function, by position or by name."""
    module = imported()[name]
    if module in OF_AIRFLOW:
        pytest.importorskip("airflow")
    parameters = list(inspect.signature(getattr(import_module(module), name)).parameters.values())
    named = {each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}
    passed = {keyword.arg for call in called()[name] for keyword in call.keywords}
    by_position = max(len(call.args) for call in called()[name])
    passed |= {each.name for each in parameters[:by_position]}
    assert named - passed == set()


def test_every_function_is_called():
    """The contract calls each public function and the constructor of each class that users create."""
    assert len(called()) > 25
    assert {name for name in imported() if name[0].islower()} - set(called()) == set()
