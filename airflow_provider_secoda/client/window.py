"""
Read a half-open time window out of a page-numbered listing: every log that it shows, each once, or an error.

How: sort newest first and check that the order holds; find the window by galloping and bisecting; read it in
stretches of pages that are shown to fit together (:mod:`.snapshot`); keep a witness on both sides. Between two
stretches only a moment is carried over: "all newer logs are out", so that whatever moved meanwhile does no harm. Where
the listing ends before the window does, its other end tells a young workspace from a cut listing, and is the way to
what lies behind the cut. Where no order can be had, everything is read (:mod:`.everything`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from airflow_provider_secoda.client.errors import SecodaIncompleteError
from airflow_provider_secoda.client.everything import read_everything
from airflow_provider_secoda.client.filters import Filter, all_of
from airflow_provider_secoda.client.listing import Opened, Report, View, describe_span, open_listing
from airflow_provider_secoda.client.messages import Emit, Flow, once
from airflow_provider_secoda.client.schema import Instant, Log, Page, TimestampField, format_instant
from airflow_provider_secoda.client.search import find_first
from airflow_provider_secoda.client.snapshot import OrderError, Snapshot, take, take_pair

FIRST_WIDTH, MAX_WIDTH = 32, 128
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
class _Out:
    """The way out: passes logs on as :class:`Emit`, and remembers which, should everything be read again."""

    count: int = 0
    _digests: bytearray = field(default_factory=bytearray)

    def emit(self, logs: Iterable[Log]) -> Flow[None]:
        batch = list(logs)
        if batch:
            self.count += len(batch)
            for log in batch:
                self._digests += _digest(log)
            yield Emit(batch)

    def emit_new(self, logs: Iterable[Log], report: Report) -> Flow[None]:
        known = {bytes(self._digests[i : i + 16]) for i in range(0, len(self._digests), 16)}
        batch = list(logs)
        fresh = [log for log in batch if _digest(log) not in known]
        report.repeats_dropped += len(batch) - len(fresh)
        yield from self.emit(fresh)


def _digest(log: Log) -> bytes:
    return blake2b(log.id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True)
class _Side:
    """How far reading from one end got: to the window's far edge, or to the end of what is shown."""

    #: The depth above which everything is out.
    low: int
    complete: bool = False
    last: Page | None = None
    #: The logs of the oldest timestamp shown, whose tie may go on behind a cut; those below ``low`` are not out yet.
    tail: tuple[Log, ...] = ()
    size: int = 0


def read_window(query: WindowQuery, report: Report) -> Flow[None]:
    """
    Emit lists of logs until the window is complete.

    :raises SecodaIncompleteError: when it cannot be proven that nothing is missing
    """
    out = _Out()
    opened = yield from open_listing(query.field, query.filter, report)
    if opened.view is None:
        yield from _read_unordered(query, opened.reason, out, report)
        return
    try:
        yield from _read_ordered(query, opened.view, opened, out, report)
    except OrderError as exc:
        yield from _read_unordered(query, str(exc), out, report)


def _read_unordered(query: WindowQuery, reason: str, out: _Out, report: Report) -> Flow[None]:
    report.order = "everything"
    report.warn(f"the listing's order cannot be relied on ({reason}): all {report.total_pages} pages are read")
    logs = yield from read_everything(
        View(query.field, query.filter),
        query.start,
        query.end,
        concurrency=query.concurrency,
        report=report,
    )
    yield from out.emit_new(sorted(logs, key=lambda log: (-log.at, log.id)), report)
    yield from _say_history(query, report, None)


def _read_ordered(query: WindowQuery, view: View, opened: Opened, out: _Out, report: Report) -> Flow[None]:
    if opened.oldest is not None and opened.oldest.logs:
        report.history_from = opened.oldest.logs[0].at
    rest, side, reason = query, None, None
    for _ in range(2):  # a log that arrives late at the very end looks like a cut, but once only
        first = opened.newest if side is None else (yield from once(view.call(1)))
        side = yield from _read_side(view, first, rest, out, report)
        reason = None if side.complete else (yield from _conclude(view, side, report))
        if reason is None:
            yield from out.emit(log for log in side.tail if view.depth(log.at) >= side.low)
            break
        rest = replace(rest, end=1 - side.low)
        if rest.start >= rest.end:
            break
    else:
        yield from _read_behind_cut(rest, view, side, reason, out, report)
    yield from _say_history(query, report, view)


