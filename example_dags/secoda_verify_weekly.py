"""Fetch the audit logs of every day, and verify the files of the last five weeks every week.

After each Saturday's logs, the second task reads the windows again from Secoda. It adds logs that appeared late in
files of their own, and fails for any other finding. Each report names the one before it.
"""

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator, SecodaVerifyOperator

FOLDER = os.environ.get("SECODA_OUTPUT", "/tmp/secoda") + "/verified"  # noqa: S108 - an example
SATURDAY = 6


@task.short_circuit
def is_saturday(data_interval_start: datetime | None = None) -> bool:
    """Return whether the run is about a Saturday."""
    return data_interval_start is not None and data_interval_start.isoweekday() == SATURDAY


with DAG(
    dag_id="secoda_verify_weekly",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["secoda"],
    doc_md=__doc__,
):
    fetch = SecodaAuditLogsOperator(
        task_id="fetch_audit_logs",
        output_path=FOLDER + "/audit_logs/{start:%Y-%m-%d}.jsonl",
        on_change="supplement",
    )
    verify = SecodaVerifyOperator(
        task_id="verify_audit_logs",
        path=FOLDER + "/audit_logs",
        last=35,
        against_source=True,
        on_finding="supplement",
        report_path=FOLDER + "/reports/{sequence}.html",
    )
    fetch >> is_saturday() >> verify
