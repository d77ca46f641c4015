"""
Read neighbouring pages so that they fit together as if they had been read in one instant.

A listing moves while it is read: logs arrive at its head or late in its middle, old ones expire at its tail, and each
shifts what every later page shows. Pages read side by side are believed only when

1. the first and the last of them, read again after all the others, show the same logs in the same places,
2. no log stands in two of them,
3. their order holds from page to page, and every page but the listing's last is full.

Why this suffices. Let ``s(k)`` be the shift under which page ``k`` was read. Two neighbours with ``s(k) < s(k+1)``
show a log twice, which (2) excludes; so the shifts fall or stay from the first page to the last. By (1) both ends were
read under one shift; so all of them are equal, and nothing fell between two pages. It holds for arrivals and expiries
at once, when ``count`` stays what it was. ``count`` may fall meanwhile (logs expire behind the window; then every page
is read twice); where it grows, copies that disagree have answered, and nothing is believed.

Where the listing moves faster than that, two pages at a time are read in turn: neighbours are proven either by an
overlap (the end of one is the beginning of the next) or by both being the same twice in turn.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_secoda.client.errors import SecodaIncompleteError
from airflow_provider_secoda.client.listing import Report, View, read_pages, settle_outcome
from airflow_provider_secoda.client.messages import Call, Flow, answered
from airflow_provider_secoda.client.schema import Instant, Log, Page, format_instant

#: Reads of two neighbours, and of a tie, before giving up on them.
MAX_PAIR_READS = 24
MAX_TIE_READS = 24


class OrderError(Exception):
    """The listing does not keep the order it was asked for, or its pages are uneven: it must be read whole."""


@dataclass(frozen=True)
class Snapshot:
    """Neighbouring pages that fit together; ``ended`` when the last of them is the end of what is shown."""

    pages: tuple[Page, ...]
    logs: tuple[Log, ...]
    ended: bool = False


def take(
    view: View,
    first: int,
    until: int,
    *,
    width: int,
    concurrency: int,
    known: Mapping[int, Page],
    size: int,
    report: Report,
) -> Flow[Snapshot | None]:
    """
    Read from page ``first`` until a log at depth ``until`` or deeper shows, ``width`` pages or the end.

    :param known: pages that were read before and need no second reading, if they still fit
    :param size: how many logs a full page holds
    :return: None when the listing moved, so that the caller can try again with fewer pages
    :raises OrderError: when the order is not kept although nothing moved
    """
    run = yield from _collect(view, first, until, width, concurrency, known, report)
    if not run:
        return None
    pages = [run[number] for number in sorted(run)]
    if pages[-1].number == 1 and pages[-1].total_pages <= 1:
        # One answer holds the whole listing: whatever its order, nothing can have moved under it.
        return Snapshot((pages[0],), tuple(sorted(pages[0].logs, key=lambda log: view.depth(log.at))), ended=True)
    for page in pages:
        if not view.ordered(page.logs):
            raise OrderError(f"page {page.number} is out of order")
    if len(pages) == 1 and view.depth(pages[0].logs[-1].at) >= until:
        _check_even(pages, size, ended=pages[0].number >= pages[0].total_pages)
        return Snapshot((pages[0],), pages[0].logs)  # one answer is one instant
    beyond = pages[-1].number + 1 if _cut_short(view, pages, until, width) else None
    ends = sorted({pages[0].number, pages[-1].number})
    again = yield from read_pages(view, [*ends, *([beyond] if beyond else [])], report)
    if beyond is not None and again.pop() is not None:
        return None  # the page that was not shown is there now
    fresh = {page.number: page for page in again if page is not None}
    if not _unmoved(run, fresh, ends):
        report.rereads += len(run)
        return None
    answers = (*pages, *fresh.values())
    if not _only_expired(answers):
        report.rereads += len(run)
        return None
    if len({page.count for page in answers}) > 1:
        rest = [page.number for page in pages[1:-1]]
        more = yield from read_pages(view, rest, report)
        report.rereads += len(rest)
        if not _unmoved(run, {page.number: page for page in more if page is not None}, rest):
            return None
    last = fresh[pages[-1].number]
    ended = beyond is not None or last.number >= last.total_pages
    _check_even(pages, size, ended=ended)
    logs = yield from _complete_ties(view, run, until, ended=ended, report=report)
    if logs is None:
        return None
    if not view.ordered(logs):
        raise OrderError(f"pages {pages[0].number} to {pages[-1].number} are out of order")
    return Snapshot((*pages[:-1], last), tuple(logs), ended)


def _collect(
    view: View,
    first: int,
    until: int,
    width: int,
    concurrency: int,
    known: Mapping[int, Page],
    report: Report,
) -> Flow[dict[int, Page]]:
    """Read pages side by side from ``first`` on, reading no further ahead than the logs' density suggests."""
    found = {number: page for number, page in known.items() if first <= number < first + width}
    asked: dict[Call, int] = {}
    hidden: set[int] = set()
    while True:
        stop = min([first + width - 1, *(number - 1 for number in hidden)])
        for number, page in found.items():
            beyond = view.depth(page.logs[-1].at) >= until
            stop = min(stop, number if beyond else max(first, number, page.total_pages))
        wanted = [n for n in range(first, stop + 1) if n not in found]
        if not wanted:
            # What lies beyond the stop was read ahead in vain; what is still under way is not waited for.
            return {n: found[n] for n in range(first, stop + 1)}
        under_way = set(asked.values())
        deepest = max(found, default=first)
        ahead = _ahead(view, found.get(deepest), until, concurrency)
        free = concurrency - len(asked)
        start = [n for n in wanted if n not in under_way and n <= deepest + ahead][: max(0, free)]
        calls = {view.call(number): number for number in start}
        asked.update(calls)
        call, outcome = answered((yield list(calls)))
        number = asked.pop(call, None)
        if number is None:
            continue  # read ahead in vain by an earlier stretch
        page = settle_outcome(outcome, number, report)
        if page is None:
            hidden.add(number)
        else:
            found[number] = page


