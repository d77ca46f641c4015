"""Load each day's file with DuckDB and print a table of who did what.

Suitable for backfills: the runs are independent and each writes its own file. To limit how many read Secoda at the
same time, create a pool (``airflow pools set secoda 2 "requests to Secoda"``) and add ``pool="secoda"`` to the task.
Needs ``pip install duckdb``.
"""

import os
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

OUTPUT = os.environ.get("SECODA_OUTPUT", "/tmp/secoda")  # noqa: S108 - an example


@task
def who_did_what(fetched: dict[str, Any]) -> list[list[Any]]:
    """Count the day's logs by performer and activity, and print the table."""
    import duckdb  # noqa: PLC0415 - DAG files are parsed often

    if fetched["count"] == 0:
        print(f"Nothing happened from {fetched['start']} to {fetched['end']}.")
        return []
    table = duckdb.sql(
        "select coalesce(performer_metadata->>'$.name', performer_id, performer_type) as who, "
        "activity_type as what, count(*) as times "
        "from read_ndjson($path, columns={performer_metadata: 'JSON', performer_id: 'VARCHAR', "
        "performer_type: 'VARCHAR', activity_type: 'VARCHAR'}) group by all order by times desc, who, what",
        params={"path": fetched["path"]},
    )
    print(f"{fetched['count']} logs from {fetched['start']} to {fetched['end']}:")
    print(table)
    return [list(row) for row in table.fetchall()]


with DAG(
    dag_id="secoda_audit_logs_report",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=4,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["secoda"],
    doc_md=__doc__,
):
    fetched = SecodaAuditLogsOperator(
        task_id="fetch_audit_logs",
        output_path=OUTPUT + "/audit_logs_report/{start:%Y-%m-%d}.jsonl",
    )
    who_did_what(fetched.output)
