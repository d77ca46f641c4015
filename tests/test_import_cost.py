"""Importing the provider in a DAG file, creating its objects and parsing its example DAGs cost very little."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import import_probe

pytest.importorskip("airflow")

#: How many modules an import may add to those that DAG files have loaded anyway. Those of Airflow differ by one or two
#: from version to version; a module of ours that is really needed is a reason to raise a bound, one that waits is not.
MOST = {
    "operator": 25,
    "sensor": 17,
    "operator and sensor": 31,
    "triggers": 18,
    "hook": 17,
    "links": 5,
    "assets": 7,
    "retries": 4,
    "windows": 12,
    "compat": 3,
    "provider info": 2,
}
#: Modules that no DAG file may load: engines, formats, servers, and network libraries.
HEAVY = {
    "aiohttp", "boto3", "botocore", "duckdb", "fsspec", "httpx", "numpy", "openlineage", "pandas", "pyarrow",
    "requests", "s3fs", "sqlite3", "starlette", "urllib3", "uvicorn",
}  # fmt: skip
OBJECTS = (
    "operator",
    "operator to a local file",
    "verify operator",
    "sensor",
    "sensor, started by the triggerer",
    "trigger",
    "event trigger for logs",
    "event trigger for versions",
    "hook",
    "retry policy",
    "link to the output",
    "link to the report",
    "link to the resource",
)
EXAMPLES = sorted(path.stem for path in import_probe.EXAMPLES.glob("*.py"))


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """Return the results of a new process."""
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path_factory.mktemp("home"))}
    script = Path(import_probe.__file__)
    ran = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def roots(modules):
    return {module.partition(".")[0] for module in modules}


def heavy(probed, modules):
    """Return the heavy ones among modules, except those that Airflow itself has loaded in every DAG file."""
    return roots(modules) & HEAVY - set(probed["before"])


def test_every_entry_has_its_bound():
    """Each module that users import has a bound."""
    assert set(MOST) == set(import_probe.ENTRIES)


@pytest.mark.parametrize("entry", MOST)
def test_an_import_adds_few_modules(probed, entry):
    """An import adds no more modules than it needs to define its classes."""
    loaded = probed["imports"][entry]["loaded"]
    assert len(loaded) <= MOST[entry], loaded


@pytest.mark.parametrize("entry", MOST)
def test_an_import_loads_no_package_that_airflow_has_not_loaded(probed, entry):
    """An import adds only modules of this provider, Airflow or Python, and no heavy ones."""
    loaded = probed["imports"][entry]["loaded"]
    foreign = roots(loaded) - set(probed["before"]) - {"airflow", import_probe.PACKAGE} - sys.stdlib_module_names
    assert not foreign
    assert not heavy(probed, loaded)


@pytest.mark.parametrize("entry", MOST)
def test_an_import_does_nothing_else(probed, entry):
    """An import only reads modules: it uses no file, socket, process or database."""
    assert probed["imports"][entry]["did"] == []


def test_every_object_is_made(probed):
    """Each object in the list is created by a probe."""
    assert set(probed["objects"]) == set(OBJECTS)


@pytest.mark.parametrize("name", OBJECTS)
def test_a_constructor_does_no_io(probed, name):
    """Constructors only store their arguments: they use no file, socket, process or database."""
    made = probed["objects"][name]
    assert made["did"] == []
    assert not heavy(probed, made["loaded"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_parsed_without_io(probed, name):
    """DAG files with our operators, sensors and watchers are parsed without I/O, and nothing heavy is loaded."""
    parsed = probed["dags"][name]
    if "No module named 'airflow.sdk'" in parsed:
        pytest.skip("Airflow 2 has no assets that are watched")
    assert parsed["did"] == []
    assert not heavy(probed, parsed["loaded"])
