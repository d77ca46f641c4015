"""Read a window from one end of a listing, in stretches of pages that fit together.

Between two stretches only a moment is carried over: "all that lies before it is out". So whatever moved meanwhile does
no harm, and each stretch brings its own witness: a log from before that moment.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.flow import Emit, Flow, once
from airflow_provider_secoda.client._audit_logs.consistency import OrderError, Snapshot
from airflow_provider_secoda.client._audit_logs.page_pairs import read_page_pair
from airflow_provider_secoda.client._audit_logs.search import find_first
from airflow_provider_secoda.client._audit_logs.snapshot import take
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_secoda.client._api.audit_log_page import Log, Page, TimestampField
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client._audit_logs.listing import Report, View
    from airflow_provider_secoda.client.filters import Filter

#: How many pages a stretch has at most, which is where it begins, and how many bytes of logs it may hold.
MAX_WIDTH, MAX_BYTES = 64, 8 << 20
#: How many logs are passed on at once.
BATCH = 1000
#: Stretches of two pages, once the listing moved too fast for longer ones, before these are tried again.
PAIRS = 8
#: Steps back to a page before the window, should the listing move the other way.
MAX_STEPS_BACK = 100
#: Reads in a row that bring nothing older.
MAX_STUCK = 12


@dataclass(frozen=True)
class WindowQuery:
    """A window to read: half-open ``[start, end)`` over one of the timestamps."""

    start: Instant
    end: Instant
    field: TimestampField = "logged_at"
    filter: Filter | None = None
    concurrency: int = 4
    #: Undocumented filter operators that people have found to work: ``{"from": "gte", "before": "lt"}``.
    date_operators: Mapping[str, str] | None = None


@dataclass
class EmittedLogs:
    """The way out: passes logs on as :class:`Emit`, and remembers which, should everything be read again."""

    count: int = 0
    #: By their first byte, as all of them at once would take much room to compare.
    _digests: defaultdict[int, bytearray] = field(default_factory=lambda: defaultdict(bytearray))

    def emit(self, logs: Iterable[Log]) -> Flow[None]:
        """Pass logs on, a few at a time, as each batch may live on with its reader while the next page is read."""
        rest = iter(logs)
        while batch := list(islice(rest, BATCH)):
            self.count += len(batch)
            for digest in map(_digest, batch):
                self._digests[digest[0]] += digest
            yield Emit(batch)

    def emit_new(self, logs: Iterable[Log], report: Report) -> Flow[None]:
        """Pass on those logs that were not passed on before."""
        known = set().union(*map(_split, self._digests.values()))
        batch = list(logs)
        fresh = [log for log in batch if _digest(log) not in known]
        report.repeats_dropped += len(batch) - len(fresh)
        yield from self.emit(fresh)

    def check_once(self) -> None:
        """Check that no id was passed on twice.

        :raises SecodaIncompleteError: when one was, as a log of each of two timestamps
        """
        if any(len(set(digests)) < len(digests) for digests in map(_split, self._digests.values())):
            raise SecodaIncompleteError(
                "the listing showed one id at two timestamps: it is no identity, or a log was changed while it was read"
            )


def _split(digests: bytearray) -> list[bytes]:
    return [bytes(digests[i : i + 16]) for i in range(0, len(digests), 16)]


def _digest(log: Log) -> bytes:
    return blake2b(log.id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True)
class DirectionResult:
    """How far reading from one end got: to the window's far edge, or to the end of what is shown."""

    #: The depth above which everything is out.
    low: int
    complete: bool = False
    last: Page | None = None
    #: The logs of the oldest timestamp shown, whose tie may go on behind a cut; those below ``low`` are not out yet.
    tail: tuple[Log, ...] = ()
    size: int = 0


