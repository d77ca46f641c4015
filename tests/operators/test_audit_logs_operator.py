"""The operator, in real DAG runs against the sandbox over HTTP."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_provider_secoda.client.errors import (
    SecodaAuthenticationError,
    SecodaIncompleteError,
    SecodaPermissionError,
)
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sandbox import Faults, Workspace
from tests.helpers import timestamps

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
START, END = UNTIL - 5 * DAY, UNTIL - 4 * DAY


@pytest.fixture(scope="module")
def workspace():
    return Workspace.generate(seed=3, logs=3000, days=20, until=UNTIL)


@pytest.fixture
def sandbox(secoda_sandbox_factory, workspace):
    return secoda_sandbox_factory(workspace)


def run(operator, **context):
    """Execute an operator as a task of a DAG without a schedule; return what it returns."""
    from airflow.providers.common.compat.sdk import DAG

    with DAG("d", schedule=None, start_date=UNTIL) as dag:
        dag.add_task(operator)
    return operator.execute({"dag": dag, **context})


def fetch(**arguments):
    return run(SecodaAuditLogsOperator(task_id="fetch", **{"start": START, "end": END} | arguments))


def expected(workspace, start=START, end=END, field="logged_at"):
    return b"".join(raw + b"\n" for raw in workspace.window(start, end, field))


# --- what is written ------------------------------------------------------------------------------------------------


def test_the_file_contains_every_log_of_the_window_as_sent(sandbox, workspace, tmp_path):
    """The file contains each log of the window once, in order, as the bytes that the API sent."""
    path = tmp_path / "deep" / "logs.jsonl"
    summary = fetch(output_path=str(path))
    body = path.read_bytes()
    assert body == expected(workspace)
    logs = [json.loads(line) for line in body.splitlines()]
    instants = sorted(timestamps.read(log["logged_at"]) for log in logs)
    assert summary == {
        "path": str(path),
        "format": "jsonl",
        "count": len(logs),
        "start": "2026-02-24T00:00:00Z",
        "end": "2026-02-25T00:00:00Z",
        "window_rule": "start_end",
        "timestamp_field": "logged_at",
        "first_timestamp": timestamps.write(instants[0]),
        "last_timestamp": timestamps.write(instants[-1]),
        "pages": summary["pages"],
        "requests": len(sandbox.requests),
        "duplicates_dropped": 0,
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "max_lag_seconds": max(
            (timestamps.read(log["created_at"]) - timestamps.read(log["logged_at"])).total_seconds() for log in logs
        ),
        "history_from": summary["history_from"],
        "manifest": f"{path.parent}/_manifests/_logs.jsonl.manifest",
        "manifest_sha256": hashlib.sha256(Path(summary["manifest"]).read_bytes()).hexdigest(),
        "untyped_values": None,
        "signature": None,
        "signing_key": None,
    }
    assert summary["count"] > 50
    assert 0 < summary["pages"] <= len(sandbox.requests)
    assert summary["history_from"] < timestamps.write(START)
    json.dumps(summary)


def test_two_reads_give_the_same_bytes(sandbox, tmp_path):
    """Reading a window again gives the same file, plain, gzipped and Parquet, with any number of pages in flight."""
    for suffix in ("jsonl", "jsonl.gz", "parquet"):
        first = fetch(output_path=f"{tmp_path}/one.{suffix}", concurrency=1)
        second = fetch(output_path=f"{tmp_path}/two.{suffix}", concurrency=7)
        assert first["sha256"] == second["sha256"]
        assert Path(first["path"]).read_bytes() == Path(second["path"]).read_bytes()


def test_gzip_and_parquet_contain_the_same_logs(sandbox, workspace, tmp_path):
    """All formats contain the same logs."""
    import pyarrow.parquet

    fetch(output_path=f"{tmp_path}/logs.ndjson.gz")
    assert gzip.decompress((tmp_path / "logs.ndjson.gz").read_bytes()) == expected(workspace)
    fetch(output_path=f"{tmp_path}/logs.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "logs.parquet")
    assert [raw.encode() for raw in table["raw"].to_pylist()] == workspace.window(START, END)
    assert str(table.schema.field("logged_at").type) == "timestamp[us, tz=UTC]"


def test_unusual_records_are_not_changed(secoda_sandbox_factory, tmp_path):
    """Unknown fields, long integers, 2.50, key order and text in any script are not changed."""
    workspace = Workspace()
    odd = (
        '{"zz": 12345678901234567890123, "id": "odd", "n": 2.50, "logged_at": "2026-02-24T10:00:00.1234567Z", '
        '"created_at": "2026-02-24T10:00:00.2Z", "e": 1E5, "t": "Zażółć 日本 \\u00e9 \\ud83d", "a": [ 1 ,2], "n": 3}'
    )
    workspace.add_log(raw=odd.encode())
    workspace.add_log(raw=odd.replace('"odd"', '"pretty"').replace(', "', ',\n  "').encode())
    secoda_sandbox_factory(workspace)
    summary = fetch(output_path=f"{tmp_path}/logs.jsonl")
    lines = (tmp_path / "logs.jsonl").read_bytes().split(b"\n")
    assert lines[0] == odd.encode()
    assert b'"n": 2.50' in lines[1]
    assert b"12345678901234567890123" in lines[1]
    assert len(lines) == 3
    assert summary["first_timestamp"] == "2026-02-24T10:00:00.123456Z"
    assert summary["max_lag_seconds"] == pytest.approx(0.076544)


def test_the_window_is_over_the_timestamp_that_was_chosen(sandbox, workspace, tmp_path):
    """With `timestamp_field` the window is over the other timestamp."""
    summary = fetch(output_path=f"{tmp_path}/logs.jsonl", timestamp_field="created_at")
    assert (tmp_path / "logs.jsonl").read_bytes() == expected(workspace, field="created_at")
    assert summary["timestamp_field"] == "created_at"


@pytest.mark.parametrize(
    "filter_",
    [
        {"operator": "exact", "field": "performer_type", "value": "USER"},
        '{"operator": "exact", "field": "performer_type", "value": "USER"}',
    ],
)
def test_a_filter_selects(sandbox, workspace, tmp_path, filter_):
    """A filter, as data or as a string, is sent to the API; the file contains exactly the logs that match."""
    fetch(output_path=f"{tmp_path}/logs.jsonl", filter=filter_)
    people = [raw for raw in workspace.window(START, END) if json.loads(raw)["performer_type"] == "USER"]
    assert (tmp_path / "logs.jsonl").read_bytes() == b"".join(raw + b"\n" for raw in people)
    assert 0 < len(people) < len(workspace.window(START, END))


def test_path_placeholders_are_the_windows_edges(sandbox, tmp_path):
    """`{start}` and `{end}` in the path are replaced by the window's edges in UTC, with any format."""
    summary = fetch(output_path=str(tmp_path) + "/{start:%Y/%m/%d}/{start}_{end:%H%M}.jsonl")
    assert summary["path"] == f"{tmp_path}/2026/02/24/2026-02-24T00-00-00_0000.jsonl"
    assert Path(summary["path"]).exists()


