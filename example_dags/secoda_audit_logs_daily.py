"""Write yesterday's audit logs to a file, every day.

The timetable gives each run a data interval, which is the window: midnight to midnight, UTC. If a run is cleared,
retried or backfilled, it writes the same file again.
"""

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

# A local folder, or a URL such as s3://my_conn@my-bucket/secoda
OUTPUT = os.environ.get("SECODA_OUTPUT", "/tmp/secoda")  # noqa: S108 - an example

with DAG(
    dag_id="secoda_audit_logs_daily",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["secoda"],
    doc_md=__doc__,
):
    SecodaAuditLogsOperator(
        task_id="fetch_audit_logs",
        output_path=OUTPUT + "/audit_logs/{start:%Y-%m-%d}.jsonl",
    )
