"""Fetch the logs of one performer type only, and skip days without such logs.

The filter uses Secoda's grammar. It is plain data: you can write it out, build it with the functions used here, or
render it from a template.
"""

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_secoda.client.filters import exact
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

OUTPUT = os.environ.get("SECODA_OUTPUT", "/tmp/secoda")  # noqa: S108 - an example

with DAG(
    dag_id="secoda_audit_logs_by_people",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["secoda"],
    doc_md=__doc__,
):
    SecodaAuditLogsOperator(
        task_id="fetch_audit_logs",
        filter=exact("performer_type", "USER"),
        output_path=OUTPUT + "/audit_logs_by_people/{start:%Y-%m-%d}.jsonl",
        skip_if_empty=True,
    )
