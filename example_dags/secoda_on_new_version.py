"""Run a DAG for each new version of a resource, without a task that waits (Airflow 3).

The triggerer polls; all watchers of a connection share one request per interval (Airflow 3.3). After a crash an event
can be repeated, so the task uses each version id once.
"""

import os
from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryEventTrigger

RESOURCE_ID = os.environ.get("SECODA_RESOURCE_ID", "the-id-in-the-resource's-url")

revenue = Asset(
    "secoda_revenue_metric",
    watchers=[
        AssetWatcher(name="new_version", trigger=SecodaVersionHistoryEventTrigger(resource_id=RESOURCE_ID)),
    ],
)


@task
def print_changes(**context: Any) -> list[str]:
    """Print the new versions, and return their ids, each once."""
    versions = {}
    for event in context["triggering_asset_events"][revenue]:
        version = event.extra["payload"]
        versions[version["id"]] = version
    for version in versions.values():
        print(f"version {version['id']} of {version['resource_id']}: {version['changed_properties']}")
    return list(versions)


with DAG(
    dag_id="secoda_on_new_version",
    schedule=[revenue],
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["secoda"],
    doc_md=__doc__,
):
    print_changes()
