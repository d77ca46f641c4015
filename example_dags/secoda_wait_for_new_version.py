"""Wait until a resource in Secoda is edited, then print who changed what.

Every Monday at 06:00 the task starts to wait, in the triggerer, for at most a day. An edit between 06:00 and the start
of the task counts too. If there is no edit, the task is skipped, not failed.
"""

import os
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

RESOURCE_ID = os.environ.get("SECODA_RESOURCE_ID", "the-id-in-the-resource's-url")


@task
def print_changes(entries: list[dict[str, Any]]) -> list[str]:
    """Print who changed what, and return it."""
    lines = []
    for entry in entries:
        who = ", ".join(performer["name"] or performer["id"] or performer["type"] for performer in entry["performers"])
        what = ", ".join(entry["changed_properties"]) or "no documented property"
        lines.append(f"{entry['created_at']}: {who} changed {what} (version {entry['id']})")
    print(*lines, sep="\n")
    return lines


with DAG(
    dag_id="secoda_wait_for_new_version",
    schedule="0 6 * * MON",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["secoda"],
    doc_md=__doc__,
):
    edited = SecodaVersionHistorySensor(
        task_id="wait_for_an_edit",
        resource_id=RESOURCE_ID,
        deferrable=True,
        poke_interval=timedelta(minutes=1),
        timeout=timedelta(days=1),
        soft_fail=True,
    )
    print_changes(edited.output)
