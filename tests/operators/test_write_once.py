"""Storage that refuses to delete, or to delete and to overwrite: files are replaced, or supplements are added."""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_secoda._storage.staged import Staged
from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda._storage.write import write_atomically
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator, missing_windows
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.verify import verify
from tests.helpers import s3_server, timestamps

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
START, END = UNTIL - 5 * DAY, UNTIL - 4 * DAY


@pytest.fixture(scope="module")
def bucket():
    """Return a bucket, and set the Airflow connection that its URL contains."""
    with pytest.MonkeyPatch.context() as patch:
        yield s3_server.connected(patch).bucket("write-once")


@pytest.fixture
def workspace():
    return Workspace.generate(seed=3, logs=100, days=20, until=UNTIL)


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


# --- files are replaced ----------------------------------------------------------------------------------------------


def test_a_changed_window_is_replaced_without_permission_to_delete(sandbox, bucket):
    """A role that may put and get but not delete replaces the file of a window that has a late log."""
    url = f"{bucket.url}/put-and-get/logs.jsonl"
    first = fetch(url)
    sandbox.workspace.add_log(logged_at=START + DAY / 2)
    with s3_server.serve().refusing(s3_server.no_delete):
        second = fetch(url)
    assert second["count"] == first["count"] + 1
    manifest = json.loads(bucket.read("put-and-get/_manifests/_logs.jsonl.manifest"))
    assert manifest["file"]["sha256"] == second["sha256"]
    assert second["sha256"] == hashlib.sha256(bucket.read("put-and-get/logs.jsonl")).hexdigest()
    assert verify([f"{bucket.url}/put-and-get"]).exit_code == 0


def test_a_task_that_was_killed_without_permission_to_delete(sandbox, bucket, monkeypatch):
    """Killed between file and manifest, the manifest is empty: no manifest of another file, and a window to write."""
    template = f"{bucket.url}/killed/{{start:%Y-%m-%d}}.jsonl"
    fetch(template)
    sandbox.workspace.add_log(logged_at=START + DAY / 2)
    with s3_server.serve().refusing(s3_server.no_delete):
        with monkeypatch.context() as patch:
            patch.setattr(Staged, "_put_manifest", lambda *_: sys.exit("killed"))
            with pytest.raises(SystemExit):
                fetch(template)
        assert bucket.read("killed/_manifests/_2026-02-24.jsonl.manifest") == b""
        assert [finding.kind for finding in verify([f"{bucket.url}/killed"]).files[0].findings.listed] == [
            "manifest_invalid"
        ]
        assert len(missing_windows(template, START, END)) == 1
        fetch(template)
        assert missing_windows(template, START, END) == []
    assert verify([f"{bucket.url}/killed"], against_source=True).exit_code == 0


def test_storage_that_is_write_once_refuses_to_replace(sandbox, bucket):
    """If a file may not be replaced, the error names supplements, and file and manifest stay as they were."""
    url = f"{bucket.url}/refused/logs.jsonl"
    fetch(url)
    before = {key: bucket.read(key) for key in bucket.keys("refused/")}
    sandbox.workspace.add_log(logged_at=START + DAY / 2)
    with (
        s3_server.serve().refusing(s3_server.write_once),
        pytest.raises(PermissionError, match=r'AccessDenied.*on_change="supplement"'),
    ):
        fetch(url)
    assert {key: bucket.read(key) for key in bucket.keys("refused/")} == before


# --- late logs are added ---------------------------------------------------------------------------------------------


def test_thirty_days_of_write_once_storage(secoda_sandbox_factory, bucket):
    """For 30 days, operator and verify use a bucket that refuses to delete and to overwrite, while logs arrive late."""
    days, folder = 30, f"{bucket.url}/thirty"
    first = UNTIL - days * DAY
    known = Workspace.generate(seed=8, logs=days * 5, days=days, until=UNTIL)
    sandbox = secoda_sandbox_factory(Workspace())
    # The logs of every second day arrive up to two days late.
    waiting = {raw: number % 3 * (_day(raw) % 2) * DAY for number, raw in enumerate(known.raw_logs)}
    with s3_server.serve().refusing(s3_server.write_once) as requests:
        for day in range(days + 2):
            today = first + day * DAY
            for raw in [raw for raw, delay in waiting.items() if _moment(raw) + delay < today + DAY]:
                sandbox.workspace.add_log(raw=raw)
                del waiting[raw]
            read_again = [today - 2 * DAY] if (today - 2 * DAY - EPOCH).days % 2 else []
            for start in {today, *read_again}:
                if first <= start < UNTIL:
                    fetch(f"{folder}/{{start:%Y-%m-%d}}.jsonl", start=start, end=start + DAY, on_change="supplement")
        result = verify([folder], start=first, end=UNTIL, against_source=True)
    assert waiting == {}
    assert ([file.findings.listed for file in result.files if file.findings.listed], result.errors) == ([], [])
    assert (result.exit_code, result.records) == (0, days * 5)
    assert (result.series[0].windows, len(result.files)) == (
        30,
        30 + sum(file.supplement == 1 for file in result.files),
    )
    assert len(result.files) > 40
    assert {method for method, _ in requests} == {"GET", "HEAD", "PUT"}
    written = [path for method, path in requests if method == "PUT"]
    assert sorted(written) == sorted(f"/write-once/{key}" for key in bucket.keys("thirty/"))