def _read_side(view: View, first: Page, query: WindowQuery, out: _Out, report: Report) -> Flow[_Side]:
    """Emit the window's logs from one end of the listing as far as it goes."""
    low, high = view.span(query.start, query.end)
    if not first.logs:
        return _Side(low, last=first)
    page, known = yield from find_first(view, first, low, report)
    stretch = _Stretch(view, query.concurrency, len(first.logs), report, known)
    steps_back = 0
    while True:
        snapshot = yield from stretch.read(page, high)
        if snapshot is None:
            first = yield from once(view.call(1))
            if not first.logs:
                return _Side(low, last=first)
            page, stretch.known = yield from find_first(view, first, low, report)
            continue
        logs = snapshot.logs
        if page > 1 and view.depth(logs[0].at) >= low:
            steps_back += 1
            if steps_back > MAX_STEPS_BACK:
                raise SecodaIncompleteError(f"the listing moves away from page {page} faster than it can be read")
            page, stretch.known = page - 1, {}
            continue
        deepest = view.depth(logs[-1].at)
        edge = min(high, deepest)
        yield from out.emit(log for log in logs if low <= view.depth(log.at) < edge)
        if deepest >= high:
            return _Side(high, complete=True)
        progress, low = edge > low, max(low, edge)
        if snapshot.ended:
            tail = tuple(log for log in logs if view.depth(log.at) == deepest)
            return _Side(low, last=snapshot.pages[-1], tail=tail, size=len(first.logs))
        onward = max(
            (p for p in snapshot.pages if view.depth(p.logs[0].at) < low), key=lambda p: p.number, default=None
        )
        following = page if onward is None else onward.number
        stretch.advance(progress=progress, moved=following > page)
        page, stretch.known = following, {} if onward is None else {following: onward}


@dataclass
class _Stretch:
    """How many pages to read at once: more while the listing is calm, fewer while it moves."""

    view: View
    concurrency: int
    size: int
    report: Report
    known: dict[int, Page]
    width: int = FIRST_WIDTH
    order_errors: int = 0
    stuck: int = 0
    #: How many stretches are still read two pages at a time.
    pairs: int = 0

    def read(self, page: int, until: int) -> Flow[Snapshot | None]:
        while True:
            if self.pairs:
                self.known = {}
                return (yield from take_pair(self.view, page, until, size=self.size, report=self.report))
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
        if self.pairs:
            # A tie as long as two pages needs a longer stretch to show where it ends.
            self.pairs = self.pairs - 1 if progress or moved else 0
        # A tie that fills the whole stretch lets nothing out before a longer one does.
        elif progress or moved:
            self.width = min(self.width * 2, MAX_WIDTH)
        else:
            self.width *= 2
        self.stuck = 0 if progress else self.stuck + 1
        if self.stuck > MAX_STUCK:
            raise SecodaIncompleteError(
                f"{self.stuck} reads in a row brought nothing older: the listing moves as fast as it can be read, or "
                "very many logs have one timestamp"
            )


def _conclude(view: View, side: _Side, report: Report) -> Flow[str | None]:
    """Return why the listing must hold more than it showed, or None when its end is the beginning of history."""
    last = side.last
    if last is None:  # pragma: no cover - a side that is not complete has a last page
        raise TypeError("no last page")
    if not side.tail:
        if last.count == 0:
            return None
        raise SecodaIncompleteError(f"the listing counts {last.count} logs, but shows none")
    shown = (last.number - 1) * side.size + len(last.logs)
    if last.number < last.total_pages:
        return f"page {last.number + 1} of {last.total_pages} is empty or refused"
    beginning: Page = yield from once(view.flipped().call(1))
    report.pages += 1
    if beginning.logs:
        report.history_from = beginning.logs[0].at
    tail = side.tail[-1].at
    ids = {log.id for log in side.tail}
    if any(view.depth(log.at) > view.depth(tail) for log in beginning.logs):
        first = format_instant(beginning.logs[0].at)
        return f"it ends at {format_instant(tail)} after {shown} logs, but asked from its other end begins at {first}"
    if any(log.at == tail and log.id not in ids for log in beginning.logs):
        return f"it ends amid logs of the same time, {format_instant(tail)}"
    if shown != last.count:
        raise SecodaIncompleteError(
            f"the listing counts {last.count} logs, but its {last.number} pages hold {shown}"
        )
    return None


