"""Find the page on which a window begins: interpolate, or split what is left of the page numbers."""

from __future__ import annotations

from math import ceil, floor, log2
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_secoda.client._audit_logs.consistency import UnreliableOrderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_secoda.client._api.audit_log_page import Page
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._audit_logs.listing import Listing

#: How many requests a search may need more than a bisection, and besides the requests that are in flight.
EXTRA_REQUESTS = 5
#: From a known page at most this many times ``concurrency`` pages away, the window is expected where the timestamps of
#: that page suggest it.
_NEAR = 2
#: After this many interpolations in a row that did not halve what was left, the rest is split evenly once.
_POOR = 2


class TurnError(Exception):
    """The rest is better read in the opposite order.

    :param reason: why
    :param pages: the pages that were read
    :param busy: whether logs move in this order although ``count`` does not show it, so they may do so in both
    :param pairs: whether to begin with pairs of pages
    """

    def __init__(self, reason: str, pages: Iterable[Page] = (), *, busy: bool = False, pairs: bool = False) -> None:
        super().__init__(reason)
        self.pages, self.busy, self.pairs = tuple(pages), busy, pairs


def check_direction(listing: Listing, since: int | None, pages: Iterable[Page]) -> None:
    """Check that the changes of the listing do no harm in its order.

    :param since: how many answers had arrived before those that show the changes; None: do not turn
    :param pages: the pages that were read
    :raises TurnError: when the opposite order is better
    """
    if since is not None and listing.moves_harmfully(since):
        raise TurnError("`count` fell" if listing.oldest_first else "`count` grew", pages)


class Landmark(NamedTuple):
    """About where some logs are in the listing.

    :param number: the number of their page
    :param first: the position of the first of them
    :param last: the position of the last of them
    """

    number: int
    first: int
    last: int

    @classmethod
    def of(cls, listing: Listing, page: Page) -> Landmark:
        """Return where the logs of a page are."""
        return cls(page.number, listing.position(page.logs[0].at), listing.position(page.logs[-1].at))

    @classmethod
    def of_opposite(cls, listing: Listing, page: Page) -> Landmark:
        """Return where the logs of a page of the opposite order are."""
        number = max(1, page.total_pages + 1 - page.number)
        return cls(number, listing.position(page.logs[-1].at), listing.position(page.logs[0].at))

    def pages_to(self, position: int) -> float:
        """Estimate how many pages after this one a position is, from the time that this page covers.

        :return: between -1 and 0 for a position on the page before this one, between 0 and 1 for this page
        """
        span = max(1, self.last - self.first)
        if position > self.last:
            return 1 + (position - self.last) / span
        return (position - self.first) / span


def find_first_page(
    listing: Listing,
    first_page: Page,
    start: int,
    *,
    concurrency: int,
    landmarks: Iterable[Landmark] = (),
    since: int | None = None,
) -> Flow[tuple[int, dict[int, Page]]]:
    """Find the page from which to read a window.

    That is the last page known to begin before the window, or page 1: its first log shows that no log of the window
    is on an earlier page. When the listing changes during the search, the result may be wrong by as many logs as
    arrived or expired; the reader of the pages checks the first log again.

    The search needs at most ``log2(total pages) + EXTRA_REQUESTS + concurrency`` requests, however uneven the history
    is.

    :param start: the position at which the window begins
    :param concurrency: how many requests may be in flight
    :param landmarks: where some logs are
    :param since: how many answers had arrived before those that show how the listing moves; None: do not turn
    :return: the page number, and the pages that were read, by number
    :raises TurnError: when the opposite order is better
    :raises UnreliableOrderError: when a page has more logs than page 1, so page 1 lacks logs
    """
    known = {1: first_page}
    if _reaches(listing, first_page, start) or first_page.total_pages <= 1:
        return 1, known
    search = _Search(listing, first_page, start, concurrency, landmarks)
    while not search.found:
        check_direction(listing, since, known.values())
        numbers = search.next_pages()
        pages = yield from listing.read_pages(numbers)
        known |= {page.number: page for page in pages if page is not None}
        if since is not None and any(page is None for page in pages):
            raise TurnError("a page is not shown", known.values())
        search.narrow(dict(zip(numbers, pages, strict=True)))
    if since is not None and search.after > first_page.total_pages:
        raise TurnError("the listing is truncated before the window", known.values())
    return search.first_page, known


