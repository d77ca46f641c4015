"""Fetch all complete days that are not written yet, whenever another DAG updates an asset, or by hand.

Such a run has no window of its own. The days are counted from ``FIRST_DAY`` on, and the files that exist say which are
missing: no day is lost while the DAG does not run, and none is read twice. A run without missing days skips the task.
"""

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator, missing_windows

# A local folder, or a URL such as s3://my_conn@my-bucket/secoda
OUTPUT = os.environ.get("SECODA_OUTPUT", "/tmp/secoda")  # noqa: S108 - an example
PATH = OUTPUT + "/audit_logs_on_asset/{start:%Y-%m-%d}.jsonl"
FIRST_DAY = "2026-11-01"

warehouse = Asset("file:///warehouse_updated")


@task
def missing() -> list[dict[str, str]]:
    """Return the days whose file is missing."""
    return missing_windows(PATH, start=FIRST_DAY, every=timedelta(days=1))


with DAG(
    dag_id="secoda_audit_logs_on_asset",
    schedule=[warehouse],
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["secoda"],
    doc_md=__doc__,
):
    SecodaAuditLogsOperator.partial(
        task_id="fetch_audit_logs",
        output_path=PATH,
        map_index_template="{{ task.start }}",
    ).expand_kwargs(missing())
