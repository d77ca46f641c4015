"""Arguments of operator, sensor, triggers, hook and windows are accepted, or refused by name and early."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.hooks.secoda import SecodaHook
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor
from airflow_provider_secoda.triggers.secoda import (
    SecodaAuditLogEventTrigger,
    SecodaVersionHistoryEventTrigger,
    SecodaVersionHistoryTrigger,
)
from airflow_provider_secoda.windows import WindowError, resolve_window, split_window

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
START, END = "2026-02-24T00:00:00Z", "2026-02-25T00:00:00Z"
NAIVE = datetime(2026, 2, 24, 5)  # noqa: DTZ001
MINUTE = timedelta(minutes=1)
FILTER = {"operator": "exact", "field": "performer_type", "value": "USER"}

#: An argument, a wrong value, and what the error says besides the name of the argument.
WRONG = [
    ("settle", "60", "a number of seconds or a timedelta of at least 0, not '60'"),
    ("settle", -1, "not -1"),
    ("settle", timedelta(-1), "not datetime.timedelta(days=-1)"),
    ("settle", None, "not None"),
    ("settle", 1e300, "is too long"),
    ("concurrency", "4", "an integer of at least 1, not '4'"),
    ("concurrency", 0, "not 0"),
    ("concurrency", 2.0, "not 2.0"),
    ("timestamp_field", "created", "logged_at or created_at, not 'created'"),
    ("timestamp_field", ["logged_at"], "not ['logged_at']"),
    ("skip_if_empty", "no", "True or False"),
    ("require_history", "false", "True or False"),
    ("write_manifest", 0, "True or False"),
    ("overwrite", "yes", "True or False"),
    ("on_change", "overwrite", "must be replace or supplement, not 'overwrite'"),
    ("on_change", None, "must be replace or supplement"),
    ("deferrable", None, "True or False"),
    ("xcom_limit_bytes", "1000", "an integer"),
    ("secoda_conn_id", "", "a non-empty string"),
    ("output_path", "/logs/{start}.csv", "does not end in the suffix of a known format"),
    ("output_path", "/logs/{{ ds }}.json", "does not end in the suffix of a known format"),
    ("output_path", "/logs/{% if ds %}x{% endif %}.gz.jsonl.bz2", "does not end in the suffix of a known format"),
    ("output_path", "/logs", "does not end in the suffix of a known format"),
    ("output_path", Path("/logs/x.jsonl"), "must be a non-empty string"),
    ("filter", {"operator": "exact"}, "has neither `operands` nor a `field`"),
    ("filter", {"operator": "and", "operands": []}, "a non-empty list"),
    ("filter", '{"operator": "exact"', "is not valid JSON"),
    ("filter", {**FILTER, "value": UNTIL}, "is not valid JSON"),
    ("filter", str(FILTER), "{{ … | tojson }}"),
]


@pytest.fixture
def workspace(secoda_sandbox_factory):
    known = Workspace.generate(seed=3, logs=100, days=20, until=UNTIL)
    secoda_sandbox_factory(known)
    return known


def operator(**arguments):
    return SecodaAuditLogsOperator(task_id="fetch", **{"start": START, "end": END, **arguments})


# --- when the DAG is parsed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_wrong_argument_is_an_import_error_of_the_dag(name, value, message):
    """A wrong argument is refused when the operator is created, in ``partial()`` too; the error names it."""
    with pytest.raises(ValueError, match=f"`{name}") as refused:
        operator(**{name: value})
    assert message in str(refused.value)
    with DAG("d", schedule=None), pytest.raises(ValueError, match=f"`{name}"):
        SecodaAuditLogsOperator.partial(task_id="fetch", **{name: value})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"overwrite": True}, "never replaces a file, but overwrite=True"),
        ({"write_manifest": False}, "needs manifests, but write_manifest=False"),
        ({"skip_if_empty": True}, "begins with a file of each window, also of an empty one"),
        ({"output_path": None}, "writes files: pass `output_path`"),
    ],
)
def test_arguments_that_contradict_supplements(arguments, message):
    """What supplements cannot do is refused when the DAG is parsed, also in ``partial()``."""
    given = {"output_path": "/logs/{start}.jsonl", "on_change": "supplement"}
    operator(**given)
    with pytest.raises(ValueError, match=f"`on_change`: .*{message}"):
        operator(**given | arguments)
    with DAG("d", schedule=None):
        SecodaAuditLogsOperator.partial(task_id="other", on_change="supplement")
        with pytest.raises(ValueError, match=f"`on_change`: .*{message}"):
            SecodaAuditLogsOperator.partial(task_id="fetch", **given | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": NAIVE}, 'or a string with an offset: start="2026-02-24T05:00:00+00:00"'),
        ({"end": NAIVE}, "Write end=datetime(2026, 2, 24, 5, 0, tzinfo=timezone.utc)"),
        ({"end": "yesterday"}, "end='yesterday' is not an ISO 8601 date and time"),
        ({"end": None}, "start is given, but end is not: pass both or neither"),
        ({"start": END, "end": START}, "start=2026-02-25T00:00:00Z is not before end=2026-02-24T00:00:00Z"),
    ],
)  # fmt: skip
def test_a_wrong_window_is_an_import_error_of_the_dag(arguments, message):
    """A window that is known when the DAG is parsed is checked then."""
    with pytest.raises(ValueError, match=r"start|end") as refused:
        operator(**arguments)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"settle": 60},
        {"settle": 0.5},
        {"settle": 0},
        {"start": "{{ ds }}", "end": END},
        {"start": None, "end": None},
        {"filter": "{{ params.filter | tojson }}"},
        {"filter": {"operator": "{{ params.operator }}"}},
        {"filter": lambda context, jinja_env: FILTER},  # noqa: ARG005
        {"output_path": "{{ params.path }}"},
        {"output_path": "/logs/{{ ds }}.gz"},
        {"output_path": "/logs/{{ ds }}.JSONL"},
        {"output_path": lambda context, jinja_env: "/logs/x.jsonl"},  # noqa: ARG005
        {"secoda_conn_id": "{{ params.connection }}"},
    ],
)
def test_what_is_not_known_yet_is_not_refused(arguments):
    """Templates, also inside a filter, and functions are checked when the task runs."""
    operator(**arguments)


@pytest.mark.parametrize(("settle", "delta"), [(60, MINUTE), (0.5, MINUTE / 120), (MINUTE, MINUTE)])
def test_settle_is_a_duration_in_seconds_or_a_timedelta(settle, delta):
    """A number is taken as seconds."""
    assert operator(settle=settle).settle == delta


# --- when the task runs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filter": str(FILTER)}, "{{ … | tojson }}"),
        ({"output_path": "/logs/x.csv"}, "`output_path`: '/logs/x.csv' does not end in"),
        ({"concurrency": "4"}, "`concurrency` must be an integer"),
        ({"start": NAIVE}, "Write start=datetime(2026, 2, 24, 5, 0, tzinfo=timezone.utc)"),
    ],
)
@pytest.mark.usefixtures("workspace")
def test_a_wrong_argument_of_a_mapped_task_fails_it_at_once(arguments, message):
    """What only the run knows fails the task without a retry, with the same message."""
    task = operator()
    for name, value in arguments.items():
        setattr(task, name, value)
    with pytest.raises(AirflowFailException) as failed:
        task.execute({})
    assert message in str(failed.value)


# --- where a file cannot be written ---------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "directory.jsonl").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("file/logs.jsonl", "Not a directory: '{}/file'"),
        ("file/deep/deeper/logs.jsonl", "Not a directory: '{}/file'"),
        ("directory.jsonl", "Is a directory: '{}/directory.jsonl'"),
        (f"{'n' * 300}.jsonl", "File name too long"),
        (f"{'n' * 300}/logs.jsonl", "File name too long"),
    ],
)
def test_a_file_that_cannot_be_written_is_found_before_the_window_is_read(
    places, path, message, secoda_sandbox_factory, workspace
):
    """The task fails at once, names ``output_path`` and the place, and has sent no request."""
    sandbox = secoda_sandbox_factory(workspace)
    with pytest.raises(AirflowFailException) as failed:
        operator(output_path=f"{places}/{path}").execute({})
    assert str(failed.value).startswith(f"`output_path`: cannot write '{places}/{path[:60]}")
    assert message.format(places) in str(failed.value)
    assert sandbox.requests == []


@pytest.mark.usefixtures("workspace")
def test_a_directory_without_permission_is_found_before_the_window_is_read(tmp_path, monkeypatch):
    """A directory that this user cannot write fails the task at once; the error names the nearest that exists."""
    monkeypatch.setattr(os, "access", lambda path, mode: (str(path), mode) != (str(tmp_path), os.W_OK | os.X_OK))
    with pytest.raises(AirflowFailException, match=r"`output_path`: cannot write .*: Permission denied: ") as failed:
        operator(output_path=f"{tmp_path}/new/logs.jsonl").execute({})
    assert repr(str(tmp_path)) in str(failed.value)


@pytest.mark.parametrize(
    ("url", "package", "libraries"),
    [
        ("s3://used_here_only@bucket/logs.jsonl", "apache-airflow-providers-amazon[s3fs]", ["s3fs"]),
        ("gs://bucket/logs.jsonl", "apache-airflow-providers-google", ["gcsfs"]),
        ("abfs://used_here_only@container/logs.jsonl", "apache-airflow-providers-microsoft-azure", ["adlfs"]),
        ("hdfs://host/logs.jsonl", "of Airflow that supports its scheme", []),
        ("wasb://container/logs.jsonl", "of Airflow that supports its scheme", []),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("workspace")
def test_a_url_without_its_package_says_what_to_install(url, package, libraries, monkeypatch):
    """The task fails at once with the name of the package that the URL's scheme needs."""
    for module in [name for name in sys.modules if name.startswith("airflow.providers.amazon.aws.fs")]:
        monkeypatch.delitem(sys.modules, module)
    for library in libraries:
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(AirflowFailException) as failed:
        operator(output_path=url).execute({})
    assert str(failed.value).startswith(f"`output_path`: '{url}' needs the package {package}: install it")


