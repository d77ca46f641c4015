"""The manifest of a file that the operator wrote, and the check before a file is replaced."""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_secoda import __version__
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.verify import verify
from tests.helpers import timestamps

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
START, END = UNTIL - 5 * DAY, UNTIL - 4 * DAY


@pytest.fixture
def workspace():
    return Workspace.generate(seed=3, logs=1000, days=20, until=UNTIL)


@pytest.fixture
def sandbox(secoda_sandbox_factory, workspace):
    return secoda_sandbox_factory(workspace)


def fetch(path, **arguments):
    """Execute the operator by hand; return its summary."""
    operator = SecodaAuditLogsOperator(
        task_id="fetch", **{"start": START, "end": END, "output_path": str(path)} | arguments
    )
    with DAG("d", schedule=None, start_date=UNTIL) as dag:
        dag.add_task(operator)
    return operator.execute({"dag": dag})


def manifest_path_of(path):
    return path.parent / "_manifests" / f"_{path.name}.manifest"


def manifest_of(path):
    return json.loads(manifest_path_of(path).read_text())


def contents(folder):
    """Return the contents of all files in a directory, at any depth."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


DAG_FILE = """
from datetime import datetime, timezone
from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

with DAG(
    "evidence", schedule=CronDataIntervalTimetable("@daily", timezone="UTC"), catchup=False,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
):
    SecodaAuditLogsOperator(task_id="fetch", output_path={path!r}, filter={filter!r})
