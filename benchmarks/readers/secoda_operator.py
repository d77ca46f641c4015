"""Execute SecodaAuditLogsOperator as a task does, and record its requests and their times."""

from __future__ import annotations

import json
import sys
import time
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any

import memory_usage
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_secoda.client._audit_logs import open_listing, search
from airflow_provider_secoda.client._http.requests_transport import Transport
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from datetime import datetime
    from pathlib import Path

    from airflow_provider_secoda.client._api.flow import Request
    from airflow_provider_secoda.client._http.exchange import Outcome

    Step = Callable[..., Generator[Any, Any, Any]]

_CLIENT = "airflow_provider_secoda.client."
# Modules that the operator imports when it runs: their memory is not memory of the window.
_LATE = ("hooks.secoda", "client.sync", "_storage.formats", "_storage.spool", "_storage.target", "_storage.write")


class _Watch:
    """Sent requests as (sent, answered, order, page), and the moments in which the search began and ended."""

    def __init__(self) -> None:
        self.requests: list[tuple[float, float, str, int]] = []
        self.searches: list[tuple[float, float]] = []
        send = Transport.send

        @wraps(send)
        def watched(transport: Transport, request: Request) -> Outcome:
            sent = time.perf_counter()
            answer = send(transport, request)
            query = dict(request.params)
            order = json.loads(query["sort"])["order"]
            self.requests.append((sent, time.perf_counter(), order, int(query["page"])))
            return answer

        Transport.send = watched  # type: ignore[method-assign]
        for home, name in ((open_listing, "open_listing"), (search, "find_first_page")):
            step = getattr(home, name)
            timed = self._timed(step)
            for module in list(sys.modules.values()):
                if module.__name__.startswith(_CLIENT) and getattr(module, name, None) is step:
                    setattr(module, name, timed)

    def _timed(self, step: Step) -> Step:
        def timed(*arguments: Any, **options: Any) -> Generator[Any, Any, Any]:
            began = time.perf_counter()
            try:
                return (yield from step(*arguments, **options))
            finally:
                self.searches.append((began, time.perf_counter()))

        return timed

    def take(self, began: float, ended: float) -> dict[str, Any]:
        """Return what was seen since the last time, in seconds after the beginning."""
        seen = [(sent - began, got - began, order, page) for sent, got, order, page in sorted(self.requests)]
        notes = {
            "requests": seen,
            "search": sum(after - before for before, after in self.searches),
            "search_end": max((after for _, after in self.searches), default=began) - began,
            "tail": ended - began - max(got for _, got, _, _ in seen if got <= ended - began),
        }
        self.requests.clear()
        self.searches.clear()
        return notes


def make(job: dict[str, Any]) -> Callable[[datetime, datetime, Path], dict[str, Any]]:
    """Return a function that builds the operator in a DAG and executes it."""
    for name in _LATE:
        import_module(f"airflow_provider_secoda.{name}")
    before = memory_usage.now()
    if job.get("format") == "parquet":
        import_module("airflow_provider_secoda._storage.parquet")
        import_module("pyarrow").array([])  # which imports pandas, if it is installed
    pyarrow = memory_usage.now() - before
    watch = _Watch() if job.get("watch") else None

    def read(start: datetime, end: datetime, output: Path) -> dict[str, Any]:
        began = time.perf_counter()
        with DAG("benchmark", schedule=None) as dag:
            audit_logs = SecodaAuditLogsOperator(
                task_id="audit_logs",
                start=start,
                end=end,
                output_path=str(output),
                concurrency=job["concurrency"],
            )
        summary = audit_logs.execute({"dag": dag})
        notes = watch.take(began, time.perf_counter()) if watch else {}
        return notes | {"count": summary["count"], "bytes": summary["bytes"], "pyarrow": pyarrow}

    return read
