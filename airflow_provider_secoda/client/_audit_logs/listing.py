"""The audit-log listing as the API documents it: pages by number, a filter, a sort.

Page numbers are all there is: no page size, no cursor, no date operator. A :class:`View` is one way to look at the
listing; everything above it speaks of *depth*, the distance from the first page in time, so that one piece of code
reads newest first and oldest first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_secoda.client._api.audit_log_page import Log, Page, TimestampField, read_audit_logs
from airflow_provider_secoda.client._api.flow import Call, Flow, Request, once, several
from airflow_provider_secoda.client._api.timestamps import Instant, format_instant
from airflow_provider_secoda.client.errors import (
    SecodaError,
    SecodaNotFoundError,
    SecodaRequestError,
    SecodaServerError,
)
from airflow_provider_secoda.client.filters import Filter, Sort

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A listing that counts one of these may stand at a cap (10,000 is a sister endpoint's), and is read with that care.
_CAPS = frozenset({1_000, 10_000, 100_000, 1_000_000})
#: Readings of both ends before it is given up to see them twice the same.
_CONFIRMATIONS = 4
#: So many timestamps on a page are not in order by chance.
_TELLING = 5
AUDIT_LOGS_PATH = "/api/v1/activity_log/audit_logs/"


@dataclass(frozen=True)
class View:
    """One way to look at the listing: a filter and an order over a timestamp."""

    field: TimestampField
    filter: Filter | None = None
    sort: Sort | None = None
    #: Whether the order showed; a listing of one page shows none.
    proven: bool = True

    def call(self, number: int) -> Call:
        """Return the call that reads one page."""
        params = []
        if self.filter is not None:
            params.append(("filter", self.filter.text))
        if self.sort is not None:
            params.append(("sort", self.sort.text))
        params.append(("page", str(number)))
        return Call(
            Request(AUDIT_LOGS_PATH, tuple(params)),
            partial(read_audit_logs, number=number, field=self.field),
        )

    def flipped(self) -> View:
        """Return the same listing from its other end."""
        if self.sort is None:
            return self
        other: Literal["asc", "desc"] = "asc" if self.sort.order == "desc" else "desc"
        return replace(self, sort=replace(self.sort, order=other))

    def position(self, at: Instant) -> int:
        """Return how deep in the listing a moment lies: growing from the first page to the last."""
        return at if self.sort is not None and self.sort.order == "asc" else -at

    def span(self, start: Instant, end: Instant) -> tuple[int, int]:
        """Return the half-open range of depths that the half-open window covers."""
        if self.position(1) > 0:
            return start, end
        return 1 - end, 1 - start

    def ordered(self, logs: Sequence[Log]) -> bool:
        """Return whether the logs come in this view's order."""
        depths = [self.position(log.at) for log in logs]
        return depths == sorted(depths)


@dataclass(frozen=True)
class Piece:
    """Neighbouring pages that were shown to fit together, and as what the listing counted itself then."""

    #: In which order the pages were asked for: ``desc``, ``asc``, or None without a sort.
    sort: Literal["asc", "desc"] | None
    first_page: int
    last_page: int
    #: The timestamps between which their logs lie.
    oldest: Instant
    newest: Instant
    #: The listing's own ``count`` in the last of the answers.
    count: int


@dataclass
class Report:
    """What a window read did and saw: the material of a summary, and of an auditor's answer."""

    #: Pages that were read, re-reads included.
    pages: int = 0
    #: Logs seen again because the listing moved, and dropped by their id.
    repeats_dropped: int = 0
    #: Reads that were repeated because the listing moved under them.
    rereads: int = 0
    #: How the listing was read: ``newest_first``, ``both_ends``, ``narrowed`` or ``everything``.
    order: str = "newest_first"
    #: The oldest log that the listing holds, and the newest that was seen; None when it holds none.
    history_from: Instant | None = None
    history_to: Instant | None = None
    #: The sort that the server honoured, as it was sent; None when there was none.
    sort: str | None = None
    #: What the result stands on, in the order in which it was read.
    pieces: list[Piece] = field(default_factory=list)
    #: The listing's own ``count`` and ``total_pages``, as first shown.
    count: int = 0
    total_pages: int = 0
    #: Whether ``count`` may stand at a cap, so that what is deleted does not show in it.
    count_may_be_capped: bool = False
    #: What a reader of the result should know, each a sentence.
    warnings: list[str] = field(default_factory=list)

    def note(self, view: View, pages: Sequence[Page]) -> None:
        """Note pages that fit together, in the order of their numbers."""
        moments = [log.at for page in pages for log in page.logs]
        if moments:
            sort = None if view.sort is None else view.sort.order
            bounds = pages[0].number, pages[-1].number, min(moments), max(moments)
            self.pieces.append(Piece(sort, *bounds, max(pages, key=lambda page: page.turn).count))
            self.history_to = max(self.history_to or bounds[3], bounds[3])

    def warn(self, text: str) -> None:
        """Note a sentence once."""
        if text not in self.warnings:
            self.warnings.append(text)


