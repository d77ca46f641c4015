"""A real Airflow on PostgreSQL, with one of its executors, that runs one backfill.

Its processes are the tests' own (``tests/helpers/airflow_processes.py``): each is ended wholly, none is left behind.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import databases
import httpx
import psutil

from tests.helpers.airflow_processes import Processes
from tests.helpers.airflow_rest import Rest, moment, run_path
from tests.helpers.airflow_settings import free_port, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

LOCAL, CELERY = "LocalExecutor", "CeleryExecutor"
WORKERS = 2
PARALLELISM = 8
_PARTS = {"scheduler": ("--skip-serve-logs",), "triggerer": ("--skip-serve-logs",), "dag-processor": ()}
_START_SECONDS = 600
_POLL_SECONDS = 1.0
_ASKED_AGAIN = 10
_FINAL = ("success", "failed")
#: A task whose worker was killed is started again after this; Airflow's own default is 300 s.
_LOST_SECONDS = 60


class Fleet:
    """An Airflow that runs; see :func:`fleet`.

    :param home: holds its DAGs, logs and settings.
    """

    def __init__(self, home: Path, executor: str, environment: dict[str, str]) -> None:
        self._home = home
        port = free_port()
        self._processes = Processes(home, settings(home, port) | _settings(executor) | environment)
        self._rest = Rest(port, old=False)
        self._workers = [f"worker-{number + 1}" for number in range(WORKERS)] if executor == CELERY else []

    def start(self, dag_id: str, source: str, pool: str, slots: int) -> None:
        """Start all of it; return when it is healthy, has made the pool and has parsed the DAG."""
        folder = self._home / "dags"
        folder.mkdir(parents=True)
        (folder / f"{dag_id}.py").write_text(source)
        self._processes.run("migrate", "db", "migrate")
        self._processes.start("api-server", "api-server")
        for part, options in _PARTS.items():
            self._processes.start(part, part, *options)
        for worker in self._workers:
            self._start_worker(worker)
        needed = {"metadatabase", "scheduler", "triggerer", "dag_processor"}
        self._until(lambda: needed <= self._rest.healthy(), "Airflow gets healthy")
        self._rest.log_in()
        self._processes.run("pool", "pools", "set", pool, str(slots), "tasks that read Secoda at once")
        self._until(lambda: dag_id in self._dags(), "the DAG is parsed")
        self._until(lambda: all(map(self._is_ready, self._workers)), "the workers are ready")

    def backfill(self, dag_id: str, first: datetime, last: datetime) -> None:
        """Create the backfill of the runs from the first to the last logical date, both included."""
        span = ("--from-date", first.isoformat(), "--to-date", last.isoformat())
        runs = ("--max-active-runs", str(PARALLELISM))
        self._processes.run("backfill", "backfill", "create", "--dag-id", dag_id, *span, *runs)

    def wait(self, dag_id: str, timeout: float, *, half: Callable[[], None] | None = None) -> list[dict[str, Any]]:
        """Wait until all runs have ended; return them as the REST API shows them.

        :param timeout: in seconds.
        :param half: called once, when half of them have.
        """
        deadline, said = time.monotonic() + timeout, 0.0
        while True:
            runs = self._ask(f"dags/{dag_id}/dagRuns", params={"limit": 1000})["dag_runs"]
            ended = [run for run in runs if run["state"] in _FINAL]
            if half is not None and len(ended) * 2 >= len(runs) > 0:
                half()
                half = None
            if len(ended) == len(runs) > 0:
                return runs
            self._processes.check()
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(ended)} of {len(runs)} runs ended in time\n{self._processes.tails()}")
            if time.monotonic() - said >= 15:
                said = time.monotonic()
                print(f"{len(ended)} of {len(runs)} runs", file=sys.stderr, flush=True)
            time.sleep(_POLL_SECONDS)

    def tries(self, dag_id: str, run_id: str, task_id: str) -> list[dict[str, Any]]:
        """Return the tries of a task, with ``start`` and ``end`` as moments."""
        path = f"{run_path(dag_id, run_id)}/taskInstances/{task_id}/tries"
        found = self._ask(path)["task_instances"]
        return [one | {"start": moment(one["start_date"]), "end": moment(one["end_date"])} for one in found]

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task returned."""
        path = f"{run_path(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/return_value"
        return self._ask(path, params={"stringify": "false"})["value"]

    def lose_worker(self) -> None:
        """Kill the last worker while it runs a task, as when its machine goes down, and start it again."""
        worker = self._workers[-1]
        self._until(lambda: self._runs_a_task(worker), "the worker runs a task")
        print(f"kill -9 {worker}", file=sys.stderr, flush=True)
        self._processes.kill(worker)
        self._start_worker(worker)

    def end(self) -> None:
        """End all of it."""
        self._rest.close()
        self._processes.end()

    def _start_worker(self, name: str) -> None:
        options = ("--concurrency", str(PARALLELISM // WORKERS), "--skip-serve-logs", "--without-gossip")
        self._processes.start(name, "celery", "worker", "--celery-hostname", f"{name}@localhost", *options)

    def _is_ready(self, worker: str) -> bool:
        return " ready." in self._processes.log_file(worker).read_text(errors="replace")

    def _runs_a_task(self, worker: str) -> bool:
        """Return whether a process of the worker's pool has a child, which is a task."""
        pool = psutil.Process(self._processes.pid(worker)).children()
        return any(process.children() for process in pool if process.is_running())

    def _dags(self) -> list[str]:
        for error in self._ask("importErrors")["import_errors"]:
            raise SystemExit(error["stack_trace"])
        return [dag["dag_id"] for dag in self._ask("dags")["dags"]]

    def _ask(self, path: str, **request: Any) -> Any:
        """Return what the REST API says, which on a machine this busy may not come in time at once."""
        for _ in range(_ASKED_AGAIN):
            with suppress(httpx.TransportError):
                return self._rest.request_json("GET", path, **request)
        raise SystemExit(f"the REST API does not answer\n{self._processes.tails()}")

    def _until(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not condition():
            self._processes.check()
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {_START_SECONDS} s: {what}\n{self._processes.tails()}")
            time.sleep(_POLL_SECONDS / 2)


@contextmanager
def fleet(home: Path, executor: str, environment: dict[str, str]) -> Iterator[Fleet]:
    """Run PostgreSQL, for Celery also Redis, and on them an Airflow that is yet to be started.

    :param environment: more variables for all of its processes.
    """
    with ExitStack() as stack:
        database = stack.enter_context(databases.postgres())
        more = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{database}"}
        if executor == CELERY:
            more["AIRFLOW__CELERY__BROKER_URL"] = stack.enter_context(databases.redis())
            more["AIRFLOW__CELERY__RESULT_BACKEND"] = f"db+postgresql+psycopg2://{database}"
        airflow = Fleet(home, executor, more | environment)
        stack.callback(airflow.end)
        yield airflow


def _settings(executor: str) -> dict[str, str]:
    """Return what differs from the tests' settings: the size, and how soon a lost task is given up."""
    return {
        "AIRFLOW__CORE__EXECUTOR": executor,
        "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "60",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(_LOST_SECONDS),
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": str(3 * _LOST_SECONDS),
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__CELERY__WORKER_ENABLE_REMOTE_CONTROL": "True",
        "C_FORCE_ROOT": "1",
    }
