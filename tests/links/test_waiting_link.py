"""The button of a sensor that waits is right, also where XComs are kept in object storage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda.links.secoda import SecodaResourceLink
from airflow_provider_secoda.sandbox import Workspace

DAG = """
from datetime import datetime, timezone
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

with DAG("waiting_link", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    SecodaVersionHistorySensor(task_id="wait", resource_id="R", poke_interval=0.5, timeout=1.5, soft_fail=True)
"""
URL = "https://secoda.example.com/metric/R"


def test_the_button_of_a_waiting_sensor(airflow, secoda_sandbox_factory, tmp_path):
    """While the sensor waits and after it ended, its button leads to the resource, not to a file of the backend."""
    workspace = Workspace()
    workspace.add_version("R", latest_activity_logged_at=datetime(2026, 1, 1, tzinfo=timezone.utc))
    connection = json.loads(secoda_sandbox_factory(workspace).connection_json)
    connection["extra"] = {"resource_url": URL[:-1] + "{resource_id}"}
    environment = os.environ | {"AIRFLOW_CONN_SECODA_DEFAULT": json.dumps(connection)}
    environment |= {
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{tmp_path}",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "0",
    }
    airflow.load(DAG)
    file = max(airflow.DAGS.glob("*.py"), key=os.path.getmtime)
    command = [sys.executable, "-m", "tests.links.waiting_link", str(file)]
    root = Path(__file__).parents[2]
    ran = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    while_waiting, ended = json.loads(ran.stdout.splitlines()[-1])
    assert while_waiting == [URL]
    assert ended == URL


@pytest.mark.parametrize(("stored", "url"), [(None, ""), ("", ""), (URL, URL), ("file:///xcoms/waiting/1", "")])
def test_a_stored_value_that_is_not_a_web_page_is_no_link(monkeypatch, stored, url):
    """On Airflow 2 a web server without the workers' XCom backend shows no button instead of a wrong one."""
    monkeypatch.setattr("airflow_provider_secoda.links.secoda.XCom.get_value", lambda **_: stored)
    assert SecodaResourceLink().get_link(object(), ti_key=None) == url
