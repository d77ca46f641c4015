"""The audit-log listing of the API: numbered pages under one filter and one sort.

The API documents page numbers only: no page size, no cursor, no filter by date.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow_provider_secoda.client._api.audit_log_page import Log, Page, TimestampField, read_audit_logs
from airflow_provider_secoda.client._api.flow import Call, Flow, Request, Response, once, several
from airflow_provider_secoda.client.errors import SecodaError, SecodaNotFoundError, SecodaRequestError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client._audit_logs.output import WindowReport
    from airflow_provider_secoda.client.filters import Filter, Sort

AUDIT_LOGS_PATH = "/api/v1/activity_log/audit_logs/"


class Answer(NamedTuple):
    """What an answer says of the complete listing.

    :ivar total: its ``count``
    :ivar after: how many answers had arrived when the request was made; only those are certainly older
    """

    total: int
    after: int


@dataclass(frozen=True)
class Listing:
    """The listing under one filter and one sort, and how to read it.

    Code that reads pages compares *positions* instead of timestamps. The position of a log is a number computed from
    its timestamp; it grows from the first page to the last. So the same code reads newest first and oldest first.

    :param report: where every page is counted; only written
    :param order_shown: whether the server was seen to honour the sort; a listing of one page does not show it
    :param count_may_be_capped: whether ``count`` may be a limit of the server. Then deletions do not change it
    :param answers: every answer so far, in the order in which they arrived; all copies of a listing share it,
        also the one in the opposite order, because a change of the listing shows in any of them
    :param recent: pages that arrived lately, in either order, for :mod:`.gaps`; shared as well
    """

    timestamp_field: TimestampField
    filter: Filter | None
    report: WindowReport
    sort: Sort | None = None
    order_shown: bool = True
    count_may_be_capped: bool = False
    answers: list[Answer] = field(default_factory=list)
    recent: list[Page] = field(default_factory=list)

    # --- getting pages

    def call(self, number: int) -> Call:
        """Return the call that reads one page; :meth:`accept` takes its outcome."""
        return Call(
            Request(AUDIT_LOGS_PATH, (*self._params, ("page", str(number)))),
            partial(self._read, number, len(self.answers)),
        )

    @cached_property
    def _params(self) -> tuple[tuple[str, str], ...]:
        params = []
        if self.filter is not None:
            params.append(("filter", self.filter.text))
        if self.sort is not None:
            params.append(("sort", self.sort.text))
        return tuple(params)

    def _read(self, number: int, after: int, response: Response) -> Page:
        """Decode an answer and number it: every page that arrives passes here, including those that are not used."""
        page = read_audit_logs(response, number=number, field=self.timestamp_field)
        self.report.pages += 1
        self.answers.append(Answer(page.count, after))
        page = replace(page, sequence=len(self.answers))
        if page.logs and self.sort is not None:
            self.recent.append(page)
        return page

    def count_changed(self, pages: Iterable[Page]) -> bool:
        """Return whether ``count`` differs in any answers that may be as new as the oldest of these pages, or newer."""
        return len({answer.total for answer in self.answers[self._since(pages) :]}) > 1

    def _since(self, pages: Iterable[Page]) -> int:
        """Return how many answers had arrived when the oldest of these pages was requested.

        Only those are certainly older. The others may show the listing after that page, even if they arrived before it.
        """
        return min(self.answers[page.sequence - 1].after for page in pages)

    def arrived_first(self, page: Page, others: Iterable[Page]) -> bool:
        """Return whether a page had arrived before each of the others was requested."""
        return all(self.answers[other.sequence - 1].after >= page.sequence for other in others)

    def moves_harmfully(self, since: int) -> bool:
        """Return whether logs move to later pages, as ``count`` shows since a number of answers.

        Newest first, arrivals at the head move all logs; oldest first, logs that expire do.
        """
        later = [total for total, after in self.answers[since:] if after > since]
        grown = later[-1] - self.answers[since].total if later else 0
        return grown < 0 if self.oldest_first else grown > 0

    def count_went_both_ways(self, pages: Iterable[Page]) -> bool:
        """Return whether ``count`` grew and also fell since the oldest of these pages was requested.

        Then logs were removed and others arrived, or replicas that disagree have answered. Answers that show other
        pages count, too: a page may be much older than the others, when the search has read it. Answers to requests
        that were in flight at the same time are in no known order, so two of them may show ``count`` in either order.
        """
        first, lowest, highest = self._since(pages), list[int](), list[int]()
        grew = fell = False
        for total, after in self.answers[first:]:
            if after > first:
                grew |= total > lowest[after - first - 1]
                fell |= total < highest[after - first - 1]
            lowest.append(min([total, *lowest[-1:]]))
            highest.append(max([total, *highest[-1:]]))
        return grew and fell

    def accept(self, outcome: Any, number: int) -> Page | None:
        """Return the page, or None when the server does not show it: it is empty, or its number is refused.

        :raises SecodaError: any other error
        """
        if isinstance(outcome, Page):
            return outcome if outcome.logs else None
        if isinstance(outcome, SecodaNotFoundError | SecodaRequestError) and number > 1:
            return None
        error: SecodaError = outcome
        raise error

    def forget_before(self, position: int) -> None:
        """Forget the recent pages that show nothing after a position."""
        self.recent[:] = [
            page for page in self.recent if max(self.position(page.logs[end].at) for end in (0, -1)) > position
        ]

    def read_page(self, number: int, *, attempts: int | None = None) -> Flow[Page]:
        """Read one page, which may be empty.

        :param attempts: how often to send the request at most; the client's retry policy when left out
        """
        call = self.call(number)
        page: Page = yield from once(call if attempts is None else replace(call, attempts=attempts))
        return page

    def read_pages(self, numbers: Sequence[int]) -> Flow[list[Page | None]]:
        """Read pages in parallel; None is a page that the server does not show."""
        outcomes = yield from several([self.call(number) for number in numbers])
        return [self.accept(outcome, number) for outcome, number in zip(outcomes, numbers, strict=True)]

    def read_both_ends(self) -> Flow[list[Page | SecodaError]]:
        """Read page 1 in this order and page 1 in the opposite order, in parallel; return pages or errors."""
        return (yield from several([self.call(1), self.reversed().call(1)]))

    # --- the order

    def reversed(self) -> Listing:
        """Return the same listing in the opposite order."""
        if self.sort is None:
            return self
        order: Literal["asc", "desc"] = "asc" if self.sort.order == "desc" else "desc"
        return replace(self, sort=replace(self.sort, order=order))

    @property
    def oldest_first(self) -> bool:
        """Whether the oldest logs are on page 1."""
        return self.sort is not None and self.sort.order == "asc"

    def position(self, at: Instant) -> int:
        """Return the position of a timestamp; positions grow from the first page to the last."""
        return at if self.oldest_first else -at

    def position_range(self, start: Instant, end: Instant) -> tuple[int, int]:
        """Return the half-open range of positions that the half-open window ``[start, end)`` covers."""
        if self.oldest_first:
            return start, end
        return 1 - end, 1 - start

    def window_from(self, position: int, start: Instant, end: Instant) -> tuple[Instant, Instant]:
        """Return the part of the window ``[start, end)`` that is at a position or after it."""
        if self.oldest_first:
            return position, end
        return start, 1 - position

    def in_order(self, logs: Sequence[Log]) -> bool:
        """Return whether the logs are in the order of this listing."""
        times = [log.at for log in logs]
        return times == sorted(times, reverse=not self.oldest_first)

    def between(self, logs: Iterable[Log], first: int, end: int) -> list[Log]:
        """Return the logs whose positions are in the half-open range ``[first, end)``."""
        if self.oldest_first:
            return [log for log in logs if first <= log.at < end]
        return [log for log in logs if first <= -log.at < end]