def test_an_empty_window_writes_an_empty_file(sandbox, tmp_path):
    """A window without logs gives an empty, valid file in every format, or skips the task and writes nothing."""
    import pyarrow.parquet

    empty = {"start": UNTIL + DAY, "end": UNTIL + 2 * DAY}
    summary = fetch(output_path=f"{tmp_path}/logs.jsonl", **empty)
    assert (summary["count"], summary["first_timestamp"], summary["last_timestamp"], summary["bytes"]) == (
        0,
        None,
        None,
        0,
    )
    fetch(output_path=f"{tmp_path}/logs.jsonl.gz", **empty)
    assert gzip.decompress((tmp_path / "logs.jsonl.gz").read_bytes()) == b""
    fetch(output_path=f"{tmp_path}/logs.parquet", **empty)
    assert pyarrow.parquet.read_table(tmp_path / "logs.parquet").num_rows == 0
    with pytest.raises(AirflowSkipException):
        fetch(output_path=f"{tmp_path}/skipped.jsonl", skip_if_empty=True, **empty)
    assert not (tmp_path / "skipped.jsonl").exists()


def test_without_a_path_the_logs_are_returned(sandbox, workspace):
    """Without a path the list of logs is returned, oldest first."""
    assert fetch() == [json.loads(raw) for raw in workspace.window(START, END)]


