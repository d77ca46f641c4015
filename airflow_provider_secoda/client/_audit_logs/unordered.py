"""Read a listing whose order cannot be had: every page, until it is proven that none was missed.

The proof is counting. A log that was seen before a moment and again after it was there at that moment. When the logs
seen on both sides of one answer, together with those on it, are as many as its ``count``, they are the whole listing
of that moment, in whatever order it came and however it moved in between.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.audit_log_page import Log, Page
from airflow_provider_secoda.client._api.flow import Call, Flow, answered, once, several
from airflow_provider_secoda.client._api.timestamps import Instant, format_instant
from airflow_provider_secoda.client._audit_logs.listing import Piece, Report, View, settle_outcome
from airflow_provider_secoda.client.errors import SecodaIncompleteError
from airflow_provider_secoda.client.filters import Sort

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_PASSES = 6
#: A sister endpoint of the vendor's shows at most so many results over all its pages (catalog, API reference).
KNOWN_CAP = 10_000


class _Sightings:
    """In which passes each log was seen, and the window's logs themselves."""

    def __init__(self, start: Instant, end: Instant) -> None:
        self.start, self.end = start, end
        self.first: dict[str, int] = {}
        self.last: dict[str, int] = {}
        self.at: dict[str, Instant] = {}
        self.window: dict[str, Log] = {}
        self.oldest: Instant | None = None
        self.newest: Instant | None = None
        #: Per pass: the answer right after it, as (ids, count).
        self.moments: list[tuple[frozenset[str], int]] = []

    def add(self, page: Page, turn: int) -> None:
        for log in page.logs:
            self.first.setdefault(log.id, turn)
            self.last[log.id] = turn
            if self.at.setdefault(log.id, log.at) != log.at:
                # It may have been away in between, and all the proof stands on is that such logs were not.
                raise SecodaIncompleteError(
                    "the listing showed one id at two timestamps: it is no identity, or a log was changed meanwhile"
                )
            if self.oldest is None or log.at < self.oldest:
                self.oldest = log.at
            if self.newest is None or log.at > self.newest:
                self.newest = log.at
            if self.start <= log.at < self.end:
                self.window.setdefault(log.id, log)

    def proven(self) -> bool:
        """Return whether at one of the moments every log of the listing is known."""
        for turn, (shown, count) in enumerate(self.moments[:-1]):
            both = sum(1 for id_, seen in self.first.items() if seen <= turn < self.last[id_])
            extra = sum(1 for id_ in shown if not self.first[id_] <= turn < self.last[id_])
            if both + extra == count:
                return True
        return False


def read_everything(
    view: View,
    start: Instant,
    end: Instant,
    *,
    concurrency: int,
    report: Report,
    shown: Collection[str] = (),
) -> Flow[list[Log]]:
    """Read all pages at least twice; return the window's logs.

    :param shown: ids that the listing showed before, in another order
    :raises SecodaIncompleteError: when no pass could be proven, or the listing stops at a known cap
    """
    seen, missing = _Sightings(start, end), 0
    for turn in range(MAX_PASSES):
        # Side by side while all is calm; one by one, in which an arrival at the head can only repeat, when it is not.
        width = concurrency if turn < 2 else 1  # noqa: PLR2004
        before, missing = missing, (yield from _one_pass(view, seen, turn, width, report))
        if missing and before:  # once may be a page that expired just then
            raise SecodaIncompleteError(
                f"page {missing} of {report.total_pages} is empty or refused: the listing is cut there"
            )
        first = yield from once(view.call(1))
        report.pages += 1
        seen.add(first, turn)
        seen.moments.append((frozenset(first.ids), first.count))
        if seen.proven():
            break
        report.rereads += turn > 0
    else:
        raise SecodaIncompleteError(
            f"{MAX_PASSES} readings of the whole listing ({first.total_pages} pages, count {first.count}) could not "
            f"be brought to agree: {len(seen.first)} different logs were seen"
        )
    if first.count == KNOWN_CAP:
        raise SecodaIncompleteError(
            f"the listing shows exactly {KNOWN_CAP} logs, a known cap, and cannot be sorted: there may be more"
        )
    if any(id_ not in seen.first for id_ in shown):
        raise SecodaIncompleteError("the listing is cut: sorted it showed logs that it does not show unsorted")
    yield from _look_behind(view, seen, first.count, report)
    report.history_from, report.history_to = seen.oldest, seen.newest
    if seen.oldest is not None and seen.newest is not None:
        report.pieces.append(Piece(None, 1, first.total_pages, seen.oldest, seen.newest, first.count))
    return list(seen.window.values())


def _look_behind(view: View, seen: _Sightings, count: int, report: Report) -> Flow[None]:
    """Ask for both ends, in case the server can sort a little: logs that were not seen tell of a cut.

    Where the count is one at which listings are cut, all pages are asked for in both orders.
    """
    sorts: list[Sort] = [Sort(view.field, "asc"), Sort(view.field, "desc")]
    for sort, number in product(sorts, range(1, report.total_pages + 1 if report.count_may_be_capped else 2)):
        (page,) = yield from several([replace(view, sort=sort).call(number)])
        if not isinstance(page, Page):
            continue  # it refuses to sort: nothing to learn
        report.pages += 1
        if page.count != count:
            # A count that depends on the sort is that of a cut listing; but it may have moved since.
            again = yield from once(view.call(1))
            report.pages += 1
            if again.count != page.count:
                raise SecodaIncompleteError(
                    f"the listing counts {page.count} logs when it is asked to sort by {view.field}, but {again.count} "
                    "when it is not"
                )
        hidden = [
            log for log in page.logs if log.id not in (seen.window if seen.start <= log.at < seen.end else seen.first)
        ]
        if len(hidden) < len(page.logs) and not (report.count_may_be_capped and page.count <= report.count):
            # Beside logs that were seen, newer ones than all of them have only just arrived: they belong to the rest.
            # But for a count that may be that of a cap and did not grow: then they were there all the time.
            seen.window |= {log.id: log for log in hidden if seen.start <= log.at < seen.end}
            hidden = [log for log in hidden if log.at <= (seen.newest or 0)]
        if hidden:
            raise SecodaIncompleteError(
                f"the listing is cut: asked to sort by {view.field} it shows logs that its {report.total_pages} "
                f"pages do not hold, such as one of {format_instant(hidden[0].at)}"
            )


def _one_pass(view: View, seen: _Sightings, turn: int, width: int, report: Report) -> Flow[int]:
    """Read pages 1 to the last, so many side by side; return the first page that was not shown, or 0."""
    total, following, missing = 1, 1, 0
    enough = 2 * report.total_pages + 16
    asked: dict[Call, int] = {}
    while following <= total or asked:
        start: dict[Call, int] = {}
        while following <= total and len(asked) + len(start) < width:
            start[view.call(following)] = following
            following += 1
        asked.update(start)
        call, outcome = answered((yield list(start)))
        number = asked.pop(call, None)
        if number is None:
            continue  # asked by somebody who gave up on it
        page = settle_outcome(outcome, number, report)
        if page is None:
            if isinstance(outcome, Page) and outcome.count == 0:
                continue
            missing = min(missing or number, number)
        else:
            total = page.total_pages
            seen.add(page, turn)
        if following > enough:
            raise SecodaIncompleteError("the listing grows faster than it can be read")
    return missing if missing <= total else 0
