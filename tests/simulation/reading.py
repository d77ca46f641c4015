"""A read of a window in a world, step by step: the caller decides what happens between two responses."""

from __future__ import annotations

import random
from collections import Counter
from itertools import accumulate, product
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.client._api.flow import Emit
from airflow_provider_secoda.client._audit_logs import open_listing
from airflow_provider_secoda.client._audit_logs.output import WindowReport
from airflow_provider_secoda.client._audit_logs.window import WindowQuery, read_window
from airflow_provider_secoda.client._http.exchange import RequestStats, exchange
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client.errors import SecodaError
from tests.simulation.expected_logs import ExpectedLogs
from tests.simulation.server import BY_PAGE
from tests.simulation.world import World, matches

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._http.exchange import Attempt

#: A read that needs more answers than this does not end.
MAX_ANSWERS = 5000
#: Manners of a server that does not keep the order within a tie.
UNSTABLE = ("shuffled", *BY_PAGE)
_POLICY = RetryPolicy(attempts=12)


class SimulatedRead:
    """A running read: requests that were sent, responses that did not arrive yet, and the expected logs."""

    def __init__(self, world: World, query: WindowQuery) -> None:
        self.world, self.query = world, query
        self.report = WindowReport()
        self._stats = RequestStats()
        self.got: list[Log] = []
        #: Requests in flight: the attempt, and the response when the server has sent one.
        self.flight: list[tuple[Attempt, Any]] = []
        self._sent: dict[Attempt, int] = {}
        self.done = False
        self.error: SecodaError | None = None
        self.answers = 0
        withheld = world.manners.withheld
        filter_ = self._filter = None if query.filter is None else query.filter.as_dict()
        window = (query.start, query.end)
        self.expected = ExpectedLogs(
            window,
            query.timestamp_field,
            world.copies,
            lambda item: item.id not in withheld and (filter_ is None or matches(item, filter_)),
        )
        self._misplaced, self._capped_at_first = self._out_of_place(), self._capped_away()
        world.reads.append(self.expected)
        self._wire = exchange(
            read_window(query, self.report),
            base_url="https://api.secoda.co",
            policy=_POLICY,
            concurrency=query.concurrency,
            stats=self._stats,
            rng=random.Random(0),
        )
        self._advance(None)

    def serve(self, index: int, fault: str = "", copy: int = 0) -> None:
        """Deliver a request to the server; one that has a response already is delivered again."""
        attempt, before = self.flight[index]
        if before is not None:
            self.world.happened["served twice"] += 1
        self.flight[index] = attempt, self.world.answer(attempt.request, fault, copy)
        self._sent[attempt] = self.expected.answers

    def deliver(self, index: int) -> None:
        """Deliver a response to the reader."""
        attempt, outcome = self.flight.pop(index)
        assert outcome is not None
        self.answers += 1
        if index:
            self.world.happened["answered out of order"] += 1
        pages = self.report.pages
        self._advance((attempt, outcome))
        if self.report.pages > pages:
            self.expected.received.add(self._sent[attempt])

    def _advance(self, answer: Any) -> None:
        before = open_listing.LIKELY_CAPS
        if self.world.manners.cap is not None:
            open_listing.LIKELY_CAPS = before | {
                self.world.manners.cap
            }  # the reader knows round numbers, which are large
        try:
            step = self._wire.send(answer)
            while isinstance(step, Emit):
                self.got += step.value
                step = self._wire.send(None)
            self.flight += [(attempt, None) for attempt in step]
            assert len(self.flight) <= self.query.concurrency, "more at once than was allowed"
            assert self.flight, "nothing is under way, and the read is not over"
            assert self.answers < MAX_ANSWERS, "the read does not end"
        except StopIteration:
            self._end()
        except SecodaError as error:
            self.error = error
            self._end()
        finally:
            open_listing.LIKELY_CAPS = before

    def _end(self) -> None:
        assert self.report.pages == self._stats.pages, "a page that the server returned was not counted"
        self.done = True
        self.flight = []
        self.world.reads.remove(self.expected)

    def finish(self) -> None:
        """Deliver all further requests and responses in order."""
        while not self.done:
            if self.flight[0][1] is None:
                self.serve(0)
            self.deliver(0)

    def check_result(self) -> tuple[str, str]:
        """Return what is wrong with the result (empty: nothing), and the excuse of a loss."""
        assert self.done
        if wrong := self.expected.contradicts(self.got, failed=self.error is not None):
            return wrong, ""
        if self.error is not None:
            return "", ""
        lost = self.expected.lost(self.got)
        excuses = [self._excuse(item) for item in lost]
        unexcused = [item.id for item, excuse in zip(lost, excuses, strict=True) if not excuse]
        return (f"lost: {unexcused}" if unexcused else ""), next(filter(None, excuses), "")

    def _excuse(self, item: Any) -> str:
        manners, everything = self.world.manners, self.report.order == "everything"
        if self.expected.copies_disagreed(ordered=not everything):
            return "copies"
        # A listing of the newest logs goes on to older ones when newer ones are removed.
        newer = any(at > item.at(self.query.timestamp_field) for at, _ in self.expected.deletions)
        if item.raw in self._capped_at_first | self._capped_away() or (manners.cap_newest and newer):
            return "cap"
        if not everything:
            if self._next_to_hidden(item) and self.expected.evenly_short(manners.page_size):
                return "even"
            if item.id in self._misplaced | self._out_of_place():
                return "place"
            restless = 2 * (len(self.expected.arrivals) + len(self.expected.deletions)) > self.answers
            if (restless or not self._count_may_be_capped()) and self.expected.balanced(
                item, self.report.verified_pages
            ):
                return "balance"
        return ""

    def _count_may_be_capped(self) -> bool:
        """Return whether the reader has reason to think so: by the first count, or because the listing is truncated."""
        caps = open_listing.LIKELY_CAPS | {self.world.manners.cap}
        # Also when all pages were read in the end, for another reason.
        truncated = any(warning.startswith("the listing is truncated") for warning in self.report.warnings)
        return truncated or self.report.count in caps

    def _next_to_hidden(self, item: Any) -> bool:
        """Return whether a log is counted and not shown, or shuffled with one that is."""
        manners, name = self.world.manners, self.query.timestamp_field
        hidden = {other.at(name) for other in self.world.rows if other.id in manners.hidden}
        return item.id in manners.hidden or (manners.ties in UNSTABLE and item.at(name) in hidden)

    def _capped_away(self) -> set[bytes]:
        """Return the logs, as sent, that a cap hides from the count and from both sort orders now."""
        world, manners, name = self.world, self.world.manners, self.query.timestamp_field
        if manners.cap is not None and manners.cap_newest and name != "logged_at":
            newest = {item.raw for item in world._newest(world.rows, manners.cap)}
            return {item.raw for item in world.rows} - newest  # they are missing in the middle of the listing
        if manners.cap is None or not (manners.cap_counts or (manners.cap_first and self.query.filter is not None)):
            return set()
        filter_ = "" if self.query.filter is None else self.query.filter.text
        sorts = [f'{{"field": "{name}", "order": "{order}"}}' for order in ("asc", "desc")]
        # Where one page holds all that is counted, the listing is not requested without a sort.
        if manners.order == "refused":
            sorts = [""]
        elif manners.order == "honoured" and manners.cap > manners.page_size:
            sorts += [""]
        shown = [{item.raw for item in world.shown(sort, filter_)} for sort in sorts]
        everywhere = {item.raw for item in world.rows}
        away = {item.raw for item in world.rows if item.id in manners.hidden}
        if all(ids == shown[0] for ids in shown):
            away |= everywhere - shown[0]
        if manners.order in ("ignored", "half"):
            away |= everywhere - {item.raw for item in world.shown("", filter_)}
        if manners.ties in UNSTABLE:
            away |= self._partly_shown(shown)
        if manners.ties != "honoured":
            # A tie longer than the cap begins with the same logs from both ends.
            ties = Counter(item.at(name) for item in world.rows)
            away |= {item.raw for item in world.rows if ties[item.at(name)] > manners.cap}
        return away

    def _partly_shown(self, shown: list[set[bytes]]) -> set[bytes]:
        """Return the logs of ties that continue behind the cap: each response shows others of them."""
        world, name, away = self.world, self.query.timestamp_field, set[bytes]()
        if world.manners.order != "honoured":  # then only its being shown in another order would show it, page by page
            filter_ = "" if self.query.filter is None else self.query.filter.text
            shown = [*shown, {item.raw for item in world.shown("", filter_)}]
        for raws in shown:
            there = {item.at(name) for item in world.rows if item.raw in raws}
            gone = {item.at(name) for item in world.rows if item.raw not in raws}
            away |= {item.raw for item in world.rows if item.at(name) in there & gone}
        return away

    def _out_of_place(self) -> set[str]:
        """Return the logs that are on the wrong side of another one."""
        world, name = self.world, self.query.timestamp_field
        if world.manners.order not in ("broken", "other"):
            return set()
        shuffled = world.manners.ties in UNSTABLE
        wrong = set(world.manners.misplaced) if shuffled else set()
        # Whom a misplaced log passes changes with each answer that shuffles ties, or with the page: many are tried.
        for page, (order, sign) in product(range(1, 17 if shuffled else 2), (("desc", -1), ("asc", 1))):
            rows = [item for item in world.rows if self._filter is None or matches(item, self._filter)]
            places = world._in_order(rows, {"field": name, "order": order}, page)
            depths = [sign * item.at(name) for item in places]
            lowest, highest = list(accumulate(reversed(depths), min))[::-1], list(accumulate(depths, max))
            for item, position, before, after in zip(places, depths, highest, lowest, strict=True):
                if before > position or after < position:
                    wrong.add(item.id)
        if shuffled:  # any member of its tie may be there in the next answer
            moments = {item.at(name) for item in world.rows if item.id in wrong}
            wrong |= {item.id for item in world.rows if item.at(name) in moments}
        return wrong