def test_too_many_logs_for_xcom(sandbox):
    """Too many logs for XCom are an error that shows how to write them to a file."""
    with pytest.raises(AirflowFailException, match=r'output_path="s3://'):
        fetch(xcom_limit_bytes=10_000)


# --- errors ----------------------------------------------------------------------------------


def test_a_rejected_key_fails_at_once(member, monkeypatch, tmp_path):
    """401 and 403 fail the task without a retry, with the original error as the cause, and leave no file."""
    sandbox, connection = member, json.loads(member.connection_json)
    for key, cause in (("wrong", SecodaAuthenticationError), ("member", SecodaPermissionError)):
        sandbox.requests.clear()
        monkeypatch.setenv(
            "AIRFLOW_CONN_SECODA_DEFAULT",
            json.dumps(connection | {"password": "no-such-key" if key == "wrong" else sandbox.member_key}),
        )
        with pytest.raises(AirflowFailException) as caught:
            fetch(output_path=f"{tmp_path}/logs.jsonl", retry_policy=None)
        assert isinstance(caught.value.__cause__, cause)
        assert len(sandbox.requests) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def member(secoda_sandbox_factory, workspace):
    return secoda_sandbox_factory(workspace, member_key="member-key-of-the-sandbox")


@pytest.mark.parametrize("cap_count", ["true", "capped"])
@pytest.mark.parametrize("beyond", ["empty", "404"])
def test_a_capped_listing_fails_and_leaves_the_old_file(sandbox, tmp_path, cap_count, beyond):
    """Logs that a cap hides fail the task with a clear error; an existing file is not changed."""
    (tmp_path / "logs.jsonl").write_text("old")
    sandbox.faults.cap, sandbox.faults.cap_count, sandbox.faults.beyond_cap = 300, cap_count, beyond
    middle = {"start": UNTIL - 10 * DAY, "end": UNTIL - 9 * DAY}
    with pytest.raises(SecodaIncompleteError, match="the listing is truncated"):
        fetch(output_path=f"{tmp_path}/logs.jsonl", **middle)
    assert (tmp_path / "logs.jsonl").read_text() == "old"


def test_a_window_from_before_the_history(sandbox, workspace, tmp_path, caplog):
    """A window from before the history gives the existing logs and a warning; with `require_history` it fails."""
    early = {"start": UNTIL - 30 * DAY, "end": UNTIL - 19 * DAY}
    summary = fetch(output_path=f"{tmp_path}/logs.jsonl", **early)
    assert (tmp_path / "logs.jsonl").read_bytes() == expected(workspace, early["start"], early["end"])
    assert summary["history_from"] == summary["first_timestamp"]
    with pytest.raises(AirflowFailException, match="require_history"):
        fetch(output_path=f"{tmp_path}/other.jsonl", require_history=True, **early)
    assert not (tmp_path / "other.jsonl").exists()
    fetch(output_path=f"{tmp_path}/fine.jsonl", require_history=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"start": START}, "end"),
        ({"end": END}, "start"),
        ({"start": END, "end": START}, "not before"),
        ({"start": "None", "end": "2026-01-01"}, "start"),
        ({"start": None, "end": None}, "CronDataIntervalTimetable"),
        ({"output_path": "/tmp/logs.csv"}, "jsonl"),
        ({"filter": "{nonsense"}, "filter"),
        ({"filter": {"field": "performer_type"}}, "operator"),
        ({"secoda_conn_id": "no_such_connection"}, "no_such_connection"),
    ],
)
def test_bad_input_is_named(sandbox, arguments, said):
    """A wrong argument fails the task with its name, before any request is sent."""
    base = {"start": START, "end": END} if not {"start", "end"} & set(arguments) else {}
    with pytest.raises(Exception, match=re.escape(said)):
        run(SecodaAuditLogsOperator(task_id="fetch", **base | arguments), dag_run=None)
    assert sandbox.requests == []


