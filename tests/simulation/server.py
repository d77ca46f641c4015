"""A server of a workspace's logs whose behaviour can be chosen.

Written against the API reference alone: it uses nothing of the reader except the types of a request and a response.
"""

from __future__ import annotations

import functools
import json
import random
import zlib
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.client._api.flow import Request, Response
from airflow_provider_secoda.client.errors import SecodaConnectionError
from tests.simulation.postgres_order import page_order
from tests.simulation.rows import Row, matches

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.expected_logs import ExpectedLogs

JSON = {"content-type": "application/json"}
_FAILURES = {
    "429": Response(429),
    "429 with Retry-After": Response(429, {"retry-after": "3"}),
    "5xx": Response(503, {}, b"<html>try again</html>"),
    "login page": Response(200, {"content-type": "text/html"}, b"<html>log in</html>"),
    "page not shown once": Response(404, {}, b'{"detail": "Invalid page."}'),
    "broken connection": SecodaConnectionError("the connection broke"),
}
#: Values of :attr:`Manners.ties` with which the order of a tie depends on the page.
BY_PAGE = ("by_page", "postgres")
_parse = functools.lru_cache(1 << 10)(json.loads)


@dataclass
class Manners:
    """The behaviour of a server."""

    page_size: int = 5
    #: honoured, reversed, ignored, refused, half (newest first in both directions), broken (where ``misplaced`` says),
    #: other (by the other timestamp)
    order: str = "honoured"
    #: The order of a listing that is not sorted: stored (newest first), oldest, scrambled
    default: str = "stored"
    #: honoured, refused, ignored, shuffled (ignored, and another order with each answer); ignored with an order that
    #: depends on the page, the same at each try: by_page (any), postgres (as :mod:`postgres_order`)
    ties: str = "honoured"
    cap: int | None = None
    cap_counts: bool = True
    #: Whether the cap is applied before the filter instead of after it; in both cases after the sort.
    cap_first: bool = False
    #: Whether the cap keeps the newest logs in every order, instead of the first ones of the requested order.
    cap_newest: bool = False
    #: What a page behind the end answers: empty (within the count), 404, clamped, clamped_silently
    beyond: str = "empty"
    #: Logs counted but not shown; neither counted nor shown, although they have a place; shown twice.
    hidden: frozenset[str] = frozenset()
    withheld: frozenset[str] = frozenset()
    doubled: frozenset[str] = frozenset()
    #: Logs that are this many places behind their own.
    misplaced: frozenset[str] = frozenset()
    jump: int = 1


