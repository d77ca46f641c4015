"""Keep Airflow's web UI running beside the sandbox, with the example DAGs and the connection in it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any

from demo_processes import Running
from demo_stage import (
    CONN_ID,
    DEMO,
    ROOT,
    DemoError,
    airflow_environment,
    output_of,
    real_workspace,
    say,
    shown,
    start_sandbox,
)

from airflow_provider_secoda.client._api.base_url import origin_of, resolve_base_url
from airflow_provider_secoda.client.errors import SecodaConfigurationError

FOLDER = DEMO / "ui"
LOG = FOLDER / "airflow.log"
START_SECONDS = 180
#: What the examples wait for, which is in the sandbox.
RESOURCE_ID = os.environ.get("SECODA_RESOURCE_ID", "revenue-metric")


def start() -> None:
    """Start the sandbox and ``airflow standalone``, wait until all is healthy, and leave it running.

    :raises DemoError: when it runs already or does not get healthy.
    """
    running = Running(FOLDER / "running.json")
    if running.processes():
        raise DemoError("the web UI runs already; stop it with: sh scripts/demo --stop")
    FOLDER.mkdir(parents=True, exist_ok=True)
    connection = real_workspace(os.environ)
    try:
        if connection is None:
            say("starting the sandbox, a Secoda-shaped server on this machine …")
            sandbox, connection = start_sandbox(FOLDER, own_session=True)
            running.add(sandbox.pid)
            month_ago = datetime.now(timezone.utc) - timedelta(days=30)
            add_version(connection, latest_activity_logged_at=month_ago.isoformat())
        connection["port"] = port_of(connection)
        say("starting Airflow; this takes half a minute …")
        url = f"http://127.0.0.1:{free_port(8080)}"
        airflow = start_airflow(connection, url)
        running.add(airflow.pid)
        wait_until_healthy(airflow, url)
    except BaseException:
        running.stop()
        raise
    say(f"Airflow's web UI: {url}  (no password; this machine only)")
    say(f"  connection {CONN_ID}: {connection.get('host') or 'your workspace'}")
    say(f"  the DAGs write to {shown(output_of(FOLDER))}; Airflow's log is {shown(LOG)}")
    if connection.get("host") and not os.environ.get("SECODA_API_KEY"):
        body = json.dumps({"resource_id": RESOURCE_ID})
        say("  edit a resource, and the DAG secoda_on_new_version runs within a minute:")
        say(f"    curl -d '{body}' {connection['host']}/sandbox/versions")
    say("  stop it with: sh scripts/demo --stop")


def add_version(connection: dict[str, Any], **fields: str) -> None:
    """Add a version of the demo's resource to the sandbox, so that there is something to wait for."""
    body = json.dumps({"resource_id": RESOURCE_ID, **fields}).encode()
    with urllib.request.urlopen(f"{connection['host']}/sandbox/versions", body):
        pass


def stop() -> None:
    """End the web UI's processes, all of them and no others."""
    ended = Running(FOLDER / "running.json").stop()
    say(f"stopped ({ended} processes)" if ended else "nothing of it runs")


def start_airflow(connection: dict[str, Any], url: str) -> subprocess.Popen[bytes]:
    """Store the connection, then start every part of Airflow in a session of its own.

    :raises DemoError: when the database cannot be made.
    """
    # The key is in the database from here on: no process of Airflow needs it in its environment.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SECODA_")}
    environment |= airflow_environment(FOLDER, output_of(FOLDER)) | web_environment(url)
    with LOG.open("wb") as out:
        store = [sys.executable, str(ROOT / "scripts" / "demo_connection.py"), CONN_ID]
        stored = subprocess.run(
            store,
            env=environment,
            input=json.dumps(connection).encode(),
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if stored.returncode:
            raise DemoError("Airflow's database could not be made", LOG)
        return subprocess.Popen(
            [sys.executable, "-m", "airflow", "standalone"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def port_of(connection: dict[str, Any]) -> int | None:
    """Return the port that the connection leads to.

    Airflow 3.3.1 and 3.3.2 answer "Bad Request" when one tests a stored connection that names none
    (apache/airflow#73298).

    :raises DemoError: when the connection leads nowhere.
    """
    try:
        base_url = resolve_base_url(host=connection.get("host"), region=connection.get("extra", {}).get("region"))
    except SecodaConfigurationError as wrong:
        raise DemoError(f"SECODA_HOST or SECODA_REGION: {wrong}") from wrong
    return origin_of(base_url)[2]


def web_environment(url: str) -> dict[str, str]:
    """Return what the web UI needs besides: loopback, no password, DAGs that run at once."""
    return {
        "SECODA_RESOURCE_ID": RESOURCE_ID,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": url.rpartition(":")[2],
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        # The first tasks start at once, the server that they report to may take a while on a small machine.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "40",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "5",
        # Another Airflow on this machine may hold the usual ports of these two.
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port(8793)),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port(8794)),
    }


def free_port(wanted: int) -> int:
    """Return the port if nobody listens there, else any free one."""
    for port in (wanted, 0):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))  # held for an instant, listens to nothing
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise DemoError("no free port")


def wait_until_healthy(airflow: subprocess.Popen[bytes], url: str) -> None:
    """Return once every part of Airflow says that it is healthy.

    :raises DemoError: when Airflow ends, or after three minutes.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and airflow.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/api/v2/monitor/health", timeout=5) as answer:
                parts = json.load(answer)
        except OSError:
            parts = {"api-server": {"status": "starting"}}
        if all(part["status"] == "healthy" for part in parts.values()):
            return
        time.sleep(0.5)
    raise DemoError("Airflow did not get healthy", LOG)
