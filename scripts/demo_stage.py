"""Where the demo happens: its folders, the workspace it reads, the Airflow it runs on.

Everything lies under ``.demo/``, so that removing that one folder removes the demo.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo"
DAG_ID = "secoda_audit_logs_daily"
CONN_ID = "secoda_default"

SANDBOX_START_SECONDS = 60


class DemoError(Exception):
    """Say what went wrong and name the file that holds the rest, if any."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log


def say(text: str) -> None:
    """Print one line of progress at once, also into a pipe."""
    print(f"demo: {text}", flush=True)


def real_workspace(environ: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the connection to the workspace that the environment names, or None without a key.

    :param environ: read for ``SECODA_API_KEY``, ``SECODA_REGION`` and ``SECODA_HOST``.
    """
    key = environ.get("SECODA_API_KEY")
    if not key:
        return None
    connection: dict[str, Any] = {"conn_type": "secoda", "password": key}
    if host := environ.get("SECODA_HOST"):
        connection["host"] = host
    if region := environ.get("SECODA_REGION"):
        connection["extra"] = {"region": region}
    return connection


def output_of(folder: Path) -> Path:
    """Return where the DAGs write to: what comes from a real workspace never lies among what the sandbox made up."""
    return folder / ("output-of-yours" if os.environ.get("SECODA_API_KEY") else "output")


def start_sandbox(folder: Path, *, own_session: bool) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """Start the sandbox on a free loopback port; return its process and the connection to it.

    It is a new workspace: what landed in ``folder/output`` of another one is removed, for the operator would rather
    fail than replace it.

    :param folder: takes ``sandbox.log`` and ``sandbox.json``.
    :param own_session: True lets it outlive this process and its terminal.
    :raises DemoError: when it ends early or is not up after a minute.
    """
    ready, log = folder / "sandbox.json", folder / "sandbox.log"
    ready.unlink(missing_ok=True)
    shutil.rmtree(folder / "output", ignore_errors=True)
    # Its history ends with the last full hour, so that two demos within one hour land the same bytes.
    until = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0).isoformat()
    command = [sys.executable, "-m", "airflow_provider_secoda.sandbox", "--port", "0", "--until", until]
    command += ["--logs", "50000", "--days", "60", "--ready-file", str(ready)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=own_session,
        )
    deadline = time.monotonic() + SANDBOX_START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise DemoError("the sandbox did not start", log)
        time.sleep(0.05)
    return process, json.loads(json.loads(ready.read_text())["connection"])


def airflow_environment(home: Path, output: Path) -> dict[str, str]:
    """Return the environment variables of the demo's Airflow: its own home, SQLite, our example DAGs.

    :param home: becomes ``AIRFLOW_HOME``; absolute, as Airflow asks.
    :param output: the folder that the example DAGs write to.
    """
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "SECODA_OUTPUT": str(output),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


def shown(path: Path) -> str:
    """Return the path as one would type it from here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def show_end_of(log: Path, secret: str | None, out: TextIO) -> None:
    """Print the last lines of a log file, without the key, should it have got there."""
    text = log.read_text(errors="replace") if log.exists() else ""
    for line in text.splitlines()[-40:]:
        print(line.replace(secret, "***") if secret else line, file=out)
