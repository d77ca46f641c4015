"""Serialized DAGs: every process makes the same of a file, and Airflow reads it back unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("airflow")

from tests.helpers import airflow_runs
from tests.helpers.serialized_dags import serialize, serializer
from tests.operators import serialized_dags

ROOT = Path(__file__).parents[2]
DAGS = Path(__file__).parent / "serialized_dags.py"
V3 = airflow_runs.version() >= (3,)
WATCHERS = {watcher.name: watcher.trigger.serialize() for watcher in serialized_dags.watched.watchers} if V3 else {}
EXAMPLES = [path for path in sorted((ROOT / "example_dags").glob("*.py")) if V3 or path.stem != "secoda_on_new_version"]


@pytest.fixture(scope="module")
def twice(airflow):
    """Return the serialized DAGs of the file above and of the examples, of this process and of another one."""
    airflow.start()
    files = [str(DAGS), *map(str, EXAMPLES)]
    command, env = [sys.executable, "-m", "tests.helpers.serialized_dags", *files], os.environ | {"PYTHONHASHSEED": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE) as other:
        one = serialize(files)
        printed, _ = other.communicate(timeout=120)
    assert other.returncode == 0
    return one, json.loads(printed.splitlines()[-1])


def test_two_processes_serialize_the_same(twice):
    """A file has the same hash in every process: otherwise each parse would store a new version of its DAGs."""
    one, other = twice
    assert len(one) == len(EXAMPLES) + 4 + V3
    for dag_id in one:
        assert list(differences(one[dag_id]["document"], other[dag_id]["document"])) == []
        assert one[dag_id]["hash"] == other[dag_id]["hash"], dag_id


def test_no_address_is_serialized(twice):
    """No value is the default repr of an object, with its address in memory."""
    assert [text for text in strings(twice[0]) if " object at 0x" in text] == []


def differences(one, other, where=""):
    """Yield the places at which two JSON documents differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for name in one:
            yield from differences(one[name], other[name], f"{where}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{where}[{number}]")
    elif one != other:
        yield where, one, other


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


@pytest.fixture(scope="module")
def dags(airflow):
    return airflow.load(DAGS)


def read_back(dag):
    """Return a DAG as Airflow reads it from its database."""
    return serializer().from_dict(json.loads(json.dumps(serializer().to_dict(dag))))


def test_mapped_operators_survive_the_round_trip(dags):
    """A mapped operator that was read back has the arguments of the one in the DAG file."""
    read = read_back(dags["mapped"])
    for task_id in ("days", "ends", "filters", "triggered"):
        written, found = dags["mapped"].get_task(task_id), read.get_task(task_id)
        assert found.expand_input.value == written.expand_input.value != {}
        given = set(written.partial_kwargs) & {"output_path", "start", "settle", "deferrable", "start_from_trigger"}
        assert {name: found.partial_kwargs[name] for name in given} == {
            name: written.partial_kwargs[name] for name in given
        }


@pytest.mark.skipif(not V3, reason="Airflow 2 has no watchers")
def test_watchers_survive_the_round_trip(dags):
    """The watchers of an asset that was read back have the class and the arguments of those in the DAG file."""
    read = read_back(dags["watchers"])
    (asset,) = [asset for _, asset in read.timetable.asset_condition.iter_assets() if asset.name == "watched"]
    assert {watcher.name: described(watcher.trigger) for watcher in asset.watchers} == WATCHERS
    assert WATCHERS["l"][1]["activity_types"] == ["A", "B", "C", "D", "E"]


@pytest.mark.skipif(not V3, reason="Airflow 2 has no watchers")
def test_stored_triggers_are_those_of_the_file(airflow, dags):
    """Airflow stores a trigger for each watcher, keeps it at the next parse, and the triggerer can create it."""
    airflow.load(DAGS)  # Airflow 3.0 stores them when it parses a file for the second time
    stored, expected = triggers(), sorted(map(str, WATCHERS.values()))
    # Tests of other DAGs may have used the same database before.
    assert sorted(found for found in map(str, stored.values()) if found in expected) == expected
    for classpath, kwargs in stored.values():
        module, _, name = classpath.rpartition(".")
        assert getattr(import_module(module), name)(**kwargs).serialize() == (classpath, kwargs)
    airflow.load(DAGS)
    assert triggers() == stored


def triggers():
    """Return class and arguments of this provider's triggers in the metadata database, by the id of the row."""
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session

    with create_session() as session:
        rows = session.query(Trigger).filter(Trigger.classpath.like("airflow_provider_secoda.%EventTrigger")).all()
        return {row.id: (row.classpath, row.kwargs) for row in rows}


def described(trigger):
    """Return class path and arguments of a trigger that was read back, which is a description of it."""
    return trigger["classpath"], trigger["kwargs"]