class _Search:
    """Which pages to read next: the window begins after page ``before``, and before or on page ``after``."""

    def __init__(
        self, listing: Listing, first_page: Page, start: int, concurrency: int, landmarks: Iterable[Landmark]
    ) -> None:
        self._listing, self._first_page, self._start, self._concurrency = listing, first_page, start, concurrency
        self.before, self.after = 1, first_page.total_pages + 1
        #: Where logs are, in the order of their positions.
        self._landmarks = sorted([Landmark.of(listing, first_page), *landmarks], key=lambda mark: mark.first)
        self._left = ceil(log2(first_page.total_pages)) + EXTRA_REQUESTS + concurrency
        #: How many rounds in a row did not halve what was left although they were interpolated.
        self._poor = 0
        #: Whether page ``after`` begins before the window: then the window begins on it.
        self._begins_before = False

    @property
    def found(self) -> bool:
        """Whether no page is left to read."""
        return self.after - self.before <= 1 or self._begins_before

    def next_pages(self) -> list[int]:
        """Return the numbers of the pages to read next.

        One page where the window is expected far away from all pages that are known, otherwise as many as may be in
        flight, from the place on where the window is expected to begin. They are then the first pages of the window.
        When this did not halve what is left, pages are read that split it evenly.
        """
        left = self.after - self.before - 1
        first, near = self._guess() if self._poor < _POOR else (None, False)
        if first is not None:
            first = min(max(first, self.before + 1), self.after - 1)
            width = min(self.after - first, self._concurrency if near else 1)
            if self._left >= width + ceil(log2(left + 1)):
                self._left -= width
                return list(range(first, first + width))
        # As many as the limit of requests allows, if the window turns out to be in the largest part.
        widths = range(min(left, self._concurrency), 0, -1)
        width = next((w for w in widths if self._left >= w + ceil(log2(left / (w + 1) + 1))), 1)
        self._left -= width
        return sorted({self.before + 1 + left * part // (width + 1) for part in range(1, width + 1)})

    def _guess(self) -> tuple[int | None, bool]:
        """Return on which page the window is expected to begin, and whether a known page is near."""
        distance, nearest = min(
            ((mark.pages_to(self._start), mark) for mark in self._landmarks), key=lambda pair: abs(pair[0])
        )
        if abs(distance) <= _NEAR * self._concurrency:
            # One page earlier where the window may as well begin there.
            return nearest.number + floor(distance - 0.2 - abs(distance) / 10), True
        before = [mark for mark in self._landmarks if mark.last < self._start]
        after = [mark for mark in self._landmarks if mark.first >= self._start]
        if not before or not after:
            return None, False
        lower, upper = max(before, key=lambda mark: mark.last), min(after, key=lambda mark: mark.first)
        share = (self._start - lower.last) / (upper.first - lower.last)
        return lower.number + round((upper.number - lower.number) * share), False

    @property
    def first_page(self) -> int:
        """The number of the last page that is known to begin before the window, or 1."""
        return self.after if self._begins_before else self.before

    def narrow(self, pages: Mapping[int, Page | None]) -> None:
        """Note what pages show that were read.

        :param pages: by number; None is a page that the server does not show
        """
        left = self.after - self.before
        for number, page in pages.items():
            if page is None:
                self.after = min(self.after, number)
                continue
            if len(page.logs) > len(self._first_page.logs):
                raise UnreliableOrderError(
                    f"page {number} has {len(page.logs)} logs, but page 1 has {len(self._first_page.logs)}"
                )
            if _reaches(self._listing, page, self._start):
                if number < self.after:
                    self.after = number
                    self._begins_before = self._listing.position(page.logs[0].at) < self._start
            else:
                self.before = max(self.before, number)
        shown = [Landmark.of(self._listing, page) for page in pages.values() if page is not None]
        self._landmarks = [mark for mark in self._landmarks if self.before <= mark.number <= self.after] + shown
        halved = (self.after - self.before) * 2 <= left
        self._poor = 0 if halved or self._poor >= _POOR else self._poor + 1


def _reaches(listing: Listing, page: Page, start: int) -> bool:
    """Return whether the last log of a page is at the window's beginning or after it."""
    return bool(page.logs) and listing.position(page.logs[-1].at) >= start
