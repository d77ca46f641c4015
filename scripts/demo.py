"""Run the example DAG once and print what it wrote; or start and stop Airflow's web UI with the example DAGs.

All files are in ``.demo/``: delete that folder to remove the demo. The sandbox is new in each run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

# Relative to the root of the project, which is the working directory.
RUN, UI = Path(".demo", "run"), Path(".demo", "ui")
LOG = "airflow.log"
PROCESSES = UI / "processes.json"
DAG_ID, CONN_ID = "secoda_audit_logs_daily", "secoda_default"
API_KEY = os.environ.get("SECODA_API_KEY")
#: The resource that the example DAGs watch. In the sandbox, the demo creates it.
RESOURCE_ID = os.environ.get("SECODA_RESOURCE_ID", "revenue-metric")
SANDBOX_SECONDS, UI_SECONDS, STOP_SECONDS = 60, 180, 20


class DemoError(Exception):
    """A step of the demo failed; the file ``log`` contains its output."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log


def run_once() -> None:
    """Run the DAG once, print its output and verify it."""
    connection, sandbox = start_workspace(RUN)
    try:
        say(f"running the DAG {DAG_ID} for yesterday …")
        run_airflow(RUN, "db", "migrate")
        # In the environment, because other users can read a command line.
        connection_variable = {f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(connection)}
        run_airflow(RUN, "dags", "test", DAG_ID, **connection_variable)
    finally:
        if sandbox:
            sandbox.terminate()
            sandbox.wait()
    report(output_of(RUN), "sandbox, invented data" if sandbox else "yours, by SECODA_API_KEY")
    command = ["-m", "airflow_provider_secoda.verify", str(output_of(RUN))]
    print("\n$ .venv/bin/python", *command, flush=True)
    if subprocess.run([sys.executable, *command], check=False).returncode:
        raise DemoError("the verification failed")
    print("\nTo see the DAGs in Airflow's web UI: sh scripts/demo --ui")


def start_ui() -> None:
    """Start the sandbox and ``airflow standalone``, and leave both running when Airflow is healthy."""
    if running():
        raise DemoError("the web UI is running; stop it with: sh scripts/demo --stop")
    url = f"http://127.0.0.1:{free_port(8080)}"
    try:
        connection, sandbox = start_workspace(UI)
        if sandbox:
            remember(sandbox.pid)
            month_ago = datetime.now(timezone.utc) - timedelta(days=30)
            version = json.dumps({"resource_id": RESOURCE_ID, "latest_activity_logged_at": month_ago.isoformat()})
            urllib.request.urlopen(f"{connection['host']}/sandbox/versions", version.encode()).close()
        say("starting Airflow; this takes about half a minute …")
        store_connection(connection)
        with (UI / LOG).open("ab") as log:
            command = [sys.executable, "-m", "airflow", "standalone"]
            env = environment(UI) | web_settings(url)
            airflow = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        remember(airflow.pid)
        wait_until_healthy(airflow, url)
    except BaseException:
        stop_ui()
        raise
    say(f"Airflow's web UI: {url} (no password, this machine only)")
    say(f"  connection {CONN_ID}: {connection.get('host', 'your workspace')}")
    say(f"  output of the DAGs: {output_of(UI)}; log of Airflow: {UI / LOG}")
    if sandbox:
        say("  to run the DAG secoda_on_new_version, add a version of its resource:")
        say(f"    curl -d '{json.dumps({'resource_id': RESOURCE_ID})}' {connection['host']}/sandbox/versions")
    say("  stop it with: sh scripts/demo --stop")


def stop_ui() -> None:
    """Stop the processes of the web UI."""
    processes = running()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=STOP_SECONDS)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    PROCESSES.unlink(missing_ok=True)
    say(f"stopped {len(processes)} processes" if processes else "not running")


def remember(pid: int) -> None:
    """Store a process for ``--stop``, with its start time, because process ids are reused."""
    stored = json.loads(PROCESSES.read_text()) if PROCESSES.exists() else []
    PROCESSES.write_text(json.dumps([*stored, [pid, psutil.Process(pid).create_time()]]))


def running() -> list[psutil.Process]:
    """Return the stored processes that are running, and their descendants."""
    found = []
    for pid, started in json.loads(PROCESSES.read_text()) if PROCESSES.exists() else []:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.create_time() == started and process.status() != psutil.STATUS_ZOMBIE:
                found += [process, *process.children(recursive=True)]
    return found


