"""Read the logs of a window, and keep what was observed: pages, requests, the largest lag."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
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


@dataclass(repr=False)
class WindowRead:
    """One read of a window: first what to read, and after :meth:`finish` also what was read.

    :param filter: Secoda's filter grammar as plain data; None for all logs
    :param log: the logger of the task
    :ivar report: what the client observed
    :ivar started_at: when the read started, UTC
    :ivar count: number of logs, each counted once
    :ivar first: timestamp of the first log; None without logs; likewise ``last``
    :ivar max_lag: the largest ``created_at - logged_at`` in microseconds; None without logs that have both
    """

    hook: SecodaHook
    window: Window
    timestamp_field: TimestampField
    filter: Mapping[str, Any] | None
    concurrency: int
    require_history: bool
    skip_if_empty: bool
    log: Any
    report: WindowReport = field(default_factory=WindowReport, init=False)
    started_at: datetime = field(init=False)
    count: int = field(default=0, init=False)
    first: Instant | None = field(default=None, init=False)
    last: Instant | None = field(default=None, init=False)
    max_lag: int | None = field(default=None, init=False)

    def batches(self) -> Iterator[list[Log]]:
        """Yield the logs in batches, and log the progress every ten seconds."""
        self.started_at = datetime.now(timezone.utc)
        started = logged = time.monotonic()
        count = 0
        for batch in self.hook.iter_raw_audit_logs(
            self.window.start,
            self.window.end,
            filter=self.filter,
            timestamp_field=self.timestamp_field,
            concurrency=self.concurrency,
            report=self.report,
        ):
            lags = [log.lag for log in batch if log.lag is not None]
            self.max_lag = max(lags if self.max_lag is None else [self.max_lag, *lags], default=None)
            count += len(batch)
            yield batch
            now = time.monotonic()
            if now - logged >= _PROGRESS_SECONDS:
                logged = now
                self.log.info(
                    "Read %d logs from %d pages so far (the listing has %d pages), %.0f logs per second",
                    count, self.report.pages, self.report.total_pages, count / (now - started),
                )  # fmt: skip

    def finish(self, count: int, first: Instant | None, last: Instant | None) -> None:
        """Record what was read, after the last batch; log the client's warnings.

        :raises AirflowFailException: the history starts too late, with ``require_history``
        :raises AirflowSkipException: there are no logs, with ``skip_if_empty``
        """
        for warning in self.report.warnings:
            self.log.warning("%s", warning)
        self.count, self.first, self.last = count, first, last
        oldest = self.report.history_from
        if self.require_history and (oldest is None or oldest >= to_instant(self.window.start)):
            raise AirflowFailException(
                f"`require_history`: the window starts at {format_datetime(self.window.start)}, but {self.history}. "
                "Older logs may have expired. Read a later window, or set require_history=False to accept what is left"
            )
        if self.skip_if_empty and count == 0:
            raise AirflowSkipException(f"There are no logs in {self.window}")

    @property
    def query(self) -> dict[str, Any]:
        """The query as manifests and lineage events contain it: JSON values."""
        return {**self.window.as_dict(), "timestamp_field": self.timestamp_field, "filter": self.filter}

    @property
    def base_url(self) -> str:
        return self.hook.get_conn().base_url

    @property
    def stats(self) -> RequestStats:
        return self.hook.get_conn().stats

    @property
    def max_lag_seconds(self) -> float | None:
        return None if self.max_lag is None else self.max_lag / 1_000_000

    @property
    def history(self) -> str:
        """The oldest log that the API returns, as text."""
        oldest = iso(self.report.history_from)
        return "the API returns no logs" if oldest is None else f"the oldest log that the API returns is from {oldest}"

    def summary(self) -> dict[str, Any]:
        """Return what the task reports about the read: JSON values."""
        return {
            "count": self.count,
            **self.window.as_dict(),
            "timestamp_field": self.timestamp_field,
            "first_timestamp": iso(self.first),
            "last_timestamp": iso(self.last),
            "pages": self.report.pages,
            "requests": self.stats.requests,
            "duplicates_dropped": self.report.repeats_dropped,
            "max_lag_seconds": self.max_lag_seconds,
            "history_from": iso(self.report.history_from),
        }


def iso(instant: Instant | None) -> str | None:
    """Return an instant as RFC 3339 text in UTC; None for None."""
    return None if instant is None else format_instant(instant)
