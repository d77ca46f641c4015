"""Run the example DAG once in real Airflow and print what landed; or see to Airflow's web UI."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import demo_ui
from demo_report import report
from demo_stage import (
    CONN_ID,
    DAG_ID,
    DEMO,
    ROOT,
    DemoError,
    airflow_environment,
    output_of,
    real_workspace,
    say,
    show_end_of,
    shown,
    start_sandbox,
)

if TYPE_CHECKING:
    from pathlib import Path

USAGE = "usage: sh scripts/demo [--ui | --stop]"


def run_once() -> None:
    """Land the logs of the last full day with the example DAG; print the summary and the first logs.

    :raises DemoError: when the sandbox or the DAG run fails.
    """
    begun = time.monotonic()
    DEMO.mkdir(exist_ok=True)
    connection, sandbox = real_workspace(os.environ), None
    source = "yours, by SECODA_API_KEY"
    if connection is None:
        say("starting the sandbox, a Secoda-shaped server on this machine …")
        sandbox, connection = start_sandbox(DEMO, own_session=False)
        source = f"the sandbox at {connection['host']}"
    try:
        say(f"running the DAG {DAG_ID} for yesterday in Airflow …")
        summary = run_dag(connection)
    finally:
        if sandbox:
            sandbox.terminate()
            sandbox.wait()
    say(f"done in {time.monotonic() - begun:.0f} s\n")
    print(report(summary, source=source))
    check(output_of(DEMO))
    print("\nThe same in Airflow's web UI: sh scripts/demo --ui")


def check(output: Path) -> None:
    """Check what landed as an auditor would, and print what that says.

    :raises DemoError: when something is not as it should be.
    """
    command = ["-m", "airflow_provider_secoda.verify", shown(output)]
    print("\n$", ".venv/bin/python", *command, flush=True)
    if subprocess.run([sys.executable, *command], check=False).returncode:
        raise DemoError("the files are not as they should be")


def run_dag(connection: dict[str, Any]) -> dict[str, Any]:
    """Run the DAG in a process of its own and return its operator's summary.

    :param connection: handed over in the environment: a command line is there for everybody to read.
    :raises DemoError: when the run fails.
    """
    log, summary = DEMO / "airflow.log", DEMO / "summary.json"
    summary.unlink(missing_ok=True)
    environment = os.environ | airflow_environment(DEMO / "airflow", output_of(DEMO))
    environment[f"AIRFLOW_CONN_{CONN_ID.upper()}"] = json.dumps(connection)
    with log.open("wb") as out:
        subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "demo_dag.py"), DAG_ID, str(summary)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if not summary.exists():
        raise DemoError(f"the run of {DAG_ID} failed", log)
    found: dict[str, Any] = json.loads(summary.read_text())
    return found


def main(arguments: list[str]) -> int:
    """Do what the command line asks; return the exit code."""
    doors = {"": run_once, "--ui": demo_ui.start, "--stop": demo_ui.stop}
    door = doors.get(" ".join(arguments))
    if door is None:
        print(USAGE, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the sandbox ends with us
    try:
        door()
    except DemoError as failed:
        if failed.log:
            show_end_of(failed.log, os.environ.get("SECODA_API_KEY"), sys.stderr)
        say(f"{failed}{f' (all of it: {shown(failed.log)})' if failed.log else ''}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
