"""Import this provider, create its objects and parse its example DAGs in a new process; print the effects as JSON.

``python tests/helpers/import_probe.py``. Each probe runs in a fork of one process that has already loaded what
every DAG file loads, as in Airflow's DAG processor. An audit hook records I/O, also that of C code: opened files,
sockets, processes, databases.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

PACKAGE = "airflow_provider_secoda"
#: Modules that users import, or that Airflow imports for them.
ENTRIES = {
    "operator": (f"{PACKAGE}.operators.secoda",),
    "sensor": (f"{PACKAGE}.sensors.secoda",),
    "operator and sensor": (f"{PACKAGE}.operators.secoda", f"{PACKAGE}.sensors.secoda"),
    "triggers": (f"{PACKAGE}.triggers.secoda",),
    "hook": (f"{PACKAGE}.hooks.secoda",),
    "links": (f"{PACKAGE}.links.secoda",),
    "assets": (f"{PACKAGE}.assets.secoda",),
    "retries": (f"{PACKAGE}.retries",),
    "windows": (f"{PACKAGE}.windows",),
    "compat": (f"{PACKAGE}._compat",),
    "provider info": (f"{PACKAGE}.get_provider_info",),
}
MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)
EXAMPLES = Path(__file__).parents[2] / "example_dags"
#: Audit events of I/O.
_IO = ("open", "os", "socket", "ssl", "subprocess", "sqlite3", "shutil", "tempfile", "glob", "pathlib", "fcntl", "mmap")
_IO += ("urllib", "http", "smtplib", "ftplib", "webbrowser", "pty", "syslog")
_NO_IO = ("os.putenv", "os.unsetenv")
_seen: list[tuple[str, bool]] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None or event.partition(".")[0] not in _IO or event in _NO_IO:
        return
    if event == "open" and "cron_descriptor" in str(arguments[0]):
        return  # Airflow's timetables describe a schedule
    _seen.append((f"{event} {arguments!r:.200}", _is_by_import(sys._getframe())))


def _is_by_import(frame: FrameType | None) -> bool:
    """Return whether the import of a module does the I/O, and not a call from our code, direct or indirect."""
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith("<frozen importlib"):
            return True
        if f"/{PACKAGE}/" in path or f"/{EXAMPLES.name}/" in path:
            return False
        frame = frame.f_back
    return False


@contextmanager
def watched(did: list[str], *, imports: bool) -> Iterator[None]:
    """Record the I/O that is done.

    :param imports: whether I/O of the import system counts; I/O by the code of an imported module always counts
    """
    global _seen  # noqa: PLW0603 - an audit hook cannot be removed
    _seen = []
    try:
        yield
    finally:
        found, _seen = _seen, None
        did += [what for what, by_import in found if imports or not by_import]


def makers() -> dict[str, Callable[[], object]]:
    """Return a function for each object that creates it with all of its arguments."""
    from airflow_provider_secoda.hooks.secoda import SecodaHook
    from airflow_provider_secoda.links.secoda import SecodaOutputLink, SecodaReportLink, SecodaResourceLink
    from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator, SecodaVerifyOperator
    from airflow_provider_secoda.retries import SecodaRetryPolicy
    from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor
    from airflow_provider_secoda.triggers.secoda import (
        SecodaAuditLogEventTrigger,
        SecodaVersionHistoryEventTrigger,
        SecodaVersionHistoryTrigger,
    )

    people = '{"operator": "exact", "field": "performer_type", "value": "USER"}'
    operator: dict[str, Any] = {
        "task_id": "operator",
        "start": MOMENT,
        "end": "2026-01-02",
        "filter": people,
        "output_path": "s3://connection@bucket/{start:%Y-%m-%d}.parquet",
        "settle": timedelta(hours=1),
    }
    sensor = {"task_id": "sensor", "resource_id": "R", "since": "{{ data_interval_end }}", "deferrable": True}
    event = {"secoda_conn_id": "elsewhere", "poke_interval": 10, "lookback": 60}
    lists = {name: ["A", "B"] for name in ("activity_types", "performer_types", "resource_types", "resource_ids")}
    moment = MOMENT.isoformat()
    trigger = {"secoda_conn_id": "elsewhere", "resource_id": "R", "since": moment, "deadline": moment, "page_order": {}}
    return {
        "operator": _maker(SecodaAuditLogsOperator, operator),
        "operator to a local file": _maker(SecodaAuditLogsOperator, operator | {"output_path": "/var/{start}.jsonl"}),
        "verify operator": _maker(
            SecodaVerifyOperator,
            {
                "task_id": "verify",
                "path": "s3://connection@bucket/logs",
                "last": 7,
                "report_path": "s3://b/{start}.html",
            },
        ),
        "sensor": _maker(SecodaVersionHistorySensor, sensor),
        "sensor, started by the triggerer": _maker(SecodaVersionHistorySensor, sensor | {"start_from_trigger": True}),
        "trigger": _maker(SecodaVersionHistoryTrigger, trigger),
        "event trigger for logs": _maker(SecodaAuditLogEventTrigger, event | lists | {"filter": people}),
        "event trigger for versions": _maker(SecodaVersionHistoryEventTrigger, event | {"resource_id": "R"}),
        "hook": _maker(SecodaHook, {"secoda_conn_id": "elsewhere"}),
        "retry policy": SecodaRetryPolicy,
        "link to the output": SecodaOutputLink,
        "link to the report": SecodaReportLink,
        "link to the resource": SecodaResourceLink,
    }


def _maker(kind: type, arguments: dict[str, Any]) -> Callable[[], object]:
    """Return a function that creates an object; arguments that are not given are passed with their defaults."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.default is not parameter.empty
    }
    own = {name for base in (kind, *kind.__bases__) if base.__module__.startswith(PACKAGE) for name in _names(base)}
    return lambda: kind(**{name: value for name, value in defaults.items() if name in own} | arguments)


