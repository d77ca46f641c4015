"""Write yesterday's audit logs to a file, with the schedule ``@daily``.

Airflow 3 gives such a run an empty data interval. The operator then uses the last complete period of the schedule:
yesterday, midnight to midnight in the DAG's time zone, for scheduled, triggered, cleared and backfilled runs.
"""

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

OUTPUT = os.environ.get("SECODA_OUTPUT", "/tmp/secoda")  # noqa: S108 - an example

with DAG(
    dag_id="secoda_audit_logs_plain_daily",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["secoda"],
    doc_md=__doc__,
):
    SecodaAuditLogsOperator(
        task_id="fetch_audit_logs",
        output_path=OUTPUT + "/audit_logs_plain/{start:%Y-%m-%d}.jsonl.gz",
    )
