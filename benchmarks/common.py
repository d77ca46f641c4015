"""What the benchmarks share: a sandbox in a process of its own, facts about this machine, and tables."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: All logs are before it: a Thursday, so that the first, the middle and the last of 90 days are weekdays.
UNTIL = datetime(2026, 1, 1, tzinfo=timezone.utc)
SEED = 7
PAGE_SIZE = 100
_START_SECONDS = 600  # a million logs take a busy machine minutes
_SHOWN = ("apache-airflow", "apache-airflow-providers-http", "dlt", "requests", "httpx", "pyarrow", "msgspec")


@contextmanager
def sandbox(logs: int, days: float, latency: float, until: datetime = UNTIL) -> Iterator[dict[str, Any]]:
    """Run the sandbox as a process of its own; yield its ``url``, ``api_key`` and ``connection``.

    :param latency: seconds that each answer takes at least.
    :param until: all logs are before it.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        ready = Path(folder, "ready.json")
        command = [sys.executable, "-m", "airflow_provider_secoda.sandbox", "--port", "0"]
        command += ["--logs", str(logs), "--days", str(days), "--latency", str(latency), "--seed", str(SEED)]
        command += ["--page-size", str(PAGE_SIZE), "--until", until.isoformat(), "--ready-file", str(ready)]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not ready.exists():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the sandbox did not start")
                time.sleep(0.05)
            yield json.loads(ready.read_text())
        finally:
            server.terminate()
            server.wait()


def work(job: dict[str, Any], script: str = "reading_process.py") -> dict[str, Any]:
    """Run one job in a process of its own (see the script); return what it measured."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        task, result, log = (Path(folder, name) for name in ("job.json", "result.json", "log.txt"))
        task.write_text(json.dumps(job))
        environment = os.environ | {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW_CONN_SECODA_DEFAULT": job["sandbox"]["connection"],
            "AIRFLOW_CONN_BENCHMARK_HTTP": json.dumps({"conn_type": "http", "host": job["sandbox"]["url"]}),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }
        with log.open("wb") as out:
            done = subprocess.run(
                [sys.executable, str(Path(__file__).with_name(script)), str(task), str(result)],
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            raise SystemExit(f"{job['reader']} failed:\n{log.read_text()[-4000:]}")
        measured: dict[str, Any] = json.loads(result.read_text())
        return measured


def facts() -> str:
    """Return one line about what the numbers were measured on."""
    versions = [f"{name} {version}" for name in _SHOWN if (version := installed(name))]
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {', '.join(versions)}; sandbox and reader share the cores, "
        f"load average at the start {os.getloadavg()[0]:.1f}. "
        f"{datetime.now(timezone.utc):%Y-%m-%d}."
    )


def installed(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def table(head: list[str], rows: list[list[Any]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
