"""Which logs a read of all pages has seen, and when; the proof that it has seen all."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_secoda.client._audit_logs.consistency import find_different_content
from airflow_provider_secoda.client._audit_logs.output import ids_not_unique

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Log, Page
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client._audit_logs.output import WindowReport


class Seen(NamedTuple):
    """When a log was seen.

    :param page: the page that showed it last
    :param first: the step in which it was seen for the first time, and ``last`` the one in which it was seen last
    """

    at: Instant
    page: int
    first: int
    last: int


class SeenLogs:
    """When each log was seen, and the logs of the window.

    Time is counted in *steps*. No request is in flight when a step ends, so every answer of a step is older than every
    request of the next one.

    :param report: where logs are recorded that a page shows twice
    """

    def __init__(self, start: Instant, end: Instant, report: WindowReport) -> None:
        self.start, self.end = start, end
        self._report = report
        self.step = 0
        self.logs: dict[str, Seen] = {}
        #: The second and further places of logs that one page shows more than once.
        self._further: dict[tuple[str, int], Seen] = {}
        #: Answers that have a step of their own: the step, and ``count``.
        self._moments: list[tuple[int, int]] = []
        #: A log that was on two pages in the last pass, and the pages.
        self.on_two_pages: tuple[str, int, int] | None = None
        self.window: dict[str, Log] = {}
        self.oldest: Instant | None = None
        self.newest: Instant | None = None
        #: For each pass: the ids and the ``count`` of its pages, as a hash.
        self._passes: list[dict[int, int]] = []

    @property
    def places(self) -> int:
        """How many places in the listing the logs have that were seen."""
        return len(self.logs) + len(self._further)

    def begin_pass(self) -> None:
        """Begin the next step: a pass over all pages."""
        self.step += 1
        self._passes.append({})
        self.on_two_pages = None

    def shows(self, log: Log, since: int) -> bool:
        """Return whether a log was seen in a step or after it."""
        return log.id in self.logs and self.logs[log.id].last >= since

    def add(self, page: Page) -> None:
        """Record the logs of an answer of this step."""
        if different := find_different_content([page]):
            raise ids_not_unique(*different)
        if self._passes:
            self._passes[-1][page.number] = hash((page.ids, page.count))
        for log in page.logs:
            before = self.logs.get(log.id) or Seen(log.at, page.number, self.step, self.step)
            if before.at != log.at:
                # The log may have been missing from the listing in between, but the proof requires that it was not.
                raise ids_not_unique(log, before.at, before.page, page.number)
            if before.page != page.number and before.last == self.step:
                self.on_two_pages = log.id, min(before.page, page.number), max(before.page, page.number)
            self.logs[log.id] = before._replace(page=page.number, last=self.step)
            if self.oldest is None or log.at < self.oldest:
                self.oldest = log.at
            if self.newest is None or log.at > self.newest:
                self.newest = log.at
            if self.in_window(log):
                self.window.setdefault(log.id, log)
        if len(set(page.ids)) < len(page.logs):
            self._add_further_places(page)

    def _add_further_places(self, page: Page) -> None:
        for id_, times in Counter(page.ids).items():
            if times > 1:
                self._report.record_listed_twice(id_, page.number)
            for place in range(1, times):
                before = self._further.get((id_, place)) or self.logs[id_]._replace(first=self.step)
                self._further[id_, place] = before._replace(last=self.step)

    def in_window(self, log: Log) -> bool:
        """Return whether a log is in the window."""
        return self.start <= log.at < self.end

    def add_moment(self, step: int, count: int) -> None:
        """Record an answer for the proof.

        :param step: its step, which has no other answer
        """
        self._moments.append((step, count))

    def is_complete(self) -> bool:
        """Return whether at one of the moments every log of the listing is known."""
        return any(
            sum(1 for seen in chain(self.logs.values(), self._further.values()) if seen.first < step < seen.last)
            == count
            for step, count in self._moments
        )

    def is_unchanged(self) -> bool:
        """Return whether the last three passes returned the same pages: a further one would, too."""
        last = self._passes[-3:]
        return len(last) == 3 and last[0] == last[1] == last[2]  # noqa: PLR2004
