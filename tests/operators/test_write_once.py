"""Storage that refuses to delete, or to delete and to overwrite: files are replaced, or supplements are added."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.verify import verify
from tests.helpers import s3_server

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
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