# --- sensor, triggers, hook, windows --------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "seconds"), [(90, 90.0), (timedelta(minutes=1.5), 90.0)])
def test_durations_are_seconds_or_timedeltas_everywhere(given, seconds):
    """Sensor and triggers take both forms of a duration; triggers serialize seconds."""
    sensor = SecodaVersionHistorySensor(
        task_id="wait", resource_id="r", poke_interval=given, timeout=given, max_wait=given, since=UNTIL
    )
    assert sensor.poke_interval == sensor.timeout == seconds
    assert sensor._wait_arguments(UNTIL)["max_wait"] == seconds
    trigger = SecodaVersionHistoryTrigger(
        secoda_conn_id="c", resource_id="r", since=START, poke_interval=given, max_wait=given
    )
    assert [trigger.serialize()[1][name] for name in ("poke_interval", "max_wait")] == [seconds, seconds]
    for watcher in (
        SecodaAuditLogEventTrigger(poke_interval=given, lookback=given),
        SecodaVersionHistoryEventTrigger("r", poke_interval=given, lookback=given),
    ):
        arguments = watcher.serialize()[1]
        assert arguments["poke_interval"] == arguments["lookback"] == seconds
        assert type(arguments["lookback"]) is float


def test_windows_are_split_by_seconds_or_timedeltas():
    """``every`` is a duration, too."""
    assert split_window(START, END, every=43_200) == split_window(START, END, every=timedelta(hours=12))
    with pytest.raises(ValueError, match="`every` must be a number of seconds or a timedelta"):
        split_window(START, END, every="1d")