@pytest.mark.parametrize(
    "arguments", [{"output_path": "x.csv"}, {"filter": "{nonsense"}, {"secoda_conn_id": "no_such_connection"}]
)
def test_bad_input_fails_before_the_wait(sandbox, arguments):
    """An argument that cannot work fails immediately, not after the window has settled."""
    end = datetime.now(timezone.utc) + timedelta(hours=1)
    with pytest.raises(Exception, match=r"csv|filter|no_such_connection"):
        fetch(start=end - DAY, end=end, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"timestamp_field": "updated_at"}, {"concurrency": 0}, {"settle": timedelta(seconds=-1)}, {"overwrite": "no"}],
)
def test_bad_arguments_fail_while_parsing(arguments):
    """An argument that is known to be wrong when the DAG is parsed fails there, and is named."""
    with pytest.raises(ValueError, match=next(iter(arguments))):
        SecodaAuditLogsOperator(task_id="fetch", **arguments)


# --- settling --------------------------------------------------------------------------------------------------


def test_a_short_wait_sleeps(sandbox, tmp_path):
    """Before `end + settle` nothing is read: the task sleeps for a short wait."""
    end = datetime.now(timezone.utc)
    settled = end + timedelta(seconds=1)
    fetch(start=end - DAY, end=end, settle=timedelta(seconds=1), output_path=f"{tmp_path}/logs.jsonl")
    assert datetime.now(timezone.utc) >= settled


def test_a_long_wait_is_deferred(sandbox, workspace, tmp_path):
    """A longer wait is deferred until `end + settle`, and the window does not change."""
    end = datetime.now(timezone.utc) + timedelta(hours=1)
    with pytest.raises(TaskDeferred) as deferred:
        fetch(start=end - DAY, end=end, settle=timedelta(minutes=5))
    assert deferred.value.trigger.moment == end + timedelta(minutes=5)
    assert deferred.value.timeout < timedelta(hours=2)
    assert sandbox.requests == []
    operator = SecodaAuditLogsOperator(task_id="resumed", output_path=f"{tmp_path}/logs.jsonl")
    resume = getattr(operator, deferred.value.method_name)
    edges = {"start": START.isoformat(), "end": END.isoformat()}
    summary = resume({}, None, window=deferred.value.kwargs["window"] | edges)
    assert summary["window_rule"] == "start_end"
    assert (tmp_path / "logs.jsonl").read_bytes() == expected(workspace)


def test_a_long_wait_without_a_triggerer_sleeps(sandbox, monkeypatch):
    """With `deferrable=False` the task sleeps for a long wait, too."""
    slept = []
    monkeypatch.setattr("airflow_provider_secoda.operators._settling.time.sleep", slept.append)
    end = datetime.now(timezone.utc)
    fetch(start=end - DAY, end=end, settle=timedelta(minutes=1), deferrable=False)
    assert slept[0] == pytest.approx(60, abs=5)


# --- in DAG runs -----------------------------------------------------------------------------------------------

DAG_FILE = """
from datetime import datetime, timedelta, timezone
from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

with DAG("window_of_{name}", schedule={schedule}, start_date=datetime(2026, 2, 1, tzinfo=timezone.utc), catchup=False):
    SecodaAuditLogsOperator(task_id="fetch", output_path="{path}", {arguments})
"""


def dag_file(name, path, schedule="None", arguments=""):
    return DAG_FILE.format(name=name, schedule=schedule, path=path, arguments=arguments)


def test_a_run_of_a_data_interval(airflow, sandbox, workspace, tmp_path):
    """A run of a data-interval timetable writes its data interval, and the summary is its return value."""
    source = dag_file("interval", tmp_path / "logs.jsonl", 'CronDataIntervalTimetable("@daily", timezone="UTC")')
    ran = airflow.run_dag(source, logical_date=END)
    assert ran.state == "success", ran.log
    assert ran.xcoms["fetch"]["window_rule"] == "data_interval"
    assert (tmp_path / "logs.jsonl").read_bytes() == expected(workspace)