"""


@pytest.fixture
def airflow():
    from tests.helpers import airflow_runs

    return airflow_runs


def test_the_contents_of_a_manifest(airflow, sandbox, workspace, tmp_path):
    """The manifest of a run contains window, source, listing, reading, run, versions and a digest of each record."""
    import airflow as installed

    path = tmp_path / "logs.jsonl"
    filter_ = {"operator": "exact", "field": "performer_type", "value": "USER"}
    ran = airflow.run_dag(DAG_FILE.format(path=str(path), filter=filter_), logical_date=END)
    assert ran.state == "success", ran.log
    summary, body = ran.xcoms["fetch"], path.read_bytes()
    manifest = manifest_of(path)
    digests = [[json.loads(line)["id"], hashlib.sha256(line).hexdigest()] for line in body.splitlines()]
    assert manifest.pop("records") == digests
    assert len(digests) == summary["count"] > 10
    assert manifest.pop("file") == {
        "name": "logs.jsonl",
        "format": "jsonl",
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "count": len(digests),
        "untyped_values": None,
    }
    assert manifest.pop("query") == {
        "start": "2026-02-24T00:00:00Z",
        "end": "2026-02-25T00:00:00Z",
        "timestamp_field": "logged_at",
        "filter": filter_,
        "window_rule": "data_interval",
    }
    assert manifest.pop("source") == {"connection_id": "secoda_default", "base_url": sandbox.url}
    listing, read = manifest.pop("listing"), manifest.pop("read")
    users = [log for log in workspace.logs if log["performer_type"] == "USER"]
    assert (read["order"], read["turns"], read["rereads"]) == ("oldest_first", [], 0)
    assert json.loads(listing["sort"])["field"] == "logged_at"
    assert listing["count"] == len(users)
    assert listing["oldest_timestamp"] < timestamps.write(START) < timestamps.write(END) <= listing["newest_timestamp"]
    assert listing["oldest_timestamp"] == summary["history_from"]
    for name in (
        *("pages", "requests", "duplicates_dropped"),
        *("first_timestamp", "last_timestamp", "max_lag_seconds"),
    ):
        assert read[name] == summary[name], name
    assert (read["retries"], read["throttled"], read["warnings"]) == (0, 0, [])
    assert read["settle_seconds"] == 60
    started, finished = (timestamps.read(read[name]) for name in ("started_at", "finished_at"))
    assert datetime.now(timezone.utc) - timedelta(minutes=5) < started <= finished <= datetime.now(timezone.utc)
    run = manifest.pop("run")
    assert run["run_id"]
    assert timestamps.read(run.pop("logical_date"))
    assert run | {"run_id": ""} == {
        "dag_id": "evidence",
        "task_id": "fetch",
        "run_id": "",
        "map_index": -1,
        "try_number": 1,
    }
    assert manifest == {
        "manifest_version": 1,
        "versions": {
            "airflow_provider_secoda": __version__,
            "airflow": installed.__version__,
            "python": ".".join(map(str, sys.version_info[:3])),
        },
    }
    assert summary["manifest"] == f"{tmp_path}/_manifests/_logs.jsonl.manifest"
    assert (
        summary["manifest_sha256"]
        == hashlib.sha256((tmp_path / "_manifests" / "_logs.jsonl.manifest").read_bytes()).hexdigest()
    )
    assert summary["manifest_sha256"] in ran.log


def test_the_page_ranges_cover_the_window(sandbox, tmp_path):
    """The page ranges that were read reach over both edges of the window, without a gap."""
    path = tmp_path / "logs.jsonl"
    fetch(path, start=START - 10 * DAY)
    ranges = manifest_of(path)["read"]["page_ranges"]
    assert ranges[0]["newest_timestamp"] >= timestamps.write(END)
    assert ranges[-1]["oldest_timestamp"] < timestamps.write(START - 10 * DAY)
    assert all(
        one["oldest_timestamp"] <= other["newest_timestamp"] for one, other in zip(ranges[1:], ranges, strict=False)
    )
    assert all(pages["first_page"] <= pages["last_page"] and pages["sort"] == "desc" for pages in ranges)
    assert all(pages["listing_count"] == 1000 for pages in ranges)


def test_the_manifest_of_an_unordered_listing(sandbox, tmp_path):
    """If all pages were read, the manifest contains that, and the reason."""
    sandbox.faults.order = "ignored"
    path = tmp_path / "logs.jsonl"
    fetch(path)
    manifest = manifest_of(path)
    assert manifest["read"]["order"] == "everything"
    assert (manifest["listing"]["sort"], manifest["read"]["page_ranges"][0]["sort"]) == (None, None)
    assert "the order of the listing is not reliable" in manifest["read"]["warnings"][0]
    assert manifest["read"]["page_ranges"][0]["first_page"] == 1


def test_an_empty_window_has_a_manifest(sandbox, tmp_path):
    """A window without logs has a manifest with no records."""
    path = tmp_path / "logs.jsonl"
    fetch(path, start=UNTIL + DAY, end=UNTIL + 2 * DAY)
    manifest = manifest_of(path)
    assert (manifest["file"]["count"], manifest["records"], manifest["read"]["first_timestamp"]) == (0, [], None)


def test_values_that_a_column_cannot_contain(sandbox, workspace, tmp_path, caplog, capsys):
    """They cost their own column only; summary, manifest and log count them, and verify agrees."""
    at = "2026-02-24 12:00:00.5 +00"
    times = f'"logged_at": "{at}", "created_at": "{at}", "updated_at": "{at}"'
    odd = [f'{{"id": "odd-{number}", {times}, {value}}}' for number, value in enumerate((
        '"performer_id": "half \\ud83d", "activity_type": "update"',
        '"new": "half \\ud83d", "activity_type": "update"',
        '"is_legacy": "no", "related_resource_ids": ["r", 7, "\\udd86"], "activity_type": "update"',
    ))]  # fmt: skip
    for raw in odd:
        workspace.add_log(raw=raw)
    path = tmp_path / "logs.parquet"
    summary = fetch(path)
    counts = {
        "is_legacy": {"wrong_type": 1},
        "performer_id": {"half_surrogate_pair": 1},
        "related_resource_ids[]": {"half_surrogate_pair": 1, "wrong_type": 1},
    }
    assert summary["untyped_values"] == manifest_of(path)["file"]["untyped_values"] == counts
    logged = caplog.text + capsys.readouterr().out  # one on Airflow 2, the other on Airflow 3
    assert [field for field in counts if f"typed column of {field} cannot" in logged] == list(counts)
    rows = {row["id"]: row for row in pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()}
    assert len(rows) == summary["count"]
    moment = datetime(2026, 2, 24, 12, 0, 0, 500_000, tzinfo=timezone.utc)
    for number, raw in enumerate(odd):
        row = rows[f"odd-{number}"]
        assert (row["raw"], row["activity_type"]) == (raw, "update")
        assert row["logged_at"] == row["created_at"] == row["updated_at"] == moment
    assert rows["odd-2"]["related_resource_ids"] == ["r", None, "\ufffd"]
    assert verify([str(path)]).exit_code == 0


def test_without_a_manifest(sandbox, tmp_path):
    """``write_manifest=False`` writes no manifest, and deletes that of the replaced file."""
    path = tmp_path / "logs.jsonl"
    fetch(path)
    sandbox.workspace.add_log(logged_at=START + DAY / 2)
    summary = fetch(path, write_manifest=False)
    assert (summary["manifest"], summary["manifest_sha256"]) == (None, None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["logs.jsonl"]


# --- replacing -------------------------------------------------------------------------------------------------


def expire(workspace, how_many):
    """Let the oldest logs expire, including a number of logs of the window."""
    moments = sorted(timestamps.read(log["logged_at"]) for log in workspace.logs)
    workspace.expire(sum(moment < START for moment in moments) + how_many)


def test_a_late_log_replaces_the_file(sandbox, tmp_path):
    """A re-run that finds more replaces file and manifest."""
    path = tmp_path / "logs.jsonl"
    before = fetch(path)
    sandbox.workspace.add_log(logged_at=START + DAY / 2)
    after = fetch(path)
    assert after["count"] == before["count"] + 1 == len(manifest_of(path)["records"])


@pytest.mark.parametrize("write_manifest", [True, False])
def test_a_file_is_not_replaced_by_less(sandbox, workspace, tmp_path, write_manifest):
    """A task that is cleared after logs have expired fails, and does not change file and manifest."""
    path = tmp_path / "logs.jsonl"
    fetch(path)
    before = contents(tmp_path)
    expire(workspace, 3)
    with pytest.raises(
        AirflowFailException, match=r"Refusing to replace .+: it contains 3 logs of http\S+, such as '.+'"
    ):
        fetch(path, write_manifest=write_manifest)
    assert contents(tmp_path) == before


def test_the_file_of_another_workspace_is_not_replaced(secoda_sandbox_factory, tmp_path, monkeypatch):
    """A connection to another workspace does not overwrite the file of the first one."""
    path = tmp_path / "logs.jsonl"
    one, other = (
        secoda_sandbox_factory(Workspace.generate(seed=seed, logs=1000, days=20, until=UNTIL)) for seed in (3, 4)
    )
    before = fetch(path)["sha256"]
    assert (bool(one.requests), bool(other.requests)) == (True, False)
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", other.connection_json)
    with pytest.raises(AirflowFailException, match=f"records host .{one.url}. .this task: .{other.url}"):
        fetch(path)
    assert not other.requests
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_fewer_logs_can_be_written_to_another_path_or_after_a_move(sandbox, workspace, tmp_path):
    """The options that the error lists work."""
    path = tmp_path / "logs.jsonl"
    fetch(path)
    expire(workspace, 3)
    left = fetch(tmp_path / "other.jsonl")["count"]
    path.rename(tmp_path / "old-logs.jsonl")
    manifest_path_of(path).rename(tmp_path / "old-logs.jsonl.manifest")
    assert fetch(path)["count"] == left


def test_an_empty_manifest_counts_as_none(sandbox, workspace, tmp_path):
    """Without permission to delete, an old manifest is emptied: the logs of the file decide whether it is replaced."""
    path = tmp_path / "logs.jsonl"
    count = fetch(path)["count"]
    manifest_path_of(path).write_bytes(b"")
    (finding,) = verify([str(path)]).files[0].findings.listed
    assert (finding.kind, "Clear the task" in finding.text) == ("manifest_invalid", True)
    assert fetch(path)["count"] == count
    assert manifest_of(path)["file"]["count"] == count
    manifest_path_of(path).write_bytes(b"")
    expire(workspace, 3)
    with pytest.raises(AirflowFailException, match="contains 3 logs, such as"):
        fetch(path)


@pytest.mark.parametrize("broken", [b"{}", b'{"manifest_version": 1,\n  "records": [\n  ]\n}\n', b"\xff"])
def test_a_broken_manifest_is_not_replaced(sandbox, tmp_path, broken):
    """A manifest that cannot be read may list logs that have expired: it is not replaced."""
    path = tmp_path / "logs.jsonl"
    fetch(path)
    note = manifest_path_of(path)
    note.write_bytes(broken)
    with pytest.raises(AirflowFailException, match="Cannot read manifest"):
        fetch(path)
    assert note.read_bytes() == broken


@pytest.mark.parametrize(
    "path", ["/{folder}/../../etc/logs.jsonl", "/{folder}/{{start:%d/..}}/logs.jsonl", "/{folder}/a\0b.jsonl"]
)
def test_a_path_that_leads_upwards_fails_before_any_request(sandbox, tmp_path, path):
    """A templated part of the path cannot lead out of the directory."""
    with pytest.raises((AirflowFailException, ValueError), match="output_path"):
        fetch(path.format(folder=tmp_path))
    assert sandbox.requests == []
