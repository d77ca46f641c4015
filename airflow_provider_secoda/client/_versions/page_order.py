"""Detect in which order the pages of a resource's logs come, as the API does not document it.

Only which page an entry can be on matters. So the ranges of time that the pages cover are compared, and not the
positions within a page. The server may sort by any of an entry's three times, and the three differ only where versions
were extended. So every time by which the pages are in order is kept, and used until a page contradicts it.
"""

from __future__ import annotations

from itertools import pairwise
from math import comb
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from msgspec import Struct, ValidationError, convert, structs

from airflow_provider_secoda.client._api.timestamps import Instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_secoda.client._api.resource_log_page import VersionPage

#: The pages count as ordered when at most one in this many random distributions over the pages would be in order.
MIN_ODDS = 10_000
#: The times by which the server may sort: attributes of :class:`~.resource_log_page.Version`.
SortKey: TypeAlias = Literal["created", "latest", "updated"]
SORT_KEYS: tuple[SortKey, ...] = get_args(SortKey)


class PageOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """What earlier polls found out about the pages of a resource's logs: a value that can be stored as JSON.

    Empty ``newest_times`` means that no order is known.

    :param total_pages: number of pages
    :param count: the listing's ``count``; what it counts is not documented
    :param newest_times: for each time by which the pages may be sorted, the newest one seen
    :param newest_first: whether the newest entries are on the first page, otherwise they are on the last page
    :param logs_in_order: whether logs without a version are in the same order, so that their times can be used too
    :param shown_by_versions: whether the versions show the order without these logs; otherwise they may be elsewhere
    :param last_old_page: the last page that was polled for what the page with the newest entries may not show
    :param new_since: entries created at or after this instant are new
    :param body_digest: digest of the newest page when it had no new entries; the same bytes are not evaluated again
    """

    total_pages: int
    count: int
    newest_times: dict[SortKey, Instant]
    newest_first: bool = True
    logs_in_order: bool = False
    shown_by_versions: bool = False
    last_old_page: int = 0
    new_since: Instant | None = None
    body_digest: str = ""

    @classmethod
    def from_json(cls, value: Any) -> PageOrder | None:
        """Return what ``msgspec.to_builtins`` returned, or None for anything else: the order is then detected again."""
        try:
            return convert(value, cls)
        except ValidationError:
            return None

    def updated(self, newest_page: VersionPage) -> PageOrder | None:
        """Return the order after the page with the newest entries was read; None when that page contradicts it.

        By every time by which the server may sort, the newest entry is as new as before, or newer. Otherwise there was
        no order, or the newest entry was deleted. When ``count`` or the number of pages changed, there must be a newer
        entry that explains it.
        """
        newest_times: dict[SortKey, Instant] = {}
        for key, before in self.newest_times.items():
            times = [at for at in times_of(newest_page, key, with_logs=self.logs_in_order) if at is not None]
            newest_times[key] = max(times, default=before - 1)
            if newest_times[key] < before:
                return None
        changed = (newest_page.count, newest_page.total_pages) != (self.count, self.total_pages)
        if changed and newest_times == self.newest_times:
            return None
        return structs.replace(
            self, total_pages=newest_page.total_pages, count=newest_page.count, newest_times=newest_times
        )

    def has_older(self, page: VersionPage, instant: Instant) -> bool:
        """Return whether a page has an entry older than an instant; entries on the pages after it are older still."""
        columns = [times_of(page, key, with_logs=self.logs_in_order) for key in self.newest_times]
        return any(all(at is not None and at < instant for at in row) for row in zip(*columns, strict=True))


def times_of(page: VersionPage, key: str, *, with_logs: bool) -> list[Instant | None]:
    """Return one of the times of every entry on a page."""
    return [getattr(version, key) for version in page.versions] + (list(page.logged) if with_logs else [])


def detect_order(pages: Sequence[VersionPage], new_since: Instant | None) -> PageOrder:
    """Return the order that all pages of a listing show, which were read at one instant. One page shows none."""
    last = pages[-1]
    for with_logs in (True, False):
        for newest_first in (True, False):
            newest_times = _newest_times(pages if newest_first else pages[::-1], with_logs=with_logs)
            if newest_times:
                by_versions = with_logs and _newest_times(pages if newest_first else pages[::-1], with_logs=False)
                return PageOrder(
                    last.total_pages,
                    last.count,
                    newest_times,
                    newest_first=newest_first,
                    logs_in_order=with_logs,
                    shown_by_versions=bool(by_versions) or not with_logs,
                    new_since=new_since,
                )
    return PageOrder(last.total_pages, last.count, {}, new_since=new_since)


def _newest_times(pages: Sequence[VersionPage], *, with_logs: bool) -> dict[SortKey, Instant]:
    """Return the newest of each time by which pages may be sorted, newest first; nothing if they show no order.

    One time that shows the order is enough; the server may sort by any time that does not contradict it.
    """
    odds: dict[SortKey, int] = {}
    newest_times: dict[SortKey, Instant] = {}
    for key in SORT_KEYS:
        times = [times_of(page, key, with_logs=with_logs) for page in pages]
        odds[key] = _odds(times)
        if odds[key] > 1:
            newest_times[key] = max(at for of_page in times for at in of_page if at is not None)
    return newest_times if max(odds.values()) >= MIN_ODDS else {}


def _odds(pages: Sequence[Sequence[Instant | None]]) -> int:
    """Return in how many ways these times could be distributed over these pages; 0 if the pages are not in order.

    :param pages: the times on each page; in order means that no page has a time newer than one on the page before it
    """
    known = [[at for at in times if at is not None] for times in pages]
    if any(len(at) < len(times) for at, times in zip(known, pages, strict=True)):
        return 0
    filled = [times for times in known if times]
    if any(min(newer) < max(older) for newer, older in pairwise(filled)):
        return 0
    odds, total, seen = 1, 0, set[Instant]()
    for times in filled:
        fresh = len(set(times) - seen)
        seen |= set(times)
        total += fresh
        odds *= comb(total, fresh)
    return odds
