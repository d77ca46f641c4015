"""A file is replaced only by the file of the same query with all of its logs; another one needs ``overwrite``."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_secoda.operators._replacing import ReplaceCheck
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.verify import verify
from airflow_provider_secoda.windows import Window
from tests.helpers import timestamps

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
START, END = UNTIL - 5 * DAY, UNTIL - 4 * DAY
USERS = {"operator": "exact", "field": "performer_type", "value": "USER"}
OTHERS = {
    "window": {"start": START + DAY, "end": END + DAY},
    "longer window": {"end": END + DAY},
    "filter": {"filter": USERS},
    "timestamp field": {"timestamp_field": "created_at"},
    "connection": {"secoda_conn_id": "secoda_other"},
}


@pytest.fixture
def workspace():
    return Workspace.generate(seed=3, logs=400, days=20, until=UNTIL)


@pytest.fixture
def sandbox(secoda_sandbox_factory, workspace, monkeypatch):
    sandbox = secoda_sandbox_factory(workspace)
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_OTHER", sandbox.connection_json)
    return sandbox


def operator_for(path, **arguments):
    return SecodaAuditLogsOperator(
        task_id="fetch", **{"start": START, "end": END, "output_path": str(path)} | arguments
    )


def fetch(path, **arguments):
    """Execute the operator by hand; return its summary."""
    operator = operator_for(path, **arguments)
    with DAG("d", schedule=None, start_date=UNTIL) as dag:
        dag.add_task(operator)
    return operator.execute({"dag": dag})


def contents(folder):
    """Return the contents of all files in a directory, at any depth."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# --- with a manifest -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write_manifest", [True, False])
@pytest.mark.parametrize("other", OTHERS)
def test_a_file_of_another_query_is_not_replaced(sandbox, tmp_path, other, write_manifest):
    """A file of another query is not replaced: the task fails before it reads, and names both and the options."""
    fetch(tmp_path / "fixed.jsonl")
    before, requests = contents(tmp_path), len(sandbox.requests)
    with pytest.raises(AirflowFailException) as refused:
        fetch(tmp_path / "fixed.jsonl", **OTHERS[other], write_manifest=write_manifest)
    assert (contents(tmp_path), len(sandbox.requests)) == (before, requests)
    text = str(refused.value)
    differing = other.removeprefix("longer ")
    assert f"records {differing} " in text
    for value in {
        "window": ("2026-02-24T00:00:00Z, 2026-02-25T00:00:00Z", "2026-02-26T00:00:00Z", "Add {start:%Y-%m-%d} to"),
        "filter": ("null", json.dumps(USERS)),
        "timestamp field": ("logged_at", "created_at"),
        "connection": ("secoda_default", "secoda_other"),
    }[differing]:
        assert value in text
    assert f"{tmp_path}/fixed.jsonl" in text
    assert "overwrite=True" in text


def test_a_short_window_is_suggested_with_its_time(sandbox, tmp_path):
    """For windows that are shorter than a day, the error suggests a name with the time."""
    hour = timedelta(hours=1)
    fetch(tmp_path / "fixed.jsonl", end=START + hour)
    with pytest.raises(AirflowFailException, match=r"Add \{start:%Y-%m-%dT%H-%M\} to `output_path`"):
        fetch(tmp_path / "fixed.jsonl", start=START + hour, end=START + 2 * hour)


@pytest.mark.parametrize("other", OTHERS)
def test_overwrite_replaces_a_file_of_another_query(sandbox, tmp_path, other):
    """With ``overwrite`` the file of another query is replaced, together with its manifest."""
    fetch(tmp_path / "latest.jsonl")
    summary = fetch(tmp_path / "latest.jsonl", **OTHERS[other], overwrite=True)
    assert summary["sha256"] == hashlib.sha256((tmp_path / "latest.jsonl").read_bytes()).hexdigest()
    result = verify([str(tmp_path)])
    assert (result.exit_code, len(result.files), result.files[0].records) == (0, 1, summary["count"])


def expire(workspace, how_many):
    """Let the oldest logs expire, including a number of logs of the window."""
    moments = sorted(timestamps.read(log["logged_at"]) for log in workspace.logs)
    workspace.expire(sum(moment < START for moment in moments) + how_many)


def test_overwrite_does_not_replace_a_file_of_the_same_query_by_less(sandbox, workspace, tmp_path):
    """Also with ``overwrite`` a file of the same query is not replaced by one that lacks some of its logs."""
    fetch(tmp_path / "logs.jsonl")
    before = contents(tmp_path)
    expire(workspace, 3)
    with pytest.raises(AirflowFailException, match=r"contains 3 logs of http\S+, such as"):
        fetch(tmp_path / "logs.jsonl", overwrite=True)
    assert contents(tmp_path) == before


def test_another_workspace_at_the_same_host(sandbox, tmp_path):
    """The file of another workspace behind the same connection is not replaced, because its logs would be missing."""
    fetch(tmp_path / "logs.jsonl")
    before = contents(tmp_path)
    sandbox.workspace = Workspace.generate(seed=4, logs=400, days=20, until=UNTIL)
    with pytest.raises(AirflowFailException, match=r"does not return for \[2026-02-24T00:00:00Z"):
        fetch(tmp_path / "logs.jsonl")
    assert contents(tmp_path) == before