def _ahead(view: View, page: Page | None, until: int, concurrency: int) -> int:
    """Guess how many pages beyond a page the window goes on, from how much time that page spans."""
    if page is None:
        return 1
    newest, oldest = view.depth(page.logs[0].at), view.depth(page.logs[-1].at)
    if oldest <= newest:
        return concurrency
    return max(1, min(concurrency, -((oldest - until) // (oldest - newest))))


def _cut_short(view: View, pages: Sequence[Page], until: int, width: int) -> bool:
    last = pages[-1]
    reached = view.depth(last.logs[-1].at) >= until or len(pages) >= width
    return not reached and last.number < last.total_pages


def _unmoved(run: Mapping[int, Page], fresh: Mapping[int, Page], numbers: Iterable[int]) -> bool:
    return all(number in fresh and same_place(run[number].logs, fresh[number].logs) for number in numbers)


def _only_expired(pages: Iterable[Page]) -> bool:
    """
    Return whether ``count`` never grew from one answer to the next.

    It falls when logs expire behind the pages that are read, which does no harm. When it falls and grows again, the
    server answers from copies that disagree.
    """
    counts = [page.count for page in sorted(pages, key=lambda page: page.turn)]
    return all(a >= b for a, b in zip(counts, counts[1:], strict=False))


def same_place(before: Sequence[Log], after: Sequence[Log]) -> bool:
    """
    Return whether two reads of a page show the same logs in the same places.

    A server may shuffle logs of equal timestamps from one answer to the next. Then the timestamps must agree place by
    place, and change at least once, so that a shift would show; and so must the ids but within a tie, where a tie at
    the page's edge may show other members of it.
    """
    if [log.id for log in before] == [log.id for log in after]:
        return True
    moments = [log.at for log in before]
    if moments != [log.at for log in after] or moments[0] == moments[-1]:
        return False
    edges = {moments[0], moments[-1]}
    inner = [{(log.at, log.id) for log in logs if log.at not in edges} for logs in (before, after)]
    return inner[0] == inner[1]


def _check_even(pages: Sequence[Page], size: int, *, ended: bool) -> None:
    """Check that every page but the listing's last is full."""
    inner = pages[:-1] if ended and pages[-1].number >= pages[-1].total_pages else pages
    uneven = next((page for page in inner if len(page.logs) != size), None)
    if uneven is not None:
        raise OrderError(f"page {uneven.number} holds {len(uneven.logs)} logs where page 1 holds {size}")


def _complete_ties(
    view: View, run: Mapping[int, Page], until: int, *, ended: bool, report: Report
) -> Flow[list[Log] | None]:
    """
    Return the logs of a run, each once; None when one stands twice for a reason that is no tie.

    Among logs of one timestamp a server without a tie breaker may answer each page in another order, so that one is
    shown twice and another not at all. How many there are is known from their places; the pages that hold them are
    read again until that many are known.
    """
    places = [log for number in sorted(run) for log in run[number].logs]
    seen: dict[str, Log] = {}
    for log in places:
        seen.setdefault(log.id, log)
    report.repeats_dropped += len(places) - len(seen)
    if len(seen) == len(places):
        return places
    slots = Counter(log.at for log in places if view.depth(log.at) < until)
    if min(run) > 1:
        slots.pop(places[0].at, None)
    if not ended:
        slots.pop(places[-1].at, None)
    twice = Counter(log.at for log in places) - Counter(log.at for log in seen.values())
    if not (yield from _shuffled(view, run, twice.keys() - slots.keys(), report)):
        return None
    for _ in range(MAX_TIE_READS):
        members = Counter(log.at for log in seen.values())
        if any(members[at] > slots[at] for at in slots):
            return None
        lacking = {at for at in slots if members[at] < slots[at]}
        if not lacking:
            return sorted(seen.values(), key=lambda log: (view.depth(log.at), log.id))
        numbers = [n for n in run if any(log.at in lacking for log in run[n].logs)]
        report.rereads += len(numbers)
        pages = yield from read_pages(view, numbers, report)
        for number, page in zip(numbers, pages, strict=True):
            if page is None or not same_place(run[number].logs, page.logs):
                return None
            for log in page.logs:
                seen.setdefault(log.id, log)
    raise SecodaIncompleteError(
        f"the listing has {slots[min(lacking)]} places for logs of {format_instant(min(lacking))}, but showed only "
        f"{members[min(lacking)]} different ones in {MAX_TIE_READS} reads: it repeats some and may hide others"
    )


def _shuffled(view: View, run: Mapping[int, Page], ties: Collection[Instant], report: Report) -> Flow[bool]:
    """
    Return whether repeats in ties that may go on beyond the run are the server's shuffling.

    How many belong to such a tie is not known, so the repeat may as well be a sign that the listing moved: it is
    believed only when the pages, read again, show the tie in another order and all else in its place.
    """
    numbers = [n for n in run if any(log.at in ties for log in run[n].logs)]
    report.rereads += len(numbers)
    pages = yield from read_pages(view, numbers, report)
    same = all(page is not None and same_place(run[page.number].logs, page.logs) for page in pages)
    other = any(page is not None and page.ids != run[page.number].ids for page in pages)
    return same and (other or not ties)


def take_pair(view: View, first: int, until: int, *, size: int, report: Report) -> Flow[Snapshot | None]:
    """
    Read a page and its neighbour in turn until two answers in a row are proven to meet.

    This gets through a listing that moves with nearly every request, in either direction.

    :return: the two pages as one; None when page ``first`` is not shown
    :raises SecodaIncompleteError: when the two never settle
    """
    history: deque[Page] = deque(maxlen=8)
    for turn in range(MAX_PAIR_READS):
        # Reading one page twice now and then breaks step with a server that moves at every second request.
        number = first if turn % 2 == 0 or turn % 7 == 6 else first + 1  # noqa: PLR2004
        (page,) = yield from read_pages(view, [number], report)
        if page is None:
            if number == first:
                return None
            history.clear()
            continue
        if not view.ordered(page.logs):
            raise OrderError(f"page {number} is out of order")
        if page.number == first and (first >= page.total_pages or view.depth(page.logs[-1].at) >= until):
            return Snapshot((page,), page.logs, ended=first >= page.total_pages)
        history.append(page)
        met = _meet(list(history))
        if met is not None:
            upper, lower, overlap = met
            ended = lower.number >= lower.total_pages
            logs: Sequence[Log] | None = (*upper.logs, *lower.logs[overlap:])
            if not overlap:
                run = {upper.number: upper, lower.number: lower}
                logs = yield from _complete_ties(view, run, until, ended=ended, report=report)
            if logs is not None and view.ordered(logs):
                report.repeats_dropped += overlap
                _check_even((upper, lower), size, ended=ended)
                return Snapshot((upper, lower), tuple(logs), ended=ended)
        report.rereads += turn > 1
    raise SecodaIncompleteError(
        f"pages {first} and {first + 1} never settled in {MAX_PAIR_READS} reads: the listing moves too fast, or the "
        "server answers from copies that disagree"
    )


def _meet(history: list[Page]) -> tuple[Page, Page, int] | None:
    """Return an upper and a lower page out of the last reads that are proven to meet, and how far they overlap."""
    newest = history[-1]
    for other in reversed(history[:-1]):
        if other.number != newest.number:
            upper, lower = sorted((other, newest), key=lambda page: page.number)
            overlap = _overlap(upper, lower)
            if overlap:
                return upper, lower, overlap
    if [page.number == newest.number for page in history[-4:]] != [False, True, False, True]:
        return None
    first, second, third, _ = history[-4:]
    if (
        same_place(first.logs, third.logs)
        and same_place(second.logs, newest.logs)
        and _only_expired(history[-4:])
    ):
        upper, lower = sorted((third, newest), key=lambda page: page.number)
        return upper, lower, 0
    return None


def _overlap(upper: Page, lower: Page) -> int:
    """
    Return how many logs at the end of the upper page are those at the beginning of the lower one.

    Logs of one timestamp alone are no overlap: a server that shuffles ties shows such without any having moved.
    """
    last = upper.logs[-1].id
    for index, log in enumerate(lower.logs):
        if log.id == last:
            size = index + 1
            meets = upper.ids[-size:] == lower.ids[:size] and lower.logs[0].at != log.at
            return size if meets else 0
    return 0