def test_templates_are_rendered(airflow, sandbox, workspace, tmp_path):
    """Start, end, filter and path may be templates."""
    source = dag_file(
        "templates",
        tmp_path / "{{ params.name }}.jsonl",
        arguments='start="{{ params.since }}", end="{{ params.until }}", '
        'filter={"operator": "exact", "field": "performer_type", "value": "{{ params.kind }}"}, '
        f'params={{"name": "n", "since": "{START:%Y-%m-%d}", "until": "{END.isoformat()}", "kind": "USER"}}',
    )
    ran = airflow.run_dag(source)
    assert ran.state == "success", ran.log
    assert ran.xcoms["fetch"]["count"] == (tmp_path / "n.jsonl").read_bytes().count(b"\n") > 0


def test_one_info_line_has_the_result(airflow, sandbox, tmp_path):
    """A finished task logs count, window, path, pages and requests in one line."""
    source = dag_file("info", tmp_path / "logs.jsonl", arguments=f'start="{START}", end="{END}"')
    log = airflow.run_dag(source).log
    line, *again = {line.partition("Wrote")[2] for line in log.splitlines() if "Wrote" in line}
    assert not again
    assert re.search(
        r" \d+ logs of \[2026-02-24T00:00:00Z, 2026-02-25T00:00:00Z\).*logs.jsonl.* \d+ pages, \d+ requests", line
    )


def test_a_window_is_exact_despite_errors(airflow, sandbox, workspace, tmp_path):
    """With throttling, failures, an ignored sort and a moving listing a run writes exactly the logs of its window."""
    sandbox.faults = Faults(
        order="ignored", error_rate=0.02, error_statuses=[500], script=[429, "cut", "html", "reset"]
    )
    source = dag_file("troubles", tmp_path / "logs.jsonl", arguments=f'start="{START}", end="{END}"')
    ran = airflow.run_dag(source)
    assert ran.state == "success", ran.log
    assert (tmp_path / "logs.jsonl").read_bytes() == expected(workspace)
    assert "the order of the listing is not reliable" in ran.log


def test_a_changing_workspace_is_written_exactly_once(secoda_sandbox_factory, tmp_path):
    """While logs arrive and the oldest expire with every other request, the file is exact."""
    workspace = Workspace.generate(seed=5, logs=4000, days=20, until=UNTIL)
    sandbox = secoda_sandbox_factory(workspace, page_size=20)
    sandbox.faults = Faults(arrivals_every=2, expire_every=2)
    wanted = expected(workspace)
    fetch(output_path=f"{tmp_path}/logs.jsonl")
    assert (tmp_path / "logs.jsonl").read_bytes() == wanted


# --- documentation ---------------------------------------------------------------------------------------------


def test_the_docstring_says_what_is_templated():
    """The docstring has "(templated)" exactly for the arguments in `template_fields`."""
    documented = re.findall(r":param (\w+):(.*?)(?=:param|\Z)", SecodaAuditLogsOperator.__doc__, re.DOTALL)
    assert {name for name, text in documented if "(templated)" in text} == set(SecodaAuditLogsOperator.template_fields)


def test_a_deferred_run_succeeds(airflow, sandbox, tmp_path):
    """A run that is deferred until its window has settled continues by itself and writes the file."""
    end = datetime.now(timezone.utc)
    source = dag_file(
        "deferred",
        tmp_path / "logs.jsonl",
        arguments=f'start="{end - DAY}", end="{end}", settle=timedelta(seconds=7)',
    )
    ran = airflow.run_dag(source)
    assert ran.state == "success", ran.log
    assert datetime.now(timezone.utc) >= end + timedelta(seconds=7)
    assert ran.xcoms["fetch"]["end"] == timestamps.write(end)
    assert "deferred" in ran.log
