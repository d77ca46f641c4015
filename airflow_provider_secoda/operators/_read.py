"""Read the logs of a window, and keep what was observed: pages, requests, the largest lag."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_secoda.client._api.timestamps import Instant, format_datetime, format_instant, to_instant
from airflow_provider_secoda.client._audit_logs.output import WindowReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_secoda.client._api.audit_log_page import Log, TimestampField
    from airflow_provider_secoda.client._http.exchange import RequestStats
    from airflow_provider_secoda.hooks.secoda import SecodaHook
    from airflow_provider_secoda.windows import Window

_PROGRESS_SECONDS = 10.0


@dataclass(frozen=True)
class AuditLogQuery:
    """Which logs a task reads: those of a half-open window, by one of the timestamps, that match a filter.

    :ivar filter: Secoda's filter grammar as plain data; None for all logs
    """

    window: Window
    timestamp_field: TimestampField
    filter: Mapping[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Return the query as manifests and lineage events contain it: JSON values."""
        return {**self.window.as_dict(), "timestamp_field": self.timestamp_field, "filter": self.filter}


@dataclass(frozen=True)
class ReadResult:
    """What was read, and how.

    :ivar source: the connection's id and the address of the API
    :ivar started_at: when the read started, UTC
    :ivar count: number of logs, each counted once
    :ivar first: timestamp of the first log in microseconds since the epoch, UTC; None without logs
    :ivar last: timestamp of the last log, same unit
    :ivar max_lag_seconds: the largest ``created_at - logged_at``; None without logs that have both
    :ivar report: what the client observed
    :ivar stats: requests, retries and throttled requests
    """

    query: AuditLogQuery
    source: Mapping[str, str]
    started_at: datetime
    count: int
    first: Instant | None
    last: Instant | None
    max_lag_seconds: float | None
    report: WindowReport
    stats: RequestStats

    @property
    def history(self) -> str:
        """The oldest log that the API returns, as text."""
        oldest = iso(self.report.history_from)
        return "the API returns no logs" if oldest is None else f"the oldest log that the API returns is from {oldest}"

    def summary(self) -> dict[str, Any]:
        """Return what the task reports about the read: JSON values."""
        return {
            "count": self.count,
            **self.query.window.as_dict(),
            "timestamp_field": self.query.timestamp_field,
            "first_timestamp": iso(self.first),
            "last_timestamp": iso(self.last),
            "pages": self.report.pages,
            "requests": self.stats.requests,
            "duplicates_dropped": self.report.repeats_dropped,
            "max_lag_seconds": self.max_lag_seconds,
            "history_from": iso(self.report.history_from),
        }


@dataclass
class WindowRead:
    """One read of a window.

    :param hook: the hook of the connection to read
    :param query: which logs to read
    :param concurrency: the number of pages to read at the same time
    :param require_history: fail if the API returns no log from before the window
    :param skip_if_empty: skip the task if there are no logs
    :param log: the logger of the task, for progress and warnings
    """

    hook: SecodaHook
    query: AuditLogQuery
    concurrency: int
    require_history: bool
    skip_if_empty: bool
    log: Any
    report: WindowReport = field(default_factory=WindowReport, init=False)
    _started_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc), init=False)
    _max_lag: int | None = field(default=None, init=False)

    def batches(self) -> Iterator[list[Log]]:
        """Yield the logs in batches, and log the progress every ten seconds."""
        started = logged = time.monotonic()
        count = 0
        for batch in self.hook.iter_raw_audit_logs(
            self.query.window.start,
            self.query.window.end,
            filter=self.query.filter,
            timestamp_field=self.query.timestamp_field,
            concurrency=self.concurrency,
            report=self.report,
        ):
            lags = (self._max_lag, *(log.lag for log in batch))
            self._max_lag = max((lag for lag in lags if lag is not None), default=None)
            count += len(batch)
            yield batch
            now = time.monotonic()
            if now - logged >= _PROGRESS_SECONDS:
                logged = now
                self.log.info(
                    "Read %d logs from %d pages so far (the listing has %d pages), %.0f logs per second",
                    count, self.report.pages, self.report.total_pages, count / (now - started),
                )  # fmt: skip

    def result(self, count: int, first: Instant | None, last: Instant | None) -> ReadResult:
        """Return what was read, after the last batch; log the client's warnings.

        :param count: number of logs, each counted once
        :param first: timestamp of the first log in microseconds since the epoch, UTC; None without logs
        :param last: timestamp of the last log, same unit
        :raises AirflowFailException: the history starts too late, with ``require_history``
        :raises AirflowSkipException: there are no logs, with ``skip_if_empty``
        """
        for warning in self.report.warnings:
            self.log.warning("%s", warning)
        client = self.hook.get_conn()
        result = ReadResult(
            query=self.query,
            source={"connection_id": self.hook.secoda_conn_id, "base_url": client.base_url},
            started_at=self._started_at,
            count=count,
            first=first,
            last=last,
            max_lag_seconds=None if self._max_lag is None else self._max_lag / 1_000_000,
            report=self.report,
            stats=replace(client.stats),
        )
        window, oldest = self.query.window, self.report.history_from
        if self.require_history and (oldest is None or oldest >= to_instant(window.start)):
            raise AirflowFailException(
                f"`require_history`: the window starts at {format_datetime(window.start)}, but {result.history}. Older "
                "logs may have expired. Read a later window, or set require_history=False to accept what is left"
            )
        if self.skip_if_empty and count == 0:
            raise AirflowSkipException(f"There are no logs in {window}")
        return result


def iso(instant: Instant | None) -> str | None:
    """Format microseconds since the epoch as RFC 3339 text in UTC; None for None."""
    return None if instant is None else format_instant(instant)
