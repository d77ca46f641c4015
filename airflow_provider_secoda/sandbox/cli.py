"""The command line: ``python -m airflow_provider_secoda.sandbox``."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_secoda.sandbox.faults import Faults
from airflow_provider_secoda.sandbox.timestamps import moment_of, nanoseconds
from airflow_provider_secoda.sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_provider_secoda.sandbox.server import Sandbox


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
        description="Serve an invented workspace in the shape of Secoda's API, on loopback only.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="a loopback address (default %(default)s)")
    add("--port", type=int, default=8000, help="0 takes a free one (default %(default)s)")
    add("--logs", type=int, default=5000, help="number of logs (default %(default)s)")
    add("--days", type=float, default=90, help="days they reach back (default %(default)s)")
    add("--seed", type=int, default=7, help="another seed, another workspace (default %(default)s)")
    add("--people", type=int, default=12, help="persons who act (default %(default)s)")
    add(
        "--until",
        type=_moment,
        help="all logs lie before this ISO date or time, UTC unless it says (default: now)",
    )
    add("--page-size", type=int, default=100, help="logs a page (default %(default)s)")
    add("--api-key", help="the key to accept (default: a fixed, harmless one)")
    add("--member-key", help="a second key, whose owner is no admin")
    add("--latency", type=float, help="seconds that each answer takes")
    add("--cap", type=int, help="show at most so many logs over all pages")
    add(
        "--faults",
        type=json.loads,
        default={},
        help="other switches, as the JSON that PUT /sandbox/faults takes",
    )
    add(
        "--ready-file",
        type=Path,
        help="write URL, key and connection there as JSON once requests are answered",
    )
    return parser


def _moment(text: str) -> datetime:
    day_only = "T" not in text and " " not in text
    return moment_of(nanoseconds(f"{text}T00:00:00" if day_only else text) / 1000)


def _sandbox(options: argparse.Namespace) -> Sandbox:
    from airflow_provider_secoda.sandbox.server import API_KEY, Sandbox  # noqa: PLC0415 - may be missing

    faults = Faults.of(options.faults)
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
    # Only now, for a large one takes a while, and what is wrong with the options should show at once.
    sandbox.workspace = Workspace.generate(options.seed, options.logs, options.days, options.until, options.people)
    return sandbox


def _announce(sandbox: Sandbox, ready_file: Path | None) -> None:
    lines = (
        f"Secoda sandbox at {sandbox.url} with {len(sandbox.workspace):,} invented logs",
        f"API key: {sandbox.api_key}",
        f"export AIRFLOW_CONN_SECODA_DEFAULT={shlex.quote(sandbox.connection_json)}",
        "Ctrl-C stops it.",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    if ready_file is not None:
        ready = {"url": sandbox.url, "api_key": sandbox.api_key, "connection": sandbox.connection_json}
        # Under its name only when whole: somebody is waiting to read it.
        partial = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
        partial.write_text(json.dumps(ready) + "\n")
        partial.replace(ready_file)