def start_workspace(folder: Path) -> tuple[dict[str, Any], subprocess.Popen[bytes] | None]:
    """Return the connection to the workspace of ``SECODA_API_KEY``, or start a sandbox and return both."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOG).unlink(missing_ok=True)
    if API_KEY:
        host, region = os.environ.get("SECODA_HOST"), os.environ.get("SECODA_REGION")
        extra = {"extra": json.dumps({"region": region})} if region else {}
        return {"conn_type": "secoda", "password": API_KEY, **({"host": host} if host else {}), **extra}, None
    say("starting the sandbox, a test server on this machine …")
    # A new sandbox is another workspace: the operator does not replace files of one workspace by those of another.
    shutil.rmtree(output_of(folder), ignore_errors=True)
    ready, log = folder / "sandbox.json", folder / "sandbox.log"
    ready.unlink(missing_ok=True)
    until = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0).isoformat()
    options = ["--port=0", "--logs=50000", "--days=60", f"--until={until}", f"--ready-file={ready}"]
    with log.open("wb") as out:
        sandbox = subprocess.Popen(
            [sys.executable, "-m", "airflow_provider_secoda.sandbox", *options],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=folder == UI,
        )
    deadline = time.monotonic() + SANDBOX_SECONDS
    while not ready.exists():
        if sandbox.poll() is not None or time.monotonic() > deadline:
            sandbox.kill()
            raise DemoError("the sandbox did not start", log)
        time.sleep(0.05)
    connection = json.loads(json.loads(ready.read_text())["connection"])
    # What the web UI links to in place of the resource's page in Secoda.
    link = f"{connection['host']}/sandbox/versions?resource_id={{resource_id}}"
    return {**connection, "extra": json.dumps({"resource_url": link})}, sandbox


def store_connection(connection: dict[str, Any]) -> None:
    """Store the connection in Airflow's database, where the web UI shows it, and the pool of the example DAGs."""
    # With a port: Airflow 3.3.1 and 3.3.2 cannot test a stored connection without one (apache/airflow#73298).
    host = connection.get("host", "")
    parts = urlsplit(host if "//" in host else f"https://{host}")
    connection["port"] = parts.port or (80 if parts.scheme == "http" else 443)
    run_airflow(UI, "db", "migrate")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:  # other users cannot read it
        json.dump({CONN_ID: {**connection, "description": "created by scripts/demo"}}, file)
        file.flush()
        run_airflow(UI, "connections", "import", "--overwrite", file.name)
    run_airflow(UI, "pools", "set", "secoda", "2", "tasks that read Secoda")


def run_airflow(folder: Path, *arguments: str, **variables: str) -> None:
    """Run a command of Airflow's CLI; raise DemoError if it fails."""
    with (folder / LOG).open("ab") as log:
        command = [sys.executable, "-m", "airflow", *arguments]
        env = environment(folder) | variables
        if subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode:
            raise DemoError(f"airflow {' '.join(arguments)} failed", folder / LOG)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of Airflow: its home in ``folder``, the example DAGs, and no API key."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "SECODA_"))}
    return inherited | {
        "AIRFLOW_HOME": str(folder.absolute()),
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path("example_dags").absolute()),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "SECODA_OUTPUT": str(output_of(folder).absolute()),
        "SECODA_RESOURCE_ID": RESOURCE_ID,
        # airflow standalone starts "airflow", which is next to this Python.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


def web_settings(url: str) -> dict[str, str]:
    """Return the settings of the web UI: loopback only, no password, DAGs not paused."""
    return {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": url.rpartition(":")[2],
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        # The first tasks start at once; on a small machine the API server may need longer.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "40",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "5",
        # Another Airflow on this machine may use the default ports.
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port(8793)),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port(8794)),
    }


def free_port(preferred: int) -> int:
    """Return the preferred port if it is free, else any free port."""
    for port in (preferred, 0):
        with suppress(OSError), socket.create_server(("", port)) as server:
            return int(server.getsockname()[1])
    raise DemoError("no free port")


def wait_until_healthy(airflow: subprocess.Popen[bytes], url: str) -> None:
    """Return when all components of Airflow are healthy; raise DemoError if Airflow ends before, or after 3 minutes."""
    deadline = time.monotonic() + UI_SECONDS
    while time.monotonic() < deadline and airflow.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"{url}/api/v2/monitor/health", timeout=5) as response:
            if all(component["status"] == "healthy" for component in json.load(response).values()):
                return
        time.sleep(0.5)
    raise DemoError("Airflow is not healthy", UI / LOG)


def report(output: Path, workspace: str) -> None:
    """Print what the manifest of the newest file contains, and the first logs of the file."""
    manifest_file = max(output.rglob("*.manifest"), key=lambda file: file.stat().st_mtime)
    manifest = json.loads(manifest_file.read_text())
    query, file, read = manifest["query"], manifest["file"], manifest["read"]
    path = manifest_file.parent.with_name(file["name"])
    rows = {
        "workspace": workspace,
        "window": f"{query['start']} to {query['end']} (excluded), by {query['timestamp_field']}",
        "file": f"{path} ({file['count']:,} logs, {file['bytes']:,} bytes)",
        "sha256": file["sha256"],
        "manifest": str(manifest_file),
        "requests": f"{read['requests']} for {read['pages']} pages",
    }
    print("\n" + "\n".join(f"  {name:<10} {value}" for name, value in rows.items()) + "\n")
    with path.open() as lines:
        for _, line in zip(range(8), lines, strict=False):
            log = json.loads(line)
            sentence = "".join(block["value"] for block in log["event_blocks"]) or log["activity_type"]
            print(f"  {log[query['timestamp_field']][11:19]}  {sentence}")


def output_of(folder: Path) -> Path:
    """Return the output folder of the DAGs: one for the sandbox, another one for a real workspace."""
    return folder / ("output-of-workspace" if API_KEY else "output")


def say(text: str) -> None:
    """Print a line of progress without buffering."""
    print(f"demo: {text}", flush=True)


def main(arguments: list[str]) -> int:
    """Run the demo; return the exit status."""
    actions = {(): run_once, ("--ui",): start_ui, ("--stop",): stop_ui}
    action = actions.get(tuple(arguments))
    if action is None:
        print("usage: sh scripts/demo [--ui | --stop]", file=sys.stderr)
        return 2
    os.chdir(Path(__file__).resolve().parent.parent)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that the sandbox is stopped, too
    try:
        action()
    except DemoError as error:
        if error.log and error.log.exists():
            end = "\n".join(error.log.read_text(errors="replace").splitlines()[-40:])
            print(end.replace(API_KEY, "***") if API_KEY else end, file=sys.stderr)
        say(f"{error}{f' (log: {error.log})' if error.log else ''}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
