"""Let Airflow store what the provider gives it, in real runs; read it back from the database.

Run as a program, it does so in an Airflow of its own on another database:
``python -m tests.helpers.stored_values postgresql+psycopg2://user:password@host/name < connection.json``.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from tests.helpers import airflow_runs

DAG_FILE = """
from datetime import datetime, timezone
from airflow.providers.common.compat.sdk import DAG, Asset
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

waits = {"resource_id": "R", "since": "2026-01-01", "poke_interval": 0.2, "timeout": 20}
with DAG("stored_values", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    fetch = SecodaAuditLogsOperator(
        task_id="fetch", start="2026-03-01", end="2026-03-02", outlets=[Asset("file:///stored_values")]
    )
    poke = SecodaVersionHistorySensor(task_id="poke", **waits)
    deferred = SecodaVersionHistorySensor(task_id="deferred", deferrable=True, **waits | {"resource_id": "S"})
    fetch >> poke >> deferred
"""


def store(payloads: list[dict[str, Any]]) -> dict[str, Any]:
    """Run tasks, and store payloads of events as a triggerer does; return what the database has then.

    :param payloads: of asset events
    """
    ran = airflow_runs.run_dag(DAG_FILE)
    if ran.state != "success":
        raise AssertionError(ran.log)
    from airflow.utils.session import create_session

    try:
        from airflow.models.asset import AssetEvent as Event
        from airflow.models.asset import AssetModel as Model
    except ImportError:
        from airflow.models.dataset import DatasetEvent as Event
        from airflow.models.dataset import DatasetModel as Model
    column = "asset_id" if hasattr(Event, "asset_id") else "dataset_id"
    with create_session() as session:
        key = session.query(Model.id).filter_by(uri="file:///stored_values").one()[0]
        for payload in payloads:
            session.add(Event(**{column: key}, extra={"from_trigger": True, "payload": payload}))
    with create_session() as session:
        events = session.query(Event).filter_by(**{column: key}).order_by(Event.id)
        return {"xcoms": ran.xcoms, "extras": [event.extra for event in events]}


def main(url: str) -> None:
    """Store what standard input contains (``payloads`` and the ``connection``) on a database, and print the result."""
    given = json.load(sys.stdin)
    airflow_runs.isolate()
    os.environ |= {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, "AIRFLOW_CONN_SECODA_DEFAULT": given["connection"]}
    try:
        found = store(given["payloads"])
    finally:
        airflow_runs.remove()
    sys.stdout.write(f"\n{json.dumps(found)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
