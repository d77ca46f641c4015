"""What shows that pages of a listing fit together, or that they do not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.timestamps import Instant, format_instant
from airflow_provider_secoda.client._audit_logs.listing import Report, View, read_pages
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from airflow_provider_secoda.client._api.audit_log_page import Log, Page
    from airflow_provider_secoda.client._api.flow import Flow

#: Reads of a tie before giving up on it.
MAX_TIE_READS = 24


class OrderError(Exception):
    """The listing does not keep the order it was asked for, or its pages are uneven: it must be read whole."""


@dataclass(frozen=True)
class Snapshot:
    """Neighbouring pages that fit together; ``ended`` when the last of them is the end of what is shown."""

    pages: tuple[Page, ...]
    logs: tuple[Log, ...]
    ended: bool = False


def counts_are_monotonic(view: View, pages: Iterable[Page]) -> bool:
    """Return whether ``count`` only ever went one way from one answer to the next, the one that does no harm.

    Newest first it falls when logs expire behind the pages that are read; oldest first it grows when logs arrive there.
    When it also goes the other way, the listing moved above, or the server answers from copies that disagree.
    """
    counts = [page.count for page in sorted(pages, key=lambda page: page.turn)]
    return counts == sorted(counts, reverse=view.position(1) < 0)


def same_place(before: Sequence[Log], after: Sequence[Log]) -> bool:
    """Return whether two reads of a page show the same logs in the same places.

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


def check_order(view: View, pages: Iterable[Page]) -> None:
    """Check that each page is in order, each log once: one answer is one instant, so nothing that moves excuses it."""
    for page in pages:
        if not view.proven and page.total_pages > 1:
            raise OrderError("the listing grew beyond its only page, so that no order ever showed")
        if not view.ordered(page.logs):
            raise OrderError(f"page {page.number} is out of order")
        if len(set(page.ids)) < len(page.logs):
            raise OrderError(f"page {page.number} shows a log twice")


def check_whole(page: Page) -> None:
    """Check that a listing's only page holds as many different logs as the listing counts."""
    if len(set(page.ids)) != page.count or len(page.logs) != page.count:
        raise OrderError(
            f"the only page holds {len(page.logs)} logs, {len(set(page.ids))} of them different, but "
            f"{page.count} are counted"
        )


def check_even(pages: Sequence[Page], size: int, *, ended: bool) -> None:
    """Check that every page but the listing's last is full, and that one is as long as the count says."""
    inner = pages[:-1] if ended and pages[-1].number >= pages[-1].total_pages else pages
    # No page is longer than page 1: if the last one is, then page 1 lacks logs.
    uneven = next((page for page in pages if len(page.logs) > size or (page in inner and len(page.logs) < size)), None)
    if uneven is not None:
        raise OrderError(f"page {uneven.number} holds {len(uneven.logs)} logs where page 1 holds {size}")
    last = pages[-1]
    shown = (last.number - 1) * size + len(last.logs)
    if last.number == last.total_pages and shown != last.count <= last.number * size:
        raise OrderError(f"page {last.number}, the last, brings the logs to {shown}, but {last.count} are counted")


def complete_ties(
    view: View, run: Mapping[int, Page], until: int, *, ended: bool, report: Report
) -> Flow[list[Log] | None]:
    """Return the logs of a run, each once; None when one stands twice for a reason that is no tie.

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
    slots = Counter(log.at for log in places if view.position(log.at) < until)
    if min(run) > 1:
        del slots[places[0].at]
    if not ended:
        del slots[places[-1].at]
    twice = Counter(log.at for log in places) - Counter(log.at for log in seen.values())
    if not (yield from _shuffled(view, run, twice.keys() - slots.keys(), report)):
        return None
    for _ in range(MAX_TIE_READS):
        members = Counter(log.at for log in seen.values())
        lacking = {at for at in slots if members[at] < slots[at]}
        if not lacking:
            # More members than places: some came or went between two reads.
            over = any(members[at] > slots[at] for at in slots)
            return None if over else sorted(seen.values(), key=lambda log: (view.position(log.at), log.id))
        if not (yield from _add_members(view, run, lacking, seen, report)):
            return None
    raise SecodaIncompleteError(
        f"the listing has {slots[min(lacking)]} places for logs of {format_instant(min(lacking))}, but showed only "
        f"{members[min(lacking)]} different ones in {MAX_TIE_READS} reads: it repeats some and may hide others"
    )


def _add_members(
    view: View, run: Mapping[int, Page], ties: Collection[Instant], seen: dict[str, Log], report: Report
) -> Flow[bool]:
    """Read the pages of some ties once more, and add what they show; return whether all else is in its place."""
    numbers = [n for n in run if any(log.at in ties for log in run[n].logs)]
    report.rereads += len(numbers)
    pages = yield from read_pages(view, numbers, report)
    if not _uncounted(run, pages):
        return False
    for page in pages:
        if page is None or not same_place(run[page.number].logs, page.logs):
            return False
        for log in page.logs:
            seen.setdefault(log.id, log)
    return True


def _shuffled(view: View, run: Mapping[int, Page], ties: Collection[Instant], report: Report) -> Flow[bool]:
    """Return whether repeats in ties that may go on beyond the run are the server's shuffling.

    How many belong to such a tie is not known, so the repeat may as well be a sign that the listing moved: it is
    believed only when the pages, read again, show the tie in another order and all else in its place.
    """
    numbers = [n for n in run if any(log.at in ties for log in run[n].logs)]
    report.rereads += len(numbers)
    pages = yield from read_pages(view, numbers, report)
    same = all(page is not None and same_place(run[page.number].logs, page.logs) for page in pages)
    other = any(page is not None and page.ids != run[page.number].ids for page in pages)
    return same and _uncounted(run, pages) and (other or not ties)


def _uncounted(run: Mapping[int, Page], pages: Iterable[Page | None]) -> bool:
    """Return whether nothing that shows in ``count`` came or went: members of a tie would be mixed with former ones."""
    return len({page.count for page in (*run.values(), *pages) if page is not None}) == 1
