"""Fetch a month, or a window that you enter when you trigger the DAG, with one task for each day.

Each day is a task that retries separately and writes its own file. An Airflow pool, which all DAGs can share, limits
how many tasks read Secoda at the same time. Create it first: ``airflow pools set secoda 2 "tasks that read Secoda"``.
"""

import os
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, get_current_context, task

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

# A local folder, or a URL such as s3://my_conn@my-bucket/secoda
OUTPUT = os.environ.get("SECODA_OUTPUT", "/tmp/secoda")  # noqa: S108 - an example


@task
def split() -> list[dict[str, str]]:
    """Return the days of the run's window, or of the window that was entered when the run was triggered."""
    from airflow_provider_secoda.windows import resolve_window, split_window  # noqa: PLC0415 - DAG files are parsed often

    context: Any = get_current_context()
    given = context["params"]
    window = resolve_window(context, start=given["start"], end=given["end"])
    return split_window(window.start, window.end, every=timedelta(days=1))


with DAG(
    dag_id="secoda_audit_logs_mapped",
    schedule="@monthly",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params={
        "start": Param(None, type=["null", "string"], format="date-time", description="default: the previous month"),
        "end": Param(None, type=["null", "string"], format="date-time", description="exclusive"),
    },
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["secoda"],
    doc_md=__doc__,
):
    SecodaAuditLogsOperator.partial(
        task_id="fetch_audit_logs",
        output_path=OUTPUT + "/audit_logs_mapped/{start:%Y-%m-%d}.jsonl.gz",
        pool="secoda",
        map_index_template="{{ task.start }}",
    ).expand_kwargs(split())
