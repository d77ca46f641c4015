"""One real Airflow for all tests that need one: scheduler, triggerer, DAG processor, API server.

It starts when it is first needed, in about 15 s, and tests use its REST API.
Use it for what ``dag.test()`` cannot do: deferral in a triggerer, asset watchers, schedules, timeouts of
deferrals, restarts of the triggerer and the scheduler. See the fixture ``standalone`` in ``e2e/conftest.py``.

Importing this module imports nothing of Airflow.
"""

from __future__ import annotations

import json
import textwrap
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.helpers.airflow_processes import Processes
from tests.helpers.airflow_rest import Rest, moment, run_path
from tests.helpers.airflow_runs import version
from tests.helpers.airflow_settings import free_port, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from airflow_provider_secoda.sandbox import Sandbox

START_SECONDS = 120
PARSE_SECONDS = 60
RUN_SECONDS = 90
_POLL_SECONDS = 0.25
_FINAL = ("success", "failed")


class TimedOutError(AssertionError):
    """Airflow did not do something in time; the message contains the ends of its processes' logs."""


class Standalone:
    """A running Airflow; a method that needs it running starts it.

    :param home: an empty folder; becomes ``AIRFLOW_HOME``.
    :param sandbox: the server of its connection ``secoda_default``. A test may change its workspace and faults; a
        test that counts requests adds a connection to a sandbox of its own.
    :param environment: additional variables for all of its processes.
    """

    def __init__(self, home: Path, sandbox: Sandbox, environment: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.sandbox = sandbox
        self._dags = home / "dags"
        self._dags.mkdir(parents=True)
        self._put: dict[str, datetime] = {}
        self._started = False
        self._old = version() < (3,)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._rest = Rest(port, old=self._old)
        connection = {"AIRFLOW_CONN_SECODA_DEFAULT": sandbox.connection_json}
        self._processes = Processes(home, {**settings(home, port), **connection, **(environment or {})})

    # --- its processes ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it if it is not running; return when all components are healthy and all DAG files are parsed."""
        if self._started:
            return
        self._started = True
        try:
            self._start()
        except BaseException:
            self._processes.end()
            raise

    def _start(self) -> None:
        if self._old:
            # 2.x gives everybody the permissions of the public role.
            (self.home / "webserver_config.py").write_text("AUTH_ROLE_PUBLIC = 'Admin'\nWTF_CSRF_ENABLED = False\n")
        else:
            self._processes.start(
                "api-server", "api-server"
            )  # the slowest; it needs no tables before the first request
        self._processes.run("migrate", "db", "migrate")
        self.start_again("scheduler", wait=False)
        self.start_again("triggerer", wait=False)
        last = "webserver" if self._old else "dag-processor"
        self._processes.start(last, last)
        needed = {"metadatabase", "scheduler", "triggerer"} | (set() if self._old else {"dag_processor"})
        self.until(lambda: needed <= self._rest.healthy(), "Airflow is healthy", START_SECONDS)
        self._rest.log_in()
        for name in list(self._put):
            self._parsed(name)

    def stop(self, part: str, *, kill: bool = False) -> None:
        """Stop the ``scheduler``, with all running tasks, or the ``triggerer``; return when it is stopped.

        :param kill: by SIGKILL, as when its machine goes down.
        """
        self.start()
        (self._processes.kill if kill else self._processes.stop)(part)

    def start_again(self, part: str, *, wait: bool = True) -> None:
        """Start a component that was stopped; return when it is healthy."""
        before = datetime.now(timezone.utc)
        self._processes.start(part, part, "--skip-serve-logs")
        if wait:
            self.until(lambda: (self._rest.heartbeat(part) or before) > before, f"the {part} is healthy", START_SECONDS)

    def tidy(self) -> None:
        """Undo what a test may have left: restart stopped components, remove the sandbox's faults."""
        self.sandbox.reset()
        for part in ("triggerer", "scheduler"):
            if self._started and not self._processes.runs(part):
                self.start_again(part)

    def end(self) -> None:
        """Stop all components.

        :raises AssertionError: when a process is still running.
        """
        self._rest.close()
        self._processes.end()

    def triggerer_log(self) -> str:
        """Return what the triggerer printed, also before restarts: triggers of assets log here."""
        return self._processes.log_file("triggerer").read_text(errors="replace")

    # --- input ------------------------------------------------------------------------------------

    def put_dag(self, name: str, source: str | Path) -> list[str]:
        """Put a DAG file, given as text or path, into the dags folder, or replace it.

        :param name: of the file, without the suffix.
        :returns: the ids of its DAGs, when they are parsed; an empty list if Airflow is not running yet: then the start
            waits for them.
        :raises ImportError: when the file cannot be parsed.
        """
        text = source.read_text() if isinstance(source, Path) else textwrap.dedent(source)
        self._put[name] = datetime.now(timezone.utc)
        partial = self.home / name
        partial.write_text(text)
        partial.replace(self._dags / f"{name}.py")  # atomic: Airflow may be reading the folder
        return self._parsed(name) if self._started else []

    def read_again(self, name: str) -> None:
        """Have a DAG file parsed again immediately, so that the assets of an unpaused DAG are watched."""
        self.put_dag(name, (self._dags / f"{name}.py").read_text())

    def remove_dag(self, name: str) -> None:
        """Delete a DAG file; watchers of its assets end within half a minute."""
        (self._dags / f"{name}.py").unlink()
        del self._put[name]

    def add_connection(self, conn_id: str, sandbox: Sandbox, **extra: Any) -> None:
        """Add a connection to a sandbox to Airflow's database, with additional extras."""
        connection = json.loads(sandbox.connection_json)
        if extra:
            known = connection.get("extra") or {}
            known = json.loads(known) if isinstance(known, str) else known
            connection["extra"] = json.dumps(known | extra)
        self._request("POST", "connections", json={"connection_id": conn_id, **connection})

    def trigger(self, dag_id: str, **body: Any) -> str:
        """Start a run of a DAG; return its id.

        :param body: of the request to the REST API: ``conf``, ``logical_date``, ``dag_run_id``.
        """
        if not self._old:
            body = {"logical_date": None, **body}
        run_id = str(self._request("POST", f"dags/{dag_id}/dagRuns", json=body)["dag_run_id"])
        # Airflow 3.0 answers before it has committed the run.
        path = run_path(dag_id, run_id)
        self.until(lambda: self._rest.send("GET", path).is_success, f"{run_id} is there", RUN_SECONDS)
        return run_id

    # --- output ----------------------------------------------------------------------------------------

    def wait(self, dag_id: str, run_id: str, timeout: float = RUN_SECONDS) -> str:
        """Wait until a run is over; return its state, ``success`` or ``failed``."""
        path = run_path(dag_id, run_id)

        def over() -> str | None:
            state = self._request("GET", path)["state"]
            return state if state in _FINAL else None

        try:
            return self.until(over, f"{dag_id} {run_id} ends", timeout)
        except TimedOutError as late:
            tasks = self._request("GET", f"{path}/taskInstances")["task_instances"]
            states = {task["task_id"]: task["state"] for task in tasks}
            raise TimedOutError(f"{late}\ntasks: {states}") from None

    def wait_task(self, dag_id: str, run_id: str, task_id: str, state: str, timeout: float = RUN_SECONDS) -> None:
        """Wait until a task has a state, for example ``deferred``."""
        self.until(
            lambda: self.task(dag_id, run_id, task_id)["state"] == state, f"{dag_id}.{task_id} is {state}", timeout
        )

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return a task of a run as the REST API shows it: ``state``, ``try_number``, ``start_date``."""
        return self._request("GET", f"{run_path(dag_id, run_id)}/taskInstances/{task_id}")

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task returned, or pushed under another key.

        :raises LookupError: when there is no such XCom.
        """
        path = f"{run_path(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        return self._request("GET", path, params={"stringify": "false"})["value"]

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str | None]:
        """Return the URLs of the links of a task, by name."""
        found = self._request("GET", f"{run_path(dag_id, run_id)}/taskInstances/{task_id}/links")
        return dict(found.get("extra_links", found) if not self._old else found)

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """Return the log of a try of a task, from the worker and from its triggers."""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        before, text = None, ""
        while text != before:  # a task's last lines may be written shortly after its state
            time.sleep(_POLL_SECONDS)
            files = sorted(folder.glob(f"attempt={try_number}.log*"))
            before, text = text, "".join(file.read_text(errors="replace") for file in files)
        return text

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return a DAG's runs as the REST API shows them, oldest first: ``dag_run_id``, ``run_type``, ``state``."""
        return self._request("GET", f"dags/{dag_id}/dagRuns", params={"order_by": "id", "limit": 1000})["dag_runs"]

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG."""
        self.start()

        def unpaused() -> bool:
            # SQLite may be locked; then Airflow responds with 503.
            given = self._rest.send("PATCH", f"dags/{dag_id}", json={"is_paused": False})
            return not given.is_server_error and given.raise_for_status().json()["is_paused"] is False

        self.until(unpaused, f"{dag_id} is not paused", RUN_SECONDS)

    def asset_events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of an asset, by its name or URI, as the REST API shows them, oldest first: ``extra``."""
        self.start()
        path, found = ("datasets", "dataset_events") if self._old else ("assets", "asset_events")

        def answer() -> httpx.Response | None:
            # Airflow 3.3.2 responds with 500 until a run that an event created has started.
            given = self._rest.send("GET", f"{path}/events", params={"order_by": "timestamp", "limit": 1000})
            return None if given.is_server_error else given

        events = self.until(answer, "the events are shown", RUN_SECONDS).raise_for_status().json()[found]
        return [event for event in events if name in (event.get("name"), event.get("uri"), event.get("dataset_uri"))]

    def until(self, condition: Callable[[], Any], what: str, timeout: float) -> Any:
        """Wait until a condition holds; return what it returned.

        :param what: the condition, for the error message.
        :param timeout: in seconds.
        :raises TimedOutError: with the ends of the processes' logs.
        :raises DiedError: when a process of Airflow ended by itself.
        """
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            self._processes.check()
            if time.monotonic() > deadline:
                raise TimedOutError(f"not within {timeout:g} s: {what}\n{self._processes.tails()}")
            time.sleep(_POLL_SECONDS)
        return found

    # --- inside ----------------------------------------------------------------------------------------------

    def _request(self, method: str, path: str, **request: Any) -> Any:
        self.start()
        return self._rest.request_json(method, path, **request)

    def _parsed(self, name: str) -> list[str]:
        """Wait until a DAG file is parsed as it is now; return the ids of its DAGs."""
        file, put = f"{name}.py", self._put[name]

        def parsed() -> list[str]:
            for error in self._request("GET", "importErrors")["import_errors"]:
                if Path(error["filename"]).name == file and moment(error["timestamp"]) > put:
                    raise ImportError(error["stack_trace"])
            dags = self._request("GET", "dags", params={"limit": 1000})["dags"]
            dags = [dag for dag in dags if Path(dag["fileloc"]).name == file]
            return [dag["dag_id"] for dag in dags if (moment(dag["last_parsed_time"]) or put) > put]

        return self.until(parsed, f"{file} is parsed", PARSE_SECONDS)