def _read_behind_cut(
    query: WindowQuery, view: View, side: _Side, reason: str | None, out: _Out, report: Report
) -> Flow[None]:
    """Read what lies behind a cut: from the listing's other end, or by date operators that prove themselves."""
    far = view.flipped()
    first = yield from once(far.call(1))
    report.pages += 1
    report.order = "both_ends"
    report.warn(f"the listing is cut: {reason}; the rest is read from its other end")
    other = yield from _read_side(far, first, query, out, report)
    if other.complete:
        return
    gap = replace(query, start=other.low)
    if query.date_operators is None:
        raise SecodaIncompleteError(
            f"the listing is cut ({reason}), and from its other end it shows nothing later than "
            f"{format_instant(gap.start)}: {describe_span(gap.start, gap.end)} of the window cannot be reached. "
            "A filter that matches fewer logs may reach it, or `date_operators` in the connection's extra"
        )
    report.order = "narrowed"
    probe = yield from _probe_window(view, side, report)
    yield from _prove_operators(query, probe, report)
    yield from _read_narrowed(gap, out, report)


def _probe_window(view: View, side: _Side, report: Report) -> Flow[list[Log]]:
    """Return neighbouring logs in the reachable part of the listing, next to the cut."""
    page = 1 if side.last is None else max(1, side.last.number - 1)
    found = yield from take_pair(view, page, 1 << 62, size=side.size, report=report)
    return [] if found is None else list(found.logs)


def _prove_operators(query: WindowQuery, logs: list[Log], report: Report) -> Flow[None]:
    """Check that the operators select exactly what the unfiltered read shows, at both edges."""
    moments = sorted({log.at for log in logs})
    if len(moments) < 3:  # noqa: PLR2004 - one before, one within, one at the end
        raise SecodaIncompleteError("date_operators could not be proven: too few different timestamps to try them on")
    start, end = moments[1], moments[-1]
    expected = {log.id for log in logs if start <= log.at < end}
    found: list[Log] = []
    flow = _read_narrowed(replace(query, start=start, end=end), _Out(), report)
    answer = None
    try:
        while True:
            step = flow.send(answer)  # type: ignore[arg-type]
            if isinstance(step, Emit):
                found += step.value
                answer = None
            else:
                answer = yield step
    except StopIteration:
        pass
    if {log.id for log in found} != expected:
        raise SecodaIncompleteError(
            f"date_operators {dict(query.date_operators or {})} are not to be trusted: over "
            f"{describe_span(start, end)} they gave {len(found)} logs where the listing itself shows {len(expected)}"
        )


def _read_narrowed(query: WindowQuery, out: _Out, report: Report) -> Flow[None]:
    """Read a window as a listing of its own; where that is cut as well, go on below the cut."""
    end = query.end
    while True:
        narrowed = replace(query, end=end, filter=_narrow(query, query.start, end))
        inner = Report()
        opened = yield from open_listing(query.field, narrowed.filter, inner)
        shown = [log for page in (opened.newest, opened.oldest) if page is not None for log in page.logs]
        if opened.view is None or any(not query.start <= log.at < end for log in shown):
            raise SecodaIncompleteError(
                f"date_operators {dict(query.date_operators or {})} do not narrow the listing to "
                f"{describe_span(query.start, end)}"
            )
        side = yield from _read_side(opened.view, opened.newest, narrowed, out, inner)
        reason = None if side.complete else (yield from _conclude(opened.view, side, inner))
        report.pages += inner.pages
        if reason is None:
            yield from out.emit(log for log in side.tail if opened.view.depth(log.at) >= side.low)
            return
        if 1 - side.low >= end:
            raise SecodaIncompleteError(f"even the narrowed listing is cut ({reason}) within one timestamp")
        end = 1 - side.low


def _narrow(query: WindowQuery, start: Instant, end: Instant) -> Filter:
    names = query.date_operators or {}
    edges = [
        {"operator": names["from"], "field": query.field, "value": format_instant(start)},
        {"operator": names["before"], "field": query.field, "value": format_instant(end)},
    ]
    return all_of(*([query.filter] if query.filter else []), *edges)


def _say_history(query: WindowQuery, report: Report, view: View | None) -> Flow[None]:
    """Say when the listing begins after the window does; a filtered one is asked for the workspace's beginning."""
    young = report.history_from is None or report.history_from >= query.start
    if young and query.filter is not None and view is not None:
        whole: Page = yield from once(replace(view, filter=None).flipped().call(1))
        report.pages += 1
        report.history_from = whole.logs[0].at if whole.logs else None
        young = report.history_from is None or report.history_from >= query.start
    if young:
        since = "is empty" if report.history_from is None else f"begins at {format_instant(report.history_from)}"
        report.warn(
            f"the listing {since}, so it cannot show that nothing happened before in "
            f"{describe_span(query.start, query.end)}: the workspace is younger, or older logs have expired"
        )
