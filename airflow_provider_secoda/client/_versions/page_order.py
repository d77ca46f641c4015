"""In which order the pages of a resource's logs come: learned from what they show, as it is not documented.

What matters is where an entry may stand, so only the bands of time that pages cover are compared, not the places
within a page. The server may sort by any of an entry's three times, and growing versions tell these apart only
sometimes: every time under which the pages are in order is kept, and believed only as long as it is not contradicted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import comb
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.client._api.timestamps import Instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_secoda.client._api.resource_log_page import VersionPage

#: Of pages in no order fewer than one in so many look ordered.
MIN_ODDS = 10_000
KEYS = ("created", "latest", "updated")


@dataclass(frozen=True)
class PageOrder:
    """What earlier polls learned of a resource's logs: a value that can be kept anywhere JSON can.

    :param pages: how many pages there were
    :param count: what the listing counted, whatever that means
    :param newest: for each of an entry's times by which the pages may be sorted, the newest that was seen; empty when
        no order is known
    :param newest_first: whether the newest entries are on the first page, or on the last
    :param with_logs: whether logs of no version lie in the same order, so that they are witnesses, too
    :param turn: the next page to look at in passing
    :param floor: from which moment of creation on entries are new
    :param digest: of the newest end when it brought nothing; the same bytes need no second reading
    """

    pages: int
    count: int
    newest: Mapping[str, Instant]
    newest_first: bool = True
    with_logs: bool = False
    turn: int = 0
    floor: Instant | None = None
    digest: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"newest": dict(self.newest)}

    @classmethod
    def from_json(cls, value: Any) -> PageOrder | None:
        """Return what was kept, or None for anything else: then it is learned anew."""
        try:
            kept = cls(**value)
            newest = {name: int(kept.newest[name]) for name in KEYS if name in kept.newest}
            return cls(
                int(kept.pages),
                int(kept.count),
                newest,
                bool(kept.newest_first),
                bool(kept.with_logs),
                int(kept.turn),
                None if kept.floor is None else int(kept.floor),
                str(kept.digest),
            )
        except (TypeError, ValueError, LookupError):
            return None

    def fits(self, page: VersionPage) -> PageOrder | None:
        """Return what still holds after a look at the newest end of the pages; None when it has to be learned anew.

        Under every time by which the server may sort, the newest end is as new as before, or newer. Otherwise the order
        was none, or the newest was deleted. When the listing counts otherwise than before, something newer must be
        there to explain it.
        """
        newest: dict[str, Instant] = {}
        for key, before in self.newest.items():
            times = [at for at in times_of(page, key, with_logs=self.with_logs) if at is not None]
            newest[key] = max(times, default=before - 1)
            if newest[key] < before:
                return None
        if (page.count, page.total_pages) != (self.count, self.pages) and newest == self.newest:
            return None
        return replace(self, pages=page.total_pages, count=page.count, newest=newest)

    def reaches(self, page: VersionPage, moment: Instant) -> bool:
        """Return whether a page shows something older than a moment, so that what is deeper is older still."""
        columns = [times_of(page, key, with_logs=self.with_logs) for key in self.newest]
        return any(all(at is not None and at < moment for at in row) for row in zip(*columns, strict=True))


def times_of(page: VersionPage, key: str, *, with_logs: bool) -> list[Instant | None]:
    """Return one of the times of everything on a page."""
    return [getattr(version, key) for version in page.versions] + (list(page.logged) if with_logs else [])


def learn(pages: Sequence[VersionPage], floor: Instant | None) -> PageOrder:
    """Return what all pages of a listing, read in one instant, show of its order."""
    last = pages[-1]
    if len(pages) == 1:
        return PageOrder(last.total_pages, last.count, {}, floor=floor)  # a page alone shows no order of pages
    for with_logs in (True, False):
        for newest_first in (True, False):
            odds, newest = {}, {}
            for key in KEYS:
                bands = [times_of(page, key, with_logs=with_logs) for page in pages]
                odds[key] = _odds(bands if newest_first else bands[::-1])
                if odds[key] > 1:
                    newest[key] = max(at for band in bands for at in band if at is not None)
            # One that shows the order is enough; the server may sort by any that does not contradict it.
            if max(odds.values()) >= MIN_ODDS:
                return PageOrder(last.total_pages, last.count, newest, newest_first, with_logs, floor=floor)
    return PageOrder(last.total_pages, last.count, {}, floor=floor)


def _odds(bands: Sequence[Sequence[Instant | None]]) -> int:
    """Return in how many ways these times could lie on these pages, if they fall from one to the next; 0 if not."""
    known = [[at for at in band if at is not None] for band in bands]
    if any(len(band) < len(times) for band, times in zip(known, bands, strict=True)):
        return 0
    filled = [band for band in known if band]
    if any(min(newer) < max(older) for newer, older in pairwise(filled)):
        return 0
    odds, total, seen = 1, 0, set[Instant]()
    for band in filled:
        fresh = len(set(band) - seen)
        seen |= set(band)
        total += fresh
        odds *= comb(total, fresh)
    return odds