def _names(kind: type) -> set[str]:
    return set(inspect.signature(kind.__init__).parameters)


def tried(action: Callable[[], object], times: int = 2) -> dict[str, list[str]]:
    """Return which modules an action loads, and what I/O it does.

    The first time, I/O of imports is allowed; the second time, all modules are loaded and no I/O is allowed.
    """
    before = set(sys.modules)
    did: list[str] = []
    for time in range(times):
        with watched(did, imports=time > 0):
            action()
    return {"loaded": sorted(set(sys.modules) - before), "did": did}


def imported(modules: tuple[str, ...]) -> dict[str, list[str]]:
    """Import modules."""
    return tried(lambda: [import_module(module) for module in modules])


def made(name: str) -> dict[str, list[str]]:
    """Create an object, whose class is imported."""
    return tried(makers()[name])


def parsed(path: Path) -> dict[str, list[str]]:
    """Parse a DAG file."""
    code = compile(path.read_text(), path, "exec")
    return tried(lambda: exec(code, {"__name__": path.stem, "__file__": str(path)}))


def forked(probe: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns in a fork of this process, or its error as text."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = probe(*arguments)
        except Exception as error:  # noqa: BLE001 - reported to the parent
            answer = f"{type(error).__name__}: {error}"
        with os.fdopen(write, "w") as out:
            json.dump(answer, out)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        found = json.load(answer)
    os.waitpid(child, 0)
    return found


def main() -> None:
    """Print the results of all probes."""
    try:
        from airflow.sdk import DAG, Asset, AssetWatcher, BaseHook, BaseOperator, BaseSensorOperator, task  # noqa: F401
    except ImportError:  # Airflow 2.11
        from airflow.decorators import task
        from airflow.hooks.base import BaseHook  # noqa: F401
        from airflow.models.baseoperator import BaseOperator  # noqa: F401
        from airflow.models.dag import DAG  # noqa: F401
        from airflow.sensors.base import BaseSensorOperator  # noqa: F401

    import airflow.providers.common.compat.sdk  # noqa: F401 - every provider begins with it

    task.python  # noqa: B018 - with this Airflow discovers its providers
    sys.addaudithook(_audit)
    found = {
        "before": sorted({module.partition(".")[0] for module in sys.modules}),
        "imports": {name: forked(imported, modules) for name, modules in ENTRIES.items()},
        "objects": {name: forked(made, name) for name in forked(lambda: list(makers()))},
        "dags": {path.stem: forked(parsed, path) for path in sorted(EXAMPLES.glob("*.py"))},
    }
    print(json.dumps(found))  # noqa: T201 - it is a script


if __name__ == "__main__":
    main()
