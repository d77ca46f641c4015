"""Report what requests cost, and what was read, to Airflow's metrics.

Counters ``secoda.requests`` (retries included), ``secoda.retries``, ``secoda.throttles`` (429 responses),
``secoda.pages`` (those that were read ahead and not used included) and ``secoda.logs``; a timer ``secoda.lag``, the
largest ``created_at - logged_at`` of the logs. They are reported at the end of each read and each poll, successful or
not, each request once. Where the metrics have tags, ``secoda_conn_id`` is one. A verification reports the gauge
``secoda.findings``, with the tags ``dag_id`` and ``task_id``. Errors in metrics never fail a task.
"""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._http.exchange import RequestStats
    from airflow_provider_secoda.client.aio import AsyncSecodaClient
    from airflow_provider_secoda.client.sync import SecodaClient

_log = logging.getLogger(__name__)
_COUNTERS = {"requests": "requests", "retries": "retries", "throttled": "throttles", "pages": "pages"}
#: Characters that some back ends refuse in a tag, and with it the metric.
_INVALID_IN_TAG = re.compile(r"[^A-Za-z0-9_.-]")
#: The counts of each client that were reported already.
_reported: WeakKeyDictionary[Any, RequestStats] = WeakKeyDictionary()


@contextmanager
def record_request_metrics(client: SecodaClient | AsyncSecodaClient, secoda_conn_id: str) -> Iterator[None]:
    """Report, however the block ends, what a client sent and was not reported yet; blocks may share a client."""
    try:
        yield
    finally:
        now = replace(client.stats)
        before = _reported.get(client) or type(now)()
        _reported[client] = now
        for name, metric in _COUNTERS.items():
            _count(metric, getattr(now, name) - getattr(before, name), secoda_conn_id)


def record_log_metrics(logs: Sequence[Log], secoda_conn_id: str) -> None:
    """Report logs that were read."""
    for _ in counting_logs([list(logs)], secoda_conn_id):
        pass


def counting_logs(batches: Iterable[list[Log]], secoda_conn_id: str) -> Iterator[list[Log]]:
    """Pass on batches of logs; at the end, successful or not, report those that were passed on."""
    count, lag = 0, None
    try:
        for batch in batches:
            count += len(batch)
            lags = [log.lag for log in batch if log.lag is not None]
            lag = max(lags if lag is None else [lag, *lags], default=None)
            yield batch
    finally:
        _count("logs", count, secoda_conn_id)
        if lag is not None:
            with _errors_logged():
                # Two clocks that disagree can make it negative, which timers do not accept.
                _stats().timing("secoda.lag", timedelta(microseconds=max(0, lag)), tags=_tags(secoda_conn_id))


def record_finding_metrics(count: int, dag_id: str, task_id: str) -> None:
    """Report how many findings a verification has."""
    with _errors_logged():
        tags = {"dag_id": _INVALID_IN_TAG.sub("_", dag_id), "task_id": _INVALID_IN_TAG.sub("_", task_id)}
        _stats().gauge("secoda.findings", count, tags=tags)


def prepare_metrics() -> None:
    """Load what the first metric needs, which may block: it resolves a host name and reads files."""
    with _errors_logged():
        _stats().timer("secoda.lag")


def _count(metric: str, number: int, secoda_conn_id: str) -> None:
    if number:
        with _errors_logged():
            _stats().incr(f"secoda.{metric}", number, tags=_tags(secoda_conn_id))


def _tags(secoda_conn_id: str) -> dict[str, str]:
    return {"secoda_conn_id": _INVALID_IN_TAG.sub("_", secoda_conn_id)}


@cache  # before Airflow 3, finding it tries to import modules that do not exist, each time
def _stats() -> Any:
    from airflow.providers.common.compat.sdk import Stats  # noqa: PLC0415 - not before the first metric

    return Stats


@contextmanager
def _errors_logged() -> Iterator[None]:
    """Log any error of the block, and ignore it."""
    try:
        yield
    except Exception:  # noqa: BLE001 - a back end may raise anything
        _log.warning("Airflow's metrics could not be reported", exc_info=True)
