"""Read what watchers missed while nobody looked: piece by piece, once for all of them, in bounded memory."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._audit_logs.follow import TooManyError, read_span
from airflow_provider_secoda.client._audit_logs.listing import Report, describe_span
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client.filters import Filter
    from airflow_provider_secoda.hooks._shared_client import SharedClient

log = logging.getLogger(__name__)

_HOUR = 3_600_000_000
#: How long a piece is at first, and at least, in microseconds. A shorter one that is too much is taken as it comes.
_FIRST, _SHORTEST = 6 * _HOUR, 1_000
#: A piece that brings fewer logs makes the next one twice as long.
_FEW = 500
#: How often a piece may fail to be read completely before what could be read of it has to do.
_TRIES = 5


class CatchUp:
    """The reading of a stream's past, for whoever is behind."""

    def __init__(self, filter_: Filter | None) -> None:
        self._filter = filter_
        self._width = _FIRST
        self._tries = 0

    async def read(self, client: SharedClient, start: Instant, end: Instant) -> tuple[list[Log], Instant]:
        """Read the first piece of ``[start, end)``.

        :return: its logs, oldest first, and where it ends
        :raises SecodaError: when it could not be read; it may be tried again, five times if it is incomplete
        """
        while True:
            until = min(end, start + self._width)
            logs: list[Log] = []
            report = Report()
            try:
                await client.value(read_span(start, until, self._filter, logs, report), concurrency=4)
            except TooManyError:
                if self._width > _SHORTEST:
                    self._width = min(self._width, until - start)
                    self.narrow()
                    continue
                self._give_up(start, until, "more logs lie there than can be held at once")
            except SecodaIncompleteError as error:
                self._tries += 1
                if self._tries < _TRIES:
                    raise
                self._give_up(start, until, str(error))
            self._tries = 0
            if len(logs) < _FEW:
                self._width *= 2
            if report.history_from is not None:  # nothing lies before
                until = max(until, min(end, report.history_from))
            return sorted(logs, key=lambda one: (one.at, one.id)), until

    def narrow(self) -> None:
        """Read shorter pieces, as the last one brought more than there was room for."""
        self._width = max(_SHORTEST, self._width // 4)

    def _give_up(self, start: Instant, until: Instant, reason: str) -> None:
        log.error(
            "What was stored in %s cannot be read completely (%s): events of that time may be missing",
            describe_span(start, until),
            reason,
        )
