"""One reading of a window: the logs, how far it got, and what is to be said about it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_secoda._windows.resolve import Window
    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._audit_logs.listing import Report
    from airflow_provider_secoda.hooks.secoda import SecodaHook
    from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

_PROGRESS_SECONDS = 10.0


@dataclass
class WindowRead:
    """One reading of a window, and what is to be said about it."""

    hook: SecodaHook
    task: SecodaAuditLogsOperator
    window: Window
    report: Report = field(init=False)
    lag: int | None = None
    began: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    def __post_init__(self) -> None:
        from airflow_provider_secoda.client._audit_logs.listing import Report  # noqa: PLC0415

        self.report = Report()

    def batches(self) -> Iterator[list[Log]]:
        """Yield the window's logs, and say now and then how far it got."""
        began = said = time.monotonic()
        count = 0
        for batch in self.hook.iter_raw_audit_logs(
            self.window.start,
            self.window.end,
            filter=self.task.filter,
            timestamp_field=self.task.timestamp_field,
            concurrency=self.task.concurrency,
            report=self.report,
        ):
            self.lag = _largest(self.lag, (log.lag for log in batch))
            count += len(batch)
            yield batch
            now = time.monotonic()
            if now - said >= _PROGRESS_SECONDS:
                said = now
                self.task.log.info(
                    "%d logs so far, %d pages read (the listing has %d), %.0f logs a second",
                    count, self.report.pages, self.report.total_pages, count / (now - began),
                )  # fmt: skip

    @property
    def requests(self) -> int:
        """Return how many requests were sent."""
        return self.hook.get_conn().stats.requests

    @property
    def max_lag_seconds(self) -> float | None:
        """Return the largest time between what a log tells of and its creation, in seconds."""
        return None if self.lag is None else self.lag / 1_000_000

    @property
    def reaches_back(self) -> bool:
        """Return whether the API showed a log from before the window."""
        begins = self.report.history_from
        return begins is not None and _moment(begins) < self.window.start

    @property
    def history(self) -> str:
        """Return in words where the history begins that the API shows."""
        begins = self.report.history_from
        return "the API shows no log at all" if begins is None else f"the oldest log is of {iso(begins)}"

    def summary(self, count: int, first: int | None, last: int | None) -> dict[str, Any]:
        """Return what the task returns, but for the file."""
        return {
            "count": count,
            "start": self.window.start.isoformat(),
            "end": self.window.end.isoformat(),
            "window_rule": self.window.rule,
            "timestamp_field": self.task.timestamp_field,
            "first": iso(first),
            "last": iso(last),
            "pages": self.report.pages,
            "requests": self.requests,
            "repeats_dropped": self.report.repeats_dropped,
            "max_lag_seconds": self.max_lag_seconds,
            "history_from": iso(self.report.history_from),
        }


def _largest(known: int | None, values: Iterable[int | None]) -> int | None:
    return max((value for value in (known, *values) if value is not None), default=None)


def _moment(instant: int) -> datetime:
    return datetime.fromtimestamp(0, timezone.utc) + timedelta(microseconds=instant)


def iso(instant: int | None) -> str | None:
    """Return microseconds since the epoch as ISO 8601 text in UTC."""
    return None if instant is None else _moment(instant).isoformat()
