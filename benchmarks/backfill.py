"""A backfill of daily windows, by LocalExecutor and by CeleryExecutor with two workers, both on PostgreSQL.

``python benchmarks/backfill.py > benchmarks/backfill.md``: 90 days of a million logs; ``--quick`` for 6 days of 6,000.
Exit code 1, after the table, when an aim is missed.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import common
import databases
from backfill_report import CONCURRENCY, DAY, SLOTS, START, Day, Outcome, Scale, report
from fleet import CELERY, LOCAL, PARALLELISM, Fleet, fleet

if TYPE_CHECKING:
    from datetime import datetime

DAG_ID, TASK_ID, POOL = "secoda_audit_logs_backfill", "fetch_audit_logs", "secoda"
LATENCY = 0.05
#: What the example says, and what it becomes here: no wait of minutes, and no run of yesterday.
CHANGES = {
    "timedelta(minutes=5)": "timedelta(seconds=5)",
    "catchup=False": "catchup=False, end_date=datetime.fromisoformat({end!r})",
}
#: Exactly a million may be where a listing is truncated, so that the operator would read every page twice.
MILLION = 1_000_003
_RUN_SECONDS = 3600


def run(executor: str, scale: Scale, sandbox: dict[str, Any], lose: bool) -> Outcome:
    """Run the backfill on an executor, and check the results.

    :param lose: whether a Celery worker is killed when half of the runs have ended.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        output = Path(name, "output", "audit_logs_backfill")
        environment = {
            "AIRFLOW_CONN_SECODA_DEFAULT": sandbox["connection"],
            "SECODA_OUTPUT": str(output.parent),
        }
        source = (Path(__file__).parents[1] / "example_dags" / f"{DAG_ID}.py").read_text()
        for old, new in CHANGES.items():
            if old not in source:
                raise SystemExit(f"the example does not say {old!r} any more")
            source = source.replace(old, new.format(end=str(scale.end)))
        with fleet(Path(name, "airflow"), executor, environment) as airflow:
            _say(f"{executor}: start")
            airflow.start(DAG_ID, source, POOL, SLOTS)
            _ask(sandbox, "faults", {"latency": LATENCY, "rate_limit": [scale.rate, 1.0]}, "PUT")
            _ask(sandbox, "reset-stats", {}, "POST")
            _say(f"{executor}: backfill")
            began = time.monotonic()
            airflow.backfill(DAG_ID, START, scale.end - DAY)
            runs = airflow.wait(DAG_ID, _RUN_SECONDS, half=airflow.lose_worker if lose else None)
            wall = time.monotonic() - began
            stats = json.loads(_ask(sandbox, "stats"))
            _ask(sandbox, "faults", {}, "PUT")
            ids = [one["dag_run_id"] for one in runs]
            tries = [one for run_id in ids for one in airflow.tries(DAG_ID, run_id, TASK_ID)]
            succeeded = [one["dag_run_id"] for one in runs if one["state"] == "success"]
            counted = _counted(airflow, succeeded)
        _say(f"{executor}: verify")
        days = [_day(sandbox, output, START + number * DAY) for number in range(scale.days)]
        outcome = Outcome(executor, len(succeeded), wall, tries, counted, stats, days, _verify(output, scale))
        _say(report([outcome], scale))
        return outcome


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--executor", choices=("local", "celery", "both"), default="both")
    add("--days", type=int, help="windows (default 90, from 2026-01-01)")
    add("--logs", type=int, help=f"logs of the workspace, all in these days (default {MILLION:,})")
    add("--rate", type=int, help="requests a second that are answered; the others get 429 (default 100)")
    add("--quick", action="store_true", help="6 days of 6,000 logs, 20 requests a second")
    add("--lose-worker", action="store_true", help="kill a Celery worker when half of the runs have ended")
    add("--install", action="store_true", help="install PostgreSQL and Redis when missing (Debian, as root)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # with all servers, as by Ctrl-C
    default = Scale(6, 6_000, 20) if options.quick else Scale(90, MILLION, 100)
    scale = Scale(options.days or default.days, options.logs or default.logs, options.rate or default.rate)
    executors = {"local": [LOCAL], "celery": [CELERY], "both": [LOCAL, CELERY]}[options.executor]
    databases.require(install=options.install)
    print(f"# A backfill of {scale.days} days over {scale.logs:,} logs\n\n{common.facts()}\n")
    celery = f", Celery {common.installed('celery')}" if CELERY in executors else ""
    print(
        f"{databases.versions()}{celery}; {LATENCY * 1000:g} ms latency, at most {scale.rate} requests a second "
        f"answered and 429 for the others; up to {PARALLELISM} runs active and {PARALLELISM} tasks by the executor, "
        f"{SLOTS} by the pool, each with a concurrency of {CONCURRENCY}."
    )
    if options.lose_worker:
        print("With Celery, a worker was killed (`kill -9`) during its tasks when half of the runs had ended.")
    _say(f"a workspace of {scale.logs:,} logs")
    with common.sandbox(scale.logs, scale.days, 0, scale.end) as sandbox:
        found = [run(one, scale, sandbox, options.lose_worker and one == CELERY) for one in executors]
    print(f"\n{report(found, scale)}")
    if not all(held for one in found for held in one.aims(scale).values()):
        sys.exit("an aim is missed")


def _counted(airflow: Fleet, runs: list[str]) -> int:
    return sum(airflow.xcom(DAG_ID, run_id, TASK_ID)["requests"] for run_id in runs)


def _day(sandbox: dict[str, Any], output: Path, start: datetime) -> Day:
    span = urlencode({"start": start.isoformat(), "end": (start + DAY).isoformat()})
    own, file = _ask(sandbox, f"window?{span}"), output / f"{start:%Y-%m-%d}.jsonl"
    return Day(own.count(b"\n"), file.exists() and file.read_bytes() == own)


def _verify(output: Path, scale: Scale) -> dict[str, Any]:
    command = [sys.executable, "-m", "airflow_provider_secoda.verify", str(output), "--json", "--quiet"]
    command += ["--start", START.isoformat(), "--end", scale.end.isoformat()]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _ask(sandbox: dict[str, Any], path: str, body: Any = None, method: str = "GET") -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{sandbox['url']}/sandbox/{path}", data, method=method)
    with urllib.request.urlopen(request) as answer:
        content: bytes = answer.read()
        return content


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
