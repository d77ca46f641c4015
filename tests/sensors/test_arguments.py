"""The sensor's arguments: documented, checked when the DAG is parsed or the task starts, templated, mapped."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone

import pytest

from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor
from tests.helpers import airflow_runs
from tests.sensors.sensor_runs import MODES, Code, make, outcome, run, tries

modes = pytest.mark.parametrize("mode", MODES)

WRONG = [
    {"resource_id": ""},
    {"resource_id": "  "},
    {"resource_id": "None"},
    {"resource_id": None},
    {"resource_id": 7},
    {"resource_id": ["R"]},
    {"secoda_conn_id": ""},
    {"secoda_conn_id": None},
    {"since": "yesterday"},
    {"since": ""},
    {"since": "None"},
    {"since": "12:30"},
    {"since": 1_700_000_000},
    {"since": datetime(2026, 1, 1)},  # noqa: DTZ001 - that is what is wrong with it
    {"since": date(2026, 1, 1)},
    {"since_version_id": ""},
    {"since_version_id": 7},
]
#: A template may render to a number of digits, but to no other number.
WRONG_AT_START = [one for one in WRONG if 7 not in one.values() and date(2026, 1, 1) not in one.values()]
WRONG_AT_START += [{"resource_id": 7.5}, {"resource_id": True}, {"since_version_id": 7.5}]
WRONG_ALWAYS = [
    {"match": "everything"},
    {"match": None},
    {"match": ["new_version"]},
    {"max_consecutive_failures": 0},
    {"max_consecutive_failures": 2.5},
    {"max_consecutive_failures": True},
    {"max_consecutive_failures": "3"},
    {"poke_interval": 0},
    {"poke_interval": timedelta(0)},
]


@pytest.mark.parametrize("wrong", WRONG + WRONG_ALWAYS, ids=str)
def test_a_wrong_argument_fails_while_parsing(wrong):
    """An argument that is known to be wrong when the DAG is parsed fails there, and is named."""
    with pytest.raises(ValueError, match=rf"\b{next(iter(wrong))}\b"):
        make(**wrong)


@pytest.mark.parametrize("since", ["2026-01-01", "{{ ds }}"])
def test_only_one_baseline_is_allowed(since):
    """`since` and `since_version_id` exclude each other, also as templates."""
    with pytest.raises(ValueError, match="`since` and `since_version_id`"):
        make(since=since, since_version_id="v1")


@modes
@pytest.mark.parametrize("wrong", WRONG_AT_START, ids=str)
def test_a_wrong_argument_at_the_start_of_the_task_fails_at_once(sandbox, mode, wrong):
    """A wrong argument from a template or another task fails without a retry and without a request, and is named."""
    (name, value) = next(iter(wrong.items()))
    task = make(mode, silent_fail=True, **{name: "{{ params.given }}"})
    setattr(task, name, value)
    ended, error = outcome(task)
    assert ended == "failed"
    assert re.search(rf"\b{name}\b", str(error))
    assert sandbox.requests == []


def test_a_template_that_renders_to_nothing(sandbox):
    """A template of something that the run does not have fails the task at its first try, and names the argument."""
    ran = run("deferrable", since="{{ dag_run.conf.get('since') }}", retries=1, retry_delay=Code("timedelta(0)"))
    assert ran.tasks["wait"] == "failed"
    assert "`since` must be a non-empty string, not 'None'" in " ".join(ran.log.split())
    assert sandbox.requests == []


def test_a_version_that_does_not_exist(sandbox):
    """A `since_version_id` that the resource does not have fails at once: no version can be compared with it."""
    ended, error = outcome(make(since_version_id="nope"))
    assert ended == "failed"
    assert "`since_version_id`" in str(error)
    assert "'nope'" in str(error)


MAPPED = """
from datetime import datetime, timedelta, timezone
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

with DAG("mapped_{mode}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    SecodaVersionHistorySensor.partial(
        task_id="wait", since="2026-11-01T00:00:00Z", poke_interval=0.3, timeout=20, {arguments}
    ).expand(resource_id=["A", "B"])
"""


@modes
def test_mapped_over_resources(sandbox, mode):
    """One sensor a resource, by `expand`."""
    for name in ("A", "B"):
        sandbox.workspace.add_version(name, id=f"of-{name}", created_at=datetime.now(timezone.utc))
    arguments = ", ".join(f"{name}={value!r}" for name, value in MODES[mode].items()) + ", start_from_trigger=True"
    ran = airflow_runs.run_dag(MAPPED.format(mode=mode, arguments=arguments))
    assert ran.state == "success", ran.log
    assert [[entry["id"] for entry in entries] for entries in ran.xcoms["wait"]] == [["of-A"], ["of-B"]]


def test_a_mapped_sensor_with_a_wrong_argument(sandbox):
    """A wrong argument of one mapped sensor fails only that one at its first try, and is named."""
    sandbox.workspace.add_version("B", id="of-B", created_at=datetime.now(timezone.utc))
    source = MAPPED.format(mode="wrong", arguments="retries=1, retry_delay=timedelta(0)").replace('"A"', '" "')
    ran = airflow_runs.run_dag(source)
    assert ran.tasks["wait"] == ["failed", "success"]
    assert tries(ran) == 1
    assert "`resource_id` must be a non-empty string" in ran.log


def test_the_docstring_says_what_is_templated():
    """The docstring has "(templated)" exactly for the arguments in `template_fields`, and documents every argument."""
    documented = dict(re.findall(r":param (\w+):(.*?)(?=:param|\Z)", SecodaVersionHistorySensor.__doc__, re.DOTALL))
    templated = {name for name, text in documented.items() if "(templated)" in text}
    assert templated == set(SecodaVersionHistorySensor.template_fields)
    import inspect

    own = set(inspect.signature(SecodaVersionHistorySensor.__init__).parameters) - {"self", "kwargs"}
    assert set(documented) == own


def test_a_dag_file_does_not_load_what_only_runs_need():
    """Importing the sensor, as each parse of a DAG file does, loads none of its hooks, triggers and HTTP clients."""
    code = (
        "import sys, airflow.providers.common.compat.sdk as sdk; sdk.BaseSensorOperator; before = set(sys.modules);"
        "from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor as S;"
        "S(task_id='t', resource_id='R');"
        "print(*(name for name in set(sys.modules) - before if 'secoda' in name))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "airflow_provider_secoda.sensors.secoda" in loaded
    assert not {name for name in loaded if ".hooks" in name or ".triggers" in name}
    assert not {"airflow_provider_secoda.client.sync", "airflow_provider_secoda.client.aio"} & set(loaded)