# --- without a manifest ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "parquet"])
def test_a_file_without_a_manifest_is_replaced_by_one_with_all_its_logs(sandbox, workspace, tmp_path, suffix):
    """A file without a manifest, as a killed task leaves it, is replaced if no log of it is missing, otherwise not."""
    path = tmp_path / f"logs.{suffix}"
    fetch(path, write_manifest=False)
    sandbox.workspace.add_log(logged_at=START + DAY / 2)
    count = fetch(path, write_manifest=False)["count"]
    before = contents(tmp_path)
    with pytest.raises(AirflowFailException, match=rf"contains {count} logs, such as '.+', that http\S+ does not"):
        fetch(path, start=START + DAY, end=END + DAY)
    expire(workspace, 3)
    with pytest.raises(AirflowFailException, match="contains 3 logs, such as"):
        fetch(path)
    assert contents(tmp_path) == before
    assert fetch(path, overwrite=True)["count"] == count - 3


@pytest.mark.parametrize(
    ("suffix", "held"),
    [
        ("jsonl", b"not JSON"),
        ("jsonl", b'{"id": 1}\n'),
        ("jsonl", b"[]\n"),
        ("jsonl", b"\xff\n"),
        pytest.param("jsonl", b"[" * 100_000, id="deep"),
        ("jsonl.gz", b'{"id": "a"}\n'),
        ("jsonl.gz", bytes.fromhex("1f8b0800000000000003")),
        ("parquet", b"PAR1"),
    ],
)
def test_a_file_that_is_not_one_of_logs_is_not_replaced(sandbox, tmp_path, suffix, held):
    """A file that somebody else has written is not replaced, except with ``overwrite``."""
    path = tmp_path / f"logs.{suffix}"
    path.write_bytes(held)
    with pytest.raises(AirflowFailException, match=r"has no manifest and is not a complete file .* overwrite=True"):
        fetch(path)
    assert path.read_bytes() == held
    assert fetch(path, overwrite=True)["count"] > 0


def test_unusual_records_of_a_file_without_a_manifest(sandbox, tmp_path):
    """Half surrogate pairs and integers of any length in a file without a manifest can be read."""
    raw = b'{"id":"half \\ud83d","logged_at":"2026-02-24T01:00:00Z","created_at":"2026-02-24T01:00:00Z","n":%s}'
    sandbox.workspace.add_log(raw=raw % (b"9" * 4000))
    first = fetch(tmp_path / "logs.jsonl", write_manifest=False)
    assert fetch(tmp_path / "logs.jsonl", write_manifest=False)["sha256"] == first["sha256"]


# --- at the same time ------------------------------------------------------------------------------------------------


def test_two_tasks_that_write_one_new_file_at_the_same_time(sandbox, tmp_path, monkeypatch):
    """Of two tasks that both found no file at their path, one writes it, and the other one fails."""
    both_checked = threading.Barrier(2, timeout=20)
    check, thread = ReplaceCheck.before_write, threading.local()

    def before_write(self, spool):
        exists = check(self, spool)
        if not hasattr(thread, "checked"):
            thread.checked = True
            both_checked.wait()
        return exists

    monkeypatch.setattr(ReplaceCheck, "before_write", before_write)
    window = Window(START, END, "start_end").as_dict()

    def resume(filter_):  # Airflow 2.11 lets only the main thread call `execute`
        return operator_for(tmp_path / "fixed.jsonl", filter=filter_).execute_settled({}, window=window)

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(resume, filter_) for filter_ in (None, USERS)]
        errors = [future.exception() for future in futures]
    (error,) = filter(None, errors)
    assert re.search(r"Refusing to replace .+fixed.jsonl|Another task is writing this file", str(error))
    (written,) = (future.result() for future in futures if future.exception() is None)
    result = verify([str(tmp_path)])
    assert (result.exit_code, [file.sha256 for file in result.files]) == (0, [written["sha256"]])


# --- in DAG runs -----------------------------------------------------------------------------------------------------

DAG_FILE = """
from datetime import datetime, timezone
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

with DAG("{name}", schedule="@daily", catchup=False, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    SecodaAuditLogsOperator{task}
"""


@pytest.fixture
def run(airflow, sandbox):
    """Return a function that runs a DAG with one task on a day, and returns what it did."""

    def run(name, task, day=END):
        return airflow.run_dag(DAG_FILE.format(name=name, task=task), logical_date=day)

    return run


def test_the_second_run_with_a_fixed_path_fails(run, tmp_path):
    """A fixed path under ``@daily`` fails in the second run, whose log shows the placeholder to add."""
    task = f"(task_id='fetch', output_path='{tmp_path}/fixed.jsonl')"
    assert run("fixed_path_1", task).state == "success"
    before = contents(tmp_path)
    ran = run("fixed_path_2", task, END + DAY)
    assert ran.state == "failed"
    assert "Add {start:%Y-%m-%d} to `output_path`" in ran.log
    assert contents(tmp_path) == before


MAPPED = """.partial(task_id="fetch", output_path="{path}").expand(filter=[
        {{"operator": "exact", "field": "performer_type", "value": kind}} for kind in ("USER", "API")
    ])"""


def test_mapped_tasks_with_one_path(run, tmp_path):
    """If the path does not vary with what is mapped, one task writes the file; the others fail and say what to add."""
    ran = run("mapped_to_one", MAPPED.format(path=f"{tmp_path}/{{start:%Y-%m-%d}}.jsonl"))
    assert sorted(ran.tasks["fetch"]) == ["failed", "success"], ran.log
    log = " ".join(ran.log.split())  # Airflow 3.0 breaks lines
    assert "Add what differs between the mapped tasks to `output_path`, such as {{ ti.map_index }}" in log


def test_mapped_tasks_with_a_path_each(run, tmp_path):
    """With the index in the path, as the error suggests, each mapped task writes a file."""
    ran = run("mapped_to_two", MAPPED.format(path=f"{tmp_path}/{{start:%Y-%m-%d}}-{{{{ ti.map_index }}}}.jsonl"))
    assert ran.state == "success", ran.log
    assert {file.name for file in tmp_path.glob("*.jsonl")} == {"2026-02-24-0.jsonl", "2026-02-24-1.jsonl"}