class Server:
    """What the API shows of the logs, and how."""

    def __init__(self, rows: list[Row], manners: Manners, seed: int = 0) -> None:
        self.manners = manners
        self.rows = sorted(rows)
        self.rng = random.Random(seed)
        self.serial = max((item.serial for item in rows), default=0)
        self.version = 0
        self.requests = 0
        self.happened: Counter[str] = Counter()
        if len({item.id for item in rows}) < len(rows):
            self.happened["one id at two timestamps"] += 1
        self.reads: list[ExpectedLogs] = []
        #: The last states, the newest first: an outdated copy responds from one of them.
        self.copies: deque[tuple[int, list[Row]]] = deque([(0, list(self.rows))], maxlen=4)
        #: Changes of the listing between the count and the rows of the next response.
        self.after_count: list[Callable[[Any], None]] = []
        self._sorted: dict[Any, list[Row]] = {}

    # --- responses ------------------------------------------------------------------------------------

    def answer(self, request: Request, fault: str = "", copy: int = 0) -> Response | SecodaConnectionError:
        """Respond to a request from the current state or an older copy, or with a fault."""
        self.requests += 1
        if fault:
            self.happened[fault] += 1
            if fault != "stale copy":
                return self._fail(request, fault)
        params = dict(request.params)
        version, rows = self.copies[min(copy, len(self.copies) - 1)]
        manners = self.manners
        sort = _parse(params["sort"]) if "sort" in params else None
        if sort is not None:
            if manners.order == "refused":
                self.happened["order refused"] += 1
                return Response(400, {}, b'{"detail": "cannot sort"}')
            if manners.ties == "refused" and "tie_breaker" in sort:
                self.happened["tie breaker refused"] += 1
                return Response(400, {}, b'{"detail": "cannot break ties"}')
        number = int(params["page"])
        listing = self._listing(version, rows, params.get("sort", ""), params.get("filter", ""), number)
        counted, listing = self._capped(listing, params.get("filter", ""))
        if self.after_count and rows is self.copies[0][1]:
            self.happened["count before the rows"] += 1
            moves, self.after_count = self.after_count, []
            for move in moves:
                move(self)
            listing = self._listing(self.version, self.rows, params.get("sort", ""), params.get("filter", ""), number)
            listing = self._capped(listing, params.get("filter", ""))[1]
        for expected in self.reads:
            expected.answered(version, counted, params.get("filter", ""))
        return self._page(listing, number, counted)

    def _fail(self, request: Request, fault: str) -> Response | SecodaConnectionError:
        if failure := _FAILURES.get(fault):
            return failure
        whole = self.answer(request)
        assert fault == "truncated response", fault
        return Response(200, JSON, whole.body[: len(whole.body) * 2 // 3]) if isinstance(whole, Response) else whole

    # --- behaviour of the server ------------------------------------------------------------------------------------

    def _listing(self, version: int, rows: list[Row], sort: str, filter_: str, page: int) -> list[Row]:
        """Return the listing in the order of which a page shows a part."""
        if self.manners.ties not in BY_PAGE:
            page = 0
        known = self._sorted.get((version, sort, filter_, page))
        if known is None:
            if filter_ and not self.manners.cap_first:
                rows = [item for item in rows if matches(item, _parse(filter_))]
            known = self._in_order(rows, _parse(sort) if sort else None, page)
            if self.manners.ties != "shuffled":
                self._sorted[version, sort, filter_, page] = known
        return known

    def _capped(self, listing: list[Row], filter_: str) -> tuple[int, list[Row]]:
        """Return how many logs the server counts, and those it shows."""
        manners, cap = self.manners, self.manners.cap
        count = len(listing)
        if cap is not None and count > cap:
            self.happened["cap that counts" if manners.cap_counts else "cap that does not count"] += 1
            listing = self._newest(listing, cap) if manners.cap_newest else listing[:cap]
            if filter_ and manners.cap_first:
                self.happened["cap before the filter"] += 1
        if filter_ and manners.cap_first:
            listing = [item for item in listing if matches(item, _parse(filter_))]
            count = len(listing)
        return (len(listing) if manners.cap_counts else count), listing

    @staticmethod
    def _newest(listing: list[Row], number: int) -> list[Row]:
        newest = set(sorted(listing, key=lambda item: (item.logged, item.id))[-number:])
        return [item for item in listing if item in newest]

    def shown(self, sort: str, filter_: str) -> list[Row]:
        """Return what the listing contains now, in the order of any page."""
        pages = range(1, len(self.rows) // self.manners.page_size + 2) if self.manners.ties in BY_PAGE else (0,)
        items: dict[bytes, Row] = {}
        for page in pages:
            listing = self._listing(self.version, self.rows, sort, filter_, page)
            items |= {item.raw: item for item in self._capped(listing, filter_)[1]}
        return list(items.values())

    def _in_order(self, rows: list[Row], sort: dict[str, Any] | None, page: int = 1) -> list[Row]:
        manners = self.manners
        if sort is not None and manners.order == "ignored":
            self.happened["order ignored"] += 1
            sort = None
        if sort is None:
            key = {"stored": lambda item: -item.serial, "oldest": lambda item: item.serial}.get(
                manners.default, lambda item: item.id
            )
            return self._twofold(sorted(rows, key=key))
        descending, name = sort["order"] == "desc", sort["field"]
        if manners.order == "half":
            self.happened["order half honoured"] += not descending
            descending = True
        if manners.order == "reversed":
            self.happened["order reversed"] += 1
            descending = not descending
        rows = self._order_ties(list(rows), page, descending=descending)
        if manners.order == "other":
            self.happened["order of another field"] += 1
            name = "created_at" if name == "logged_at" else "logged_at"
        if manners.ties == "postgres":
            sign = -1 if descending else 1
            rows = page_order(rows, lambda item: sign * item.at(name), page * manners.page_size)
        elif name == "logged_at":
            rows.sort(key=lambda item: item.logged, reverse=descending)
        else:
            rows.sort(key=lambda item: item.created, reverse=descending)
        return self._twofold(self._broken(rows))

    def _order_ties(self, rows: list[Row], page: int, *, descending: bool) -> list[Row]:
        """Return rows in the order in which those of one timestamp are shown."""
        ties = self.manners.ties
        if ties == "shuffled":
            self.happened["ties shuffled"] += 1
            self.rng.shuffle(rows)
        elif ties == "by_page":
            self.happened["ties by page"] += 1
            rows.sort(key=lambda item: zlib.crc32(f"{item.id} {page} {descending}".encode()))
        elif ties in ("ignored", "postgres"):
            self.happened["tie breaker ignored" if ties == "ignored" else "ties of PostgreSQL"] += 1
            rows.sort(key=lambda item: item.serial)
        else:
            rows.sort(key=lambda item: item.id, reverse=descending)
        return rows

    def _broken(self, rows: list[Row]) -> list[Row]:
        misplaced = self.manners.misplaced
        if self.manners.order == "broken" and misplaced:
            for index in range(len(rows) - 1, -1, -1):
                if rows[index].id in misplaced:
                    self.happened["order broken in places"] += 1
                    rows.insert(index + self.manners.jump, rows.pop(index))
        return rows

    def _twofold(self, rows: list[Row]) -> list[Row]:
        doubled = self.manners.doubled
        if not doubled:
            return rows
        self.happened["row shown twice"] += 1
        return [item for item in rows for _ in range(2 if item.id in doubled else 1)]

    def _page(self, listing: list[Row], number: int, count: int) -> Response:
        manners = self.manners
        size = manners.page_size
        total = max(1, -(-count // size))
        if manners.withheld and count != manners.cap:  # a count at the cap stays there
            count -= sum(item.id in manners.withheld for item in listing)
        shown = listing[(number - 1) * size : number * size]
        says = number
        if not shown and number > 1:
            if manners.beyond.startswith("clamped") and listing:
                self.happened["pages behind the end clamped"] += 1
                last = -(-len(listing) // size)
                shown = listing[(last - 1) * size :]
                says = last if manners.beyond == "clamped" else number
            elif number > total or manners.beyond == "404":
                return Response(404, {}, b'{"detail": "Invalid page."}')
        if manners.hidden or manners.withheld:
            full = len(shown)
            shown = [item for item in shown if item.id not in manners.hidden and item.id not in manners.withheld]
            if number == 1 and full == min(size, manners.cap or size):  # as full as this server ever makes it
                for expected in self.reads:
                    expected.lengths.add(len(shown))
            if len(shown) < full:
                self.happened["uneven pages" if manners.withheld else "short page"] += 1
        head = (
            f'], "total_pages": {total}, "count": {count}, "meta": {{"page": {says}, "previous_page": null, '
            f'"next_page": null, "count": {count}, "total_pages": {total}}}}}'
        )
        return Response(200, JSON, b'{"results": [' + b", ".join([item.raw for item in shown]) + head.encode())
