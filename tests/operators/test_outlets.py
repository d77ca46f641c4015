"""What the operator adds to the events of its outlets, in real runs of every kind."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.helpers import airflow_runs, run_makers

pytest.importorskip("airflow")
pytest.importorskip("starlette", reason="the sandbox needs it")

from airflow_provider_secoda import _persisted
from airflow_provider_secoda.sandbox import Workspace

V3 = airflow_runs.version() >= (3,)
V33 = airflow_runs.version() >= (3, 3)
DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 20, tzinfo=timezone.utc)
HEAD = """
from datetime import datetime, timedelta, timezone
from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias, BaseOperator
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

logs = Asset("file:///{name}")
"""
DAG = """
with DAG("{name}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    SecodaAuditLogsOperator(task_id="fetch", start="2026-11-20", end="2026-11-21", outlets=[{outlets}], **{how})
"""
PARTITIONED = """
from airflow.sdk import CronPartitionTimetable

with DAG(
    "{name}",
    schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC", run_offset=-1),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
):
    SecodaAuditLogsOperator(task_id="fetch", outlets=[logs])
"""


@pytest.fixture
def workspace(secoda_sandbox_factory):
    """Serve a workspace of three days."""
    found = Workspace.generate(seed=3, logs=90, days=3, until=MIDNIGHT + DAY)
    secoda_sandbox_factory(found)
    return found


def events(name):
    """Return (extra, partition key) of each event of an asset, from the metadata database."""
    from airflow.utils.session import create_session

    if V3:
        from airflow.models.asset import AssetEvent as Event
        from airflow.models.asset import AssetModel as Model
    else:
        from airflow.models.dataset import DatasetEvent as Event
        from airflow.models.dataset import DatasetModel as Model
    with create_session() as session:
        key = session.query(Model.id).filter_by(uri=f"file:///{name}").one()[0]
        found = session.query(Event).filter_by(**{"asset_id" if V3 else "dataset_id": key}).all()
        return [(event.extra, getattr(event, "partition_key", None)) for event in found]


def run(airflow, name, outlets="logs", **how):
    return airflow.run_dag(HEAD.format(name=name) + DAG.format(name=name, outlets=outlets, how=how))


def test_a_file(airflow, workspace, tmp_path):
    """The event of a file contains everything that the task returned: file, window, counts, checksums."""
    ran = run(airflow, "told_file", output_path=str(tmp_path / "{start:%d}.jsonl"))
    ((extra, _),) = events("told_file")
    assert ran.state == "success", ran.log
    assert extra == ran.xcoms["fetch"]
    assert extra["count"] == len(workspace.window(MIDNIGHT, MIDNIGHT + DAY)) > 0


def test_a_list(airflow, workspace):
    """Without a file the event contains window and counts, and no logs."""
    ran = run(airflow, "told_list")
    ((extra, _),) = events("told_list")
    logs = ran.xcoms["fetch"]
    assert (extra["count"], extra["first_timestamp"][:19], extra["last_timestamp"][:19]) == (
        len(logs), logs[0]["logged_at"][:19], logs[-1]["logged_at"][:19],
    )  # fmt: skip
    assert (extra["start"], extra["end"]) == ("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
    assert tuple(sorted(extra)) == _persisted.SUMMARY_OF_RETURNED_LOGS.names
    assert extra["changed_logs"] == 0


def test_other_outlets(airflow, workspace):
    """An alias, and outlets of other tools, are ignored without an error."""
    ran = run(airflow, "told_others", 'AssetAlias("some"), {"a": "thing"}, logs')
    assert ran.state == "success", ran.log
    assert len(events("told_others")) == 1


def test_a_skipped_task_has_no_event(airflow, workspace):
    """A task that is skipped because its window has no logs creates no event."""
    none = {"operator": "exact", "field": "performer_id", "value": "nobody"}
    ran = run(airflow, "told_nothing", skip_if_empty=True, filter=none)
    assert ran.tasks == {"fetch": "skipped"}
    assert events("told_nothing") == []


@pytest.mark.skipif(not V33, reason="runs are partitioned since Airflow 3.3")
def test_a_partition(airflow, workspace):
    """The event of a partitioned run has its partition key, also in ``extra``."""
    dag = airflow.load(HEAD.format(name="told_partition") + PARTITIONED.format(name="told_partition"))["told_partition"]
    run_id = run_makers.post("told_partition", logical_date=None, partition_key="2026-11-20T00:00:00")
    ran = airflow.execute(dag, run_id)
    assert ran.state == "success", ran.log
    ((extra, key),) = events("told_partition")
    assert (extra["partition_key"], key) == ("2026-11-20T00:00:00",) * 2
    assert (extra["start"], extra["window_rule"]) == ("2026-11-20T00:00:00Z", "partition")
