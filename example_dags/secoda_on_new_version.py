"""Run whenever a resource in Secoda gets a new version, without a task that waits (Airflow 3).

The triggerer watches; all watchers of a connection share one request an interval (Airflow 3.3). An event may come twice
after a crash: the version's id tells.
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
def tell(**context: Any) -> list[str]:
    """Print what happened, and return the ids of the versions, each once."""
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
    tell()
