"""The sessions of noxfile.py cover what the package supports, and their constraint files exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BOUND = re.compile(r'"([a-z][a-z0-9-]*)(?:\[\w+\])?>=([0-9.]+)')


def constants():
    """Return the constants of noxfile.py; nox itself is not installed with every Airflow."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def pins(airflow):
    lines = (ROOT / "constraints" / f"airflow-{airflow}.txt").read_text().splitlines()
    return [line.partition(" ;")[0].split("==") for line in lines if "==" in line]


def test_each_airflow_has_constraints():
    """Every Airflow has a constraint file with that version."""
    for airflow in set(constants()["SUPPORTED"]) - {"none"}:
        assert ["apache-airflow", airflow] in pins(airflow)


def test_the_default_sessions_cover_what_is_supported():
    """The default sessions have each Airflow and each Python; the newest and none have both ends."""
    found = constants()
    supported = {f"tests-{airflow}-{python}" for airflow, pythons in found["SUPPORTED"].items() for python in pythons}
    default = [name.rpartition("-") for name in found["DEFAULT"]]
    assert set(found["DEFAULT"]) <= supported
    assert {airflow for airflow, _, _ in default} == {f"tests-{airflow}" for airflow in found["SUPPORTED"]}
    assert {python for _, _, python in default} == {"3.10", "3.11", "3.12", "3.13"}
    for airflow in (found["NEWEST"], "none"):
        assert {python for name, _, python in default if name == f"tests-{airflow}"} == {"3.10", "3.13"}


def test_the_supported_pythons_are_those_of_the_package():
    """The Pythons of the sessions are the classifiers in pyproject.toml."""
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert {python for pythons in constants()["SUPPORTED"].values() for python in pythons} == set(classifiers)


def test_the_workflow_runs_each_airflow():
    """The workflow of the matrix has a job for each Airflow."""
    workflow = (ROOT / ".github" / "workflows" / "matrix.yml").read_text()
    assert re.findall(r'"([\w.]+)"', workflow.partition("airflow: [")[2].partition("]")[0]) == [
        *constants()["SUPPORTED"]
    ]


def test_the_paths_of_the_sessions_exist():
    """The tests that run without Airflow, and with the engines, exist."""
    found = constants()
    assert [path for path in found["WITHOUT_AIRFLOW"] + found["ENGINES"] if not (ROOT / path).exists()] == []


def test_what_runs_without_airflow_can_be_imported_without_it():
    """The session without Airflow collects its tests: their files import it only where they skip without it."""
    code = f"""
import sys
sys.modules["airflow"] = sys.modules["pendulum"] = None
import pytest
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *{constants()["WITHOUT_AIRFLOW"]!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[done.stdout.find("= ERRORS") :]


def test_what_needs_no_version_is_left_out_once():
    """CI leaves out on the oldest Airflow what noxfile.py leaves out; these files do not use any other package."""
    left_out = re.findall(r"--ignore=(\S+)", (ROOT / ".ci" / "run").read_text())
    assert left_out == constants()["NEEDS_NO_VERSION"]
    for file in (file for path in left_out for file in [ROOT / path, *(ROOT / path).glob("*.py")] if file.is_file()):
        modules = re.findall(r"^\s*(?:import|from) (\w+)", file.read_text(), re.MULTILINE)
        assert not {"airflow", "httpx", "requests", "pendulum", "pyarrow"} & set(modules), file


def test_the_lower_bounds_are_tested():
    """The constraints of the oldest Airflow contain the lowest version of each requirement of the package."""
    project = (ROOT / "pyproject.toml").read_text().partition("[dependency-groups]")[0]
    bounds = dict(BOUND.findall(project.partition("dependencies = [")[2]))
    assert len(bounds) >= 10
    installed = pins("2.11.0")
    assert [name for name, version in bounds.items() if [name, version] not in installed] == []
