"""What Airflow's own metrics are told: what the requests cost, and what they brought.

Counters ``secoda.requests`` (repeats included), ``secoda.retries``, ``secoda.throttles`` (answers 429),
``secoda.pages`` (those read ahead in vain included) and ``secoda.logs``; a timer ``secoda.lag``, the largest
``created_at - logged_at`` of the logs. They are told at the end of each reading and each look, whichever way it ended,
each request once. Where the metrics have tags, ``secoda_conn_id`` is one. What goes wrong here reaches no task.
"""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
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
#: What some back ends refuse in a tag, and with it the whole metric.
_ODD_SIGNS = re.compile(r"[^A-Za-z0-9_.-]")
#: How much of a client's tally was told.
_told: WeakKeyDictionary[Any, RequestStats] = WeakKeyDictionary()


@contextmanager
def told(client: SecodaClient | AsyncSecodaClient, secoda_conn_id: str) -> Iterator[None]:
    """Tell, however the block ends, what a client did that was not told yet: several at once may use one client."""
    try:
        yield
    finally:
        now = replace(client.stats)
        before = _told.get(client) or type(now)()
        _told[client] = now
        for name, metric in _COUNTERS.items():
            _count(metric, getattr(now, name) - getattr(before, name), secoda_conn_id)


def record_log_metrics(logs: Sequence[Log], secoda_conn_id: str) -> None:
    """Tell of logs that were read."""
    for _ in counted([list(logs)], secoda_conn_id):
        pass


def counted(batches: Iterable[list[Log]], secoda_conn_id: str) -> Iterator[list[Log]]:
    """Pass on batches of logs; at the end, whichever it is, tell of those that were passed on."""
    count, lag = 0, None
    try:
        for batch in batches:
            count += len(batch)
            lag = max((value for value in (lag, *(log.lag for log in batch)) if value is not None), default=None)
            yield batch
    finally:
        _count("logs", count, secoda_conn_id)
        if lag is not None:
            with _harmless():
                # A clock that is ahead of the other makes it negative, which timers do not know.
                _stats().timing("secoda.lag", timedelta(microseconds=max(0, lag)), tags=_tags(secoda_conn_id))


def prepare() -> None:
    """Have ready what the first metric needs, which may block: to find its host, to read files."""
    with _harmless():
        _stats().timer("secoda.lag")


def _count(metric: str, number: int, secoda_conn_id: str) -> None:
    if number:
        with _harmless():
            _stats().incr(f"secoda.{metric}", number, tags=_tags(secoda_conn_id))


def _tags(secoda_conn_id: str) -> dict[str, str]:
    return {"secoda_conn_id": _ODD_SIGNS.sub("_", secoda_conn_id)}


def _stats() -> Any:
    from airflow.providers.common.compat.sdk import Stats  # noqa: PLC0415 - not before the first metric

    return Stats


@contextmanager
def _harmless() -> Iterator[None]:
    """Let whatever goes wrong go to the log: metrics are no reason to fail."""
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever a back end comes up with
        _log.warning("Airflow's metrics could not be told", exc_info=True)
