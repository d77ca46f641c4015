"""Pass logs to watchers, and read again what watchers missed.

A watcher misses logs while the triggerer is down, while its queue is full, and when more logs are new than one poll
holds. Its ``missed_from`` says from where on. The past is read in pieces, once for all watchers that missed it, so
memory is bounded.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from airflow_provider_secoda._events.background import FailureBackoff
from airflow_provider_secoda._events.watchers import MAX_PENDING, read_log_fields
from airflow_provider_secoda.client._audit_logs.output import TooManyLogsError, WindowReport
from airflow_provider_secoda.client._audit_logs.window import format_window
from airflow_provider_secoda.client._following.follower import read_span
from airflow_provider_secoda.client.errors import SecodaIncompleteError
from airflow_provider_secoda.hooks._metrics import record_log_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from airflow_provider_secoda._events.watchers import Watcher
    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client.filters import Filter
    from airflow_provider_secoda.hooks._shared_client import SharedClient

log = logging.getLogger(__name__)

#: Logs that are passed on before other tasks of the event loop run.
_BATCH = 50
_HOUR = 3_600_000_000
#: Watchers catch up together if they are at most this far apart, in microseconds.
_TOGETHER = 6 * _HOUR
#: The first and the shortest length of a piece, in microseconds. If even the shortest has too many logs, the logs that
#: could be read of it are delivered.
_FIRST, _SHORTEST = 6 * _HOUR, 1_000
#: A piece with fewer logs makes the next one twice as long.
_FEW = 500
#: How many incomplete reads of a piece it takes until the logs that could be read of it are delivered.
_TRIES = 5


async def distribute(
    logs: Sequence[Log], watchers: Iterable[Watcher], poll_resource: Callable[[Watcher], None], *, past: bool = False
) -> set[Watcher]:
    """Pass logs to watchers, oldest first.

    :param poll_resource: called with a watcher that has to poll its resource
    :param past: whether these are logs that the watchers missed. Otherwise a watcher that catches up gets only logs
        from the time that it has read already (logs that were stored late), as it will read the others
    :return: the watchers whose queue is full; they miss the rest
    """
    full: set[Watcher] = set()
    for first in range(0, len(logs), _BATCH):
        batch = [(one, read_log_fields(one)) for one in logs[first : first + _BATCH]]
        for watcher in watchers:
            for one, fields in batch:
                missed_from = watcher.missed_from
                if watcher in full or (missed_from is not None and (one.at >= missed_from) != past):
                    continue
                if len(watcher.pending) >= MAX_PENDING:
                    watcher.missed_from = one.at
                    full.add(watcher)
                elif watcher.match(one, fields):
                    poll_resource(watcher)
        await asyncio.sleep(0)
    return full


class CatchUp:
    """Read what watchers of a stream missed."""

    def __init__(self, stream: str, filter_: Filter | None, poke_interval: float) -> None:
        #: When to read the next piece, by the event loop's clock.
        self.due = float("-inf")
        self._filter = filter_
        self._backoff = FailureBackoff(f"{stream}: reading missed audit logs", poke_interval)
        self._length = _FIRST
        self._tries = 0

    async def run(
        self, client: SharedClient, watchers: Sequence[Watcher], end: Instant, poll_resource: Callable[[Watcher], None]
    ) -> None:
        """Read one piece of the past and pass it to the watchers that missed it.

        :param end: everything from here on is passed to the watchers by the stream
        """
        start = min(watcher.missed_from for watcher in watchers if watcher.missed_from is not None)
        try:
            logs, until = await self.read(client, start, end) if start < end else ([], end)
        except Exception as error:  # noqa: BLE001 - an error would end all watchers, and Airflow restarts them at once
            self.due = asyncio.get_running_loop().time() + self._backoff.fail(error)
            return
        self._backoff.succeed()
        record_log_metrics(logs, client.secoda_conn_id)
        full = await distribute(logs, watchers, poll_resource, past=True)
        for watcher in watchers:
            if watcher not in full and watcher.missed_from is not None and watcher.missed_from < until:
                watcher.missed_from = None if until >= end else until
        if full:  # shorter pieces, as the rest of this one has to be read again
            self._length = max(_SHORTEST, self._length // 4)

    async def read(self, client: SharedClient, start: Instant, end: Instant) -> tuple[list[Log], Instant]:
        """Read the first piece of ``[start, end)``.

        :return: its logs, oldest first, and where it ends
        :raises SecodaError: when it could not be read; an incomplete read is given up after five tries
        """
        while True:
            until = min(end, start + self._length)
            logs: list[Log] = []
            report = WindowReport()
            failure: str | None = None
            try:
                await client.value(read_span(start, until, self._filter, logs, report), concurrency=4)
            except TooManyLogsError:
                if self._length > _SHORTEST:
                    self._length = max(_SHORTEST, min(self._length, until - start) // 4)
                    continue
                failure = "there are more logs than fit into memory"
            except SecodaIncompleteError as error:
                self._tries += 1
                if self._tries < _TRIES:
                    raise
                failure = str(error)
            if failure is not None:
                log.error(
                    "The audit logs of %s cannot be read completely (%s): events from this time may be missing",
                    format_window(start, until),
                    failure,
                )
            self._tries = 0
            if len(logs) < _FEW:
                self._length *= 2
            if report.history_from is not None:  # there are no earlier logs
                until = max(until, min(end, report.history_from))
            return sorted(logs, key=lambda one: (one.at, one.id)), until


def lagging(watchers: Iterable[Watcher]) -> list[Watcher]:
    """Return the watchers that have to catch up and have capacity.

    If they are far apart, return the most advanced ones, as these need the fewest logs to be up to date.
    """
    missed = {
        watcher: watcher.missed_from
        for watcher in watchers
        if watcher.missed_from is not None and len(watcher.pending) < MAX_PENDING
    }
    latest = max(missed.values(), default=0)
    return [watcher for watcher, since in missed.items() if since >= latest - _TOGETHER]