def read_in_direction(
    view: View, first: Page, query: WindowQuery, out: EmittedLogs, report: Report
) -> Flow[DirectionResult]:
    """Emit the window's logs from one end of the listing as far as it goes."""
    low, high = view.span(query.start, query.end)
    if not first.logs:
        return DirectionResult(low, last=first)
    far = None if report.history_from is None or view.position(1) > 0 else view.position(report.history_from)
    page, known = yield from find_first(view, first, low, report, far)
    weight = sum(len(log.raw) for log in first.logs)
    widest = max(2, min(MAX_WIDTH, MAX_BYTES // weight))
    stretch = PageRange(view, query.concurrency, len(first.logs), report, known, widest, widest)
    del known
    steps_back = 0
    while True:
        snapshot = yield from stretch.read(page, high)
        if snapshot is None:
            first = yield from once(view.call(1))
            if not first.logs:
                return DirectionResult(low, last=first)
            page, stretch.known = yield from find_first(view, first, low, report)
            continue
        logs = snapshot.logs
        if page > 1 and view.position(logs[0].at) >= low:
            steps_back += 1
            if steps_back > MAX_STEPS_BACK:
                raise SecodaIncompleteError(f"the listing moves away from page {page} faster than it can be read")
            page, stretch.known = page - 1, {}
            continue
        deepest = view.position(logs[-1].at)
        edge = min(high, deepest)
        report.note(view, snapshot.pages)
        yield from out.emit(log for log in logs if low <= view.position(log.at) < edge)
        if deepest >= high:
            return DirectionResult(high, complete=True)
        progress, low = edge > low, max(low, edge)
        if snapshot.ended:
            tail = tuple(log for log in logs if view.position(log.at) == deepest)
            return DirectionResult(low, last=snapshot.pages[-1], tail=tail, size=len(first.logs))
        onward = max(
            (p for p in snapshot.pages if view.position(p.logs[0].at) < low),
            key=lambda p: p.number,
            default=None,
        )
        following = page if onward is None else onward.number
        stretch.advance(progress=progress, moved=following > page)
        page, stretch.known = following, {} if onward is None else {following: onward}
        del snapshot, logs, onward  # or two stretches would be held at once


@dataclass
class PageRange:
    """How many pages to read at once: more while the listing is calm, fewer while it moves."""

    view: View
    concurrency: int
    size: int
    report: Report
    known: dict[int, Page]
    widest: int
    width: int
    order_errors: int = 0
    stuck: int = 0
    #: How many stretches are still read two pages at a time.
    pairs: int = 0

    def read(self, page: int, until: int) -> Flow[Snapshot | None]:
        """Read a stretch from a page on, with as many pages as the listing lets; None when that page is gone."""
        while True:
            if self.pairs:
                self.known = {}
                return (yield from read_page_pair(self.view, page, until, size=self.size, report=self.report))
            try:
                snapshot = yield from take(
                    self.view,
                    page,
                    until,
                    width=self.width,
                    concurrency=self.concurrency,
                    known=self.known,
                    size=self.size,
                    report=self.report,
                )
            except OrderError:
                # Once may be an accident of a page that was cut or of a copy that lagged; twice is the listing.
                self.order_errors += 1
                if self.order_errors > 1:
                    raise
                snapshot = None
            self.known = {}
            if snapshot is not None:
                return snapshot
            if self.width <= 2:  # noqa: PLR2004
                self.pairs = PAIRS
            else:
                self.width = max(2, self.width // 4)

    def advance(self, *, progress: bool, moved: bool) -> None:
        """Take note of what the last stretch brought, and choose the length of the next."""
        if self.pairs:
            # A tie as long as two pages needs a longer stretch to show where it ends.
            self.pairs = self.pairs - 1 if progress or moved else 0
        # A tie that fills the whole stretch lets nothing out before a longer one does.
        elif progress or moved:
            self.width = min(self.width * 2, self.widest)
        else:
            self.width *= 2
        self.stuck = 0 if progress else self.stuck + 1
        if self.stuck > MAX_STUCK:
            raise SecodaIncompleteError(
                f"{self.stuck} reads in a row brought nothing older: the listing moves as fast as it can be read, or "
                "very many logs have one timestamp"
            )
