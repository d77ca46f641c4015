"""Run the sandbox from a shell: ``python -m airflow_provider_secoda.sandbox``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import signal
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_secoda.sandbox._faults import Faults
from airflow_provider_secoda.sandbox._server.control_api import CONTROL
from airflow_provider_secoda.sandbox._workspace.timestamps import datetime_of, parse_nanoseconds
from airflow_provider_secoda.sandbox._workspace.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_provider_secoda.sandbox._sandbox import Sandbox


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; return the exit status."""
    options = _parser().parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with _sandbox(options) as sandbox:
            _announce(sandbox, options.ready_file)
            stop.wait()
    except (ImportError, OSError, ValueError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 2
    finally:
        if options.ready_file is not None:
            options.ready_file.unlink(missing_ok=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_secoda.sandbox",
        description="Serve an invented workspace through Secoda's API, on loopback only.",
        epilog="\n".join(("control API, without a key:", *_control_lines(), "", *_fault_lines())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    add("--port", type=int, default=8000, help="0 selects a free port (default: %(default)s)")
    add("--logs", type=int, default=5000, help="number of logs (default: %(default)s)")
    add("--days", type=float, default=90, help="days of history (default: %(default)s)")
    add("--seed", type=int, default=7, help="seed of the invented data (default: %(default)s)")
    add("--people", type=int, default=12, help="number of users (default: %(default)s)")
    add("--until", type=_datetime, help="ISO date or time after the last log, UTC by default (default: now)")
    add("--page-size", type=int, default=100, help="logs per page (default: %(default)s)")
    add("--api-key", help="API key to accept (default: a fixed key)")
    add("--member-key", help="second API key, of a user who is not an admin")
    add("--latency", type=float, help="seconds before each response")
    add("--cap", type=int, help="maximum number of logs over all pages")
    add("--faults", type=json.loads, default={}, help="other faults, as the JSON object of PUT /sandbox/faults")
    add(
        "--ready-file",
        type=Path,
        help="file for URL, API key and connection as JSON, written when the server is ready",
    )
    return parser


def _control_lines() -> list[str]:
    return [f"  {request:<27} {does}" for request, does in CONTROL.items()]


def _fault_lines() -> list[str]:
    """Return the faults that ``PUT /sandbox/faults`` and ``--faults`` take."""
    names = ", ".join(field.name for field in dataclasses.fields(Faults))
    return textwrap.wrap(f"faults: {names}", 100, subsequent_indent="  ")


def _datetime(text: str) -> datetime:
    day_only = "T" not in text and " " not in text
    return datetime_of(parse_nanoseconds(f"{text}T00:00:00" if day_only else text) / 1000)


def _sandbox(options: argparse.Namespace) -> Sandbox:
    # Imported here: the extra may not be installed.
    from airflow_provider_secoda.sandbox._sandbox import API_KEY, Sandbox  # noqa: PLC0415

    faults = Faults.from_json(options.faults)
    if options.latency is not None:
        faults.latency = options.latency
    if options.cap is not None:
        faults.cap = options.cap
    sandbox = Sandbox(
        Workspace(),
        api_key=options.api_key or API_KEY,
        member_key=options.member_key,
        host=options.host,
        port=options.port,
        page_size=options.page_size,
        faults=faults,
    )
    # After the constructor, which reports wrong options: generating many logs takes a while.
    sandbox.workspace = Workspace.generate(options.seed, options.logs, options.days, options.until, options.people)
    return sandbox


def _announce(sandbox: Sandbox, ready_file: Path | None) -> None:
    lines = (
        f"Secoda sandbox at {sandbox.url} with {len(sandbox.workspace):,} invented logs",
        f"API key: {sandbox.api_key}",
        f"export AIRFLOW_CONN_SECODA_DEFAULT={shlex.quote(sandbox.connection_json)}",
        "Control API, without a key:",
        *_control_lines(),
        f"Example: curl -X PUT -d '{{\"latency\": 1}}' {sandbox.url}/sandbox/faults",
        "Press Ctrl-C to stop.",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    if ready_file is not None:
        ready = {"url": sandbox.url, "api_key": sandbox.api_key, "connection": sandbox.connection_json}
        # Renamed when complete: another process may be waiting for the file.
        partial = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
        partial.write_text(json.dumps(ready) + "\n")
        partial.replace(ready_file)


if __name__ == "__main__":
    sys.exit(main())