def read_pages(view: View, numbers: Sequence[int], report: Report) -> Flow[list[Page | None]]:
    """Read pages side by side; None stands for a page that the server would not show."""
    outcomes = yield from several([view.call(number) for number in numbers])
    return [settle_outcome(outcome, number, report) for outcome, number in zip(outcomes, numbers, strict=True)]


def settle_outcome(outcome: Any, number: int, report: Report) -> Page | None:
    """Return the page, None for one that is not shown (empty, or refused by its number); raise other errors."""
    if isinstance(outcome, Page):
        report.pages += 1
        return replace(outcome, turn=report.pages) if outcome.logs else None
    if isinstance(outcome, SecodaNotFoundError | SecodaRequestError) and number > 1:
        return None
    error: SecodaError = outcome
    raise error


@dataclass(frozen=True)
class OpenedListing:
    """The first page from both ends; ``view`` is None when no order could be had."""

    view: View | None
    newest: Page
    oldest: Page | None
    reason: str = ""


def open_listing(timestamp_field: TimestampField, filter_: Filter | None, report: Report) -> Flow[OpenedListing]:
    """Find an order that the server honours, and show it: page 1 newest first *and* oldest first.

    Only the pair tells an honoured sort from one that is ignored, and it shows where history begins. A
    ``tie_breaker`` is tried first and given up when the server refuses or mishandles it.
    """
    reason = ""
    for tie_breaker in (True, False):
        view = View(timestamp_field, filter_, Sort(timestamp_field, "desc", tie_breaker))
        newest, oldest = yield from several([view.call(1), view.flipped().call(1)])
        refused = next((o for o in (newest, oldest) if isinstance(o, SecodaRequestError | SecodaServerError)), None)
        if refused is not None:
            reason = f"the server refuses to sort by {timestamp_field} ({refused})"
            continue
        for outcome in (newest, oldest):
            if isinstance(outcome, SecodaError):
                raise outcome
            report.pages += 1
        report.count, report.total_pages = newest.count, newest.total_pages
        report.count_may_be_capped = newest.count in _CAPS
        if newest.total_pages <= 1 and oldest.total_pages <= 1 and set(newest.ids) == set(oldest.ids):
            # One answer holds everything: its order is of no consequence, for as long as that is so.
            return OpenedListing(replace(view, proven=False), newest, oldest)
        if not view.ordered(newest.logs) or not view.flipped().ordered(oldest.logs):
            reason = f"the server does not sort by {timestamp_field}"
        elif short := next((p for p in (newest, oldest) if p.total_pages <= 1 and len(p.logs) < p.count), None):
            reason = f"its only page holds {len(short.logs)} logs, but {short.count} are counted"
        elif min(newest.total_pages, oldest.total_pages) > 1 and len(newest.logs) != len(oldest.logs):
            reason = f"its first page holds {len(newest.logs)} logs from one end and {len(oldest.logs)} from the other"
        elif not _opposite(newest, oldest) or not (yield from _confirmed(view, newest, oldest, report)):
            reason = f"the server shows the same logs first whichever way it is asked to sort by {timestamp_field}"
        else:
            return OpenedListing(view, newest, oldest)
    first = yield from once(View(timestamp_field, filter_).call(1))
    report.pages += 1
    report.count, report.total_pages = first.count, first.total_pages
    report.count_may_be_capped = first.count in _CAPS
    return OpenedListing(None, first, None, reason)


def _opposite(newest: Page, oldest: Page) -> bool:
    """Return whether two first pages of a listing of several pages can be its two ends."""
    if not newest.logs or not oldest.logs:
        return False  # an empty first page shows no order
    if newest.logs[0].at <= oldest.logs[0].at:
        return False
    far_apart = min(newest.count, oldest.count) >= len(newest.logs) + len(oldest.logs)
    return not far_apart or not set(newest.ids) & set(oldest.ids)


def _confirmed(view: View, newest: Page, oldest: Page, report: Report) -> Flow[bool]:
    """Return whether two first pages are the two ends of one listing.

    A page of one timestamp alone shows no order, few may be in order by chance, and two pages differ as well when a
    listing in any order moved between the two answers. Then both are read again until they are as they were: what
    moved on does not come back.
    """
    pair = [newest, oldest]
    if all(len({log.at for log in page.logs}) >= _TELLING for page in pair):
        return True
    for _ in range(_CONFIRMATIONS):
        outcomes = yield from several([view.call(1), view.flipped().call(1)])
        for outcome in outcomes:
            if isinstance(outcome, SecodaError):
                raise outcome
        again: list[Page] = outcomes
        report.pages += len(again)
        before, after = ([(page.count, *(log.at for log in page.logs)) for page in both] for both in (pair, again))
        if before == after:  # the ids may differ: a server may shuffle logs of one timestamp with each answer
            return True
        if not _opposite(*again) or any(len(a.logs) != len(b.logs) for a, b in zip(pair, again, strict=True)):
            return False
        pair = again
    return False


def describe_span(start: Instant, end: Instant) -> str:
    """Return a window as people write it."""
    return f"[{format_instant(start)}, {format_instant(end)})"
