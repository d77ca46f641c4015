r"""Fetch many days concurrently, with a limit on the number of concurrent requests.

A pool limits all workers together: a task holds a slot while it reads, and has at most ``concurrency`` requests in
flight. With 4 slots there are at most 4 x 4 = 16. Create the pool once:

    airflow pools set secoda 4 "tasks that read Secoda at the same time"

Then start the backfill (Airflow 2: ``airflow dags backfill``), and check that the days cover the quarter without gaps:

    airflow backfill create --dag-id secoda_audit_logs_backfill \
        --from-date 2026-01-01 --to-date 2026-03-31 --max-active-runs 8
    python -m airflow_provider_secoda.verify /tmp/secoda/audit_logs_backfill --start 2026-01-01 --end 2026-04-01

A task that waits in the triggerer for its window to settle sends no request and holds no slot, unless the pool was
created with ``--include-deferred``.
"""

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

OUTPUT = os.environ.get("SECODA_OUTPUT", "/tmp/secoda")  # noqa: S108 - an example

with DAG(
    dag_id="secoda_audit_logs_backfill",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["secoda"],
    doc_md=__doc__,
):
    SecodaAuditLogsOperator(
        task_id="fetch_audit_logs",
        output_path=OUTPUT + "/audit_logs_backfill/{start:%Y-%m-%d}.jsonl",
        concurrency=4,
        pool="secoda",
    )