@pytest.mark.parametrize(
    ("name", "value"),
    [("wait_for_resource", "no"), ("deferrable", "yes"), ("max_consecutive_failures", "3"), ("match", "new")],
)
def test_a_wrong_argument_of_the_sensor_is_an_import_error_of_the_dag(name, value):
    """The sensor names a wrong argument as the operator does."""
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        SecodaVersionHistorySensor(task_id="wait", resource_id="r", **{name: value})


@pytest.mark.parametrize("name", ["start", "end"])
def test_a_datetime_without_a_time_zone_is_refused_everywhere(name):
    """Operator, sensor, hook and windows refuse it in the same words, with the line to write."""
    edges = {"start": START, "end": END, name: NAIVE}
    line = f"Write {name}=datetime(2026, 2, 24, 5, 0, tzinfo=timezone.utc)"
    said = []
    for refuse in (
        lambda: operator(**edges),
        lambda: list(SecodaHook().iter_audit_logs(**edges)),
        lambda: resolve_window({}, **edges),
        lambda: split_window(**edges),
    ):
        with pytest.raises(ValueError, match="has no time zone") as refused:
            refuse()
        said.append(str(refused.value))
    assert all(line in message for message in said), said
    with pytest.raises(ValueError, match="has no time zone") as refused:
        SecodaVersionHistorySensor(task_id="wait", resource_id="r", since=NAIVE)
    assert "Write since=datetime(2026, 2, 24, 5, 0, tzinfo=timezone.utc)" in str(refused.value)
    with pytest.raises(WindowError):
        resolve_window({}, **edges)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"concurrency": "4"}, "concurrency"),
        ({"concurrency": 0}, "concurrency"),
        ({"timestamp_field": "x"}, "timestamp_field"),
    ],
)
@pytest.mark.usefixtures("workspace")
def test_a_wrong_argument_of_the_hook_is_refused_by_name(arguments, name):
    """The hook and its client name the argument."""
    with pytest.raises((AirflowFailException, SecodaConfigurationError), match=f"`{name}` must be"):
        list(SecodaHook().iter_audit_logs(START, END, **arguments))