def _day(raw):
    return (_moment(raw) - EPOCH).days


def _moment(raw):
    return timestamps.read(json.loads(raw)["logged_at"])


# --- checksums -------------------------------------------------------------------------------------------------------

#: A setting of the connection, and what the server refuses.
CHECKSUMS = {
    "S3 with Object Lock": ("when_supported", s3_server.checksum_required),
    "S3 with Object Lock, without default checksums": ("when_required", s3_server.checksum_required),
    "another store": ("when_required", s3_server.no_unknown_checksums),
}


@pytest.mark.parametrize("size", [1 << 10, 20 << 20])
@pytest.mark.parametrize("store", CHECKSUMS)
def test_checksums_that_a_store_requires_or_refuses(bucket, monkeypatch, store, size):
    """Each object and each part has the checksum that Object Lock requires, and none that an older store refuses."""
    setting, refuses = CHECKSUMS[store]
    server = s3_server.serve()
    connection = json.loads(server.connection())
    connection["extra"]["config_kwargs"] = {"request_checksum_calculation": setting}
    # One for each store: Airflow keeps the client of a connection.
    conn_id = f"{setting}_{refuses.__name__}"
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    name = f"{conn_id}-{size}.jsonl"
    url = f"s3://{conn_id}@write-once/checksums/{name}"
    record = b"x" * size
    with server.refusing(refuses) as requests:
        write_atomically([record], url, manifest=lambda _: [b"{}"], check=lambda: False)
        assert resolve_target(url).version() is not None
    assert bucket.read(f"checksums/{name}") == record + b"\n"
    puts = [path for method, path in requests if method == "PUT"]
    assert len(puts) == (2 if size < 1 << 20 else 4)  # parts of 8 MiB


def test_a_bucket_with_object_lock(sandbox, monkeypatch):
    """A bucket with Object Lock and a retention period takes the window and its supplement."""
    server = s3_server.connected(monkeypatch)
    connection = json.loads(server.connection())
    connection["extra"]["config_kwargs"] = {"request_checksum_calculation": "when_required"}
    monkeypatch.setenv("AIRFLOW_CONN_S3_LOCKED", json.dumps(connection))
    client = server.client("s3")
    client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    client.put_object_lock_configuration(
        Bucket="locked", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    url = "s3://s3_locked@locked/logs.jsonl"
    fetch(url, on_change="supplement")
    sandbox.workspace.add_log(id="late", logged_at=START + DAY / 2)
    assert fetch(url, on_change="supplement")["late_logs"] == 1
    versions = client.list_object_versions(Bucket="locked")["Versions"]
    assert sorted(version["Key"] for version in versions) == [
        "_manifests/_logs.jsonl.manifest",
        "_manifests/_logs.late-1.jsonl.manifest",
        "logs.jsonl",
        "logs.late-1.jsonl",
    ]
    assert verify(["s3://s3_locked@locked"], against_source=True).exit_code == 0


@pytest.mark.parametrize("allowed", ["s3:PutObject", "s3:PutObject and s3:GetObject"])
def test_supplements_need_permission_to_read_and_to_list(sandbox, bucket, allowed):
    """Without permission to list, nobody knows whether a file is missing: the task fails, and writes nothing."""

    def refuses(environ):
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            exists = environ["PATH_INFO"].removeprefix("/write-once/") in bucket_keys
            return None if exists and "Get" in allowed else ("403 Forbidden", "AccessDenied")
        return None

    bucket_keys = set(bucket.keys())
    with (
        s3_server.serve().refusing(refuses),
        pytest.raises(
            AirflowFailException, match=r"Cannot read `output_path`.*needs permission to read objects and to l"
        ),
    ):
        fetch(f"{bucket.url}/unreadable/logs.jsonl", on_change="supplement")
    assert bucket.keys("unreadable/") == []
