"""What a window read returns: the logs, each once, and a report of what the read did and saw."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from airflow_provider_secoda.client._api.flow import Emit, Flow
from airflow_provider_secoda.client._api.timestamps import format_instant
from airflow_provider_secoda.client.errors import SecodaIncompleteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_secoda.client._api.audit_log_page import Log, Page
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client.filters import Sort

R = TypeVar("R")

#: How many logs are emitted at once.
BATCH = 1000


#: What it means when one id belongs to two logs, and what to do.
NOT_UNIQUE = (
    "ids are not unique, or the log was edited during the read. Run the task again; if the error persists, contact "
    "Secoda's support"
)
#: How many logs that are listed more than once are named.
MAX_LISTED_TWICE = 10


@dataclass(frozen=True)
class VerifiedPages:
    """Consecutive pages that were proven to fit together."""

    #: The order in which the listing was requested: ``desc``, ``asc``, or None without a sort.
    sort: Literal["asc", "desc"] | None
    first_page: int
    last_page: int
    #: The timestamps of the oldest and of the newest log on these pages.
    oldest: Instant
    newest: Instant
    #: The ``count`` of the listing in the last of the answers.
    count: int


@dataclass
class WindowReport:
    """What a window read did and saw: the material for the task's summary and for the manifest.

    The reading code only writes to it, so no decision of the read depends on it.
    """

    #: Pages that the server returned, re-reads included.
    pages: int = 0
    #: Logs that were returned again because the listing changed, and dropped by their id.
    repeats_dropped: int = 0
    #: Reads that were repeated because the listing changed during the read: how many, and how many for which reason.
    rereads: int = 0
    reread_reasons: dict[str, int] = field(default_factory=dict)
    #: How the listing was read: ``newest_first``, ``oldest_first``, ``both_ends`` (a part of the window in each order)
    #: or ``everything``.
    order: str = "newest_first"
    #: To which order the read turned, and why, in the order in which it happened.
    turns: list[str] = field(default_factory=list)
    #: The timestamps of the oldest log in the listing and of the newest log seen; None when there is no log.
    history_from: Instant | None = None
    history_to: Instant | None = None
    #: The ``sort`` parameter that the server honours; None without a sort.
    sort: str | None = None
    #: The pages that the result was read from, in the order in which they were read.
    verified_pages: list[VerifiedPages] = field(default_factory=list)
    #: ``count`` and ``total_pages`` of the listing in the first answer.
    count: int = 0
    total_pages: int = 0
    #: What a reader of the result should know, one sentence each.
    warnings: list[str] = field(default_factory=list)
    #: Ids of logs that a page showed more than once.
    listed_twice: set[str] = field(default_factory=set)

    def record_verified(self, sort: Sort | None, pages: Sequence[Page]) -> None:
        """Record pages that fit together, in the order of their numbers."""
        times = [log.at for page in pages for log in page.logs]
        if times:
            oldest, newest = min(times), max(times)
            count = max(pages, key=lambda page: page.sequence).count
            order = None if sort is None else sort.order
            self.verified_pages.append(VerifiedPages(order, pages[0].number, pages[-1].number, oldest, newest, count))
            self.history_to = max(self.history_to or newest, newest)

    def record_rereads(self, number: int, reason: str) -> None:
        """Record reads that were repeated."""
        if number:
            self.rereads += number
            self.reread_reasons[reason] = self.reread_reasons.get(reason, 0) + number

    def record_listed_twice(self, id_: str, page: int) -> None:
        """Record a log that a page shows more than once with the same content."""
        if id_ in self.listed_twice or len(self.listed_twice) > MAX_LISTED_TWICE:
            return
        self.listed_twice.add(id_)
        logs = f"log {id_!r} is" if len(self.listed_twice) <= MAX_LISTED_TWICE else "further logs are"
        self.warn(f"{logs} listed more than once with the same content (page {page}): each is in the output once")

    def warn(self, text: str) -> None:
        """Record a warning, once."""
        if text not in self.warnings:
            self.warnings.append(text)


def ids_not_unique(log: Log, other: Instant, *pages: int) -> SecodaIncompleteError:
    """Return the error for an id that belongs to two logs.

    :param log: one of them
    :param other: the timestamp of the other one
    :param pages: the pages that showed them
    """
    what = "content" if log.at == other else f"timestamps, {format_instant(other)} and {format_instant(log.at)}"
    where = f"page {pages[0]}" if len(set(pages)) == 1 else f"pages {' and '.join(map(str, pages))}"
    return SecodaIncompleteError(f"log {log.id!r} was returned with two different {what} ({where}): {NOT_UNIQUE}")


class TooManyLogsError(Exception):
    """A read returned more logs than may be held in memory at once."""


class EmittedLogs:
    """Emits logs and remembers them, in case the listing has to be read again."""

    def __init__(self) -> None:
        # A set of all ids would need much memory. Two of a million ids have the same hash, of 64 bits, in one of 37
        # million reads, which fails then.
        self._hashes, self._times = array("q"), array("q")
        #: The first log whose id was emitted before.
        self._repeated: Log | None = None

    def emit(self, logs: Iterable[Log]) -> Flow[None]:
        """Emit logs in small batches, because the reader may hold a batch while the next page is read."""
        logs = list(logs)
        hashes = [hash(log.id) for log in logs]
        emitted = set(hashes).intersection(self._hashes)
        if self._repeated is None and (emitted or len(set(hashes)) < len(logs)):
            for log, value in zip(logs, hashes, strict=True):
                if value in emitted:
                    self._repeated = log
                    break
                emitted.add(value)
        self._hashes.extend(hashes)
        self._times.extend([log.at for log in logs])
        for begin in range(0, len(logs), BATCH):
            yield Emit(logs[begin : begin + BATCH])

    def emit_new(self, logs: Iterable[Log]) -> Flow[int]:
        """Emit the logs that were not emitted before; return how many of them were."""
        batch = list(logs)
        keys = [(hash(log.id), log.at) for log in batch]
        emitted = set(keys).intersection(zip(self._hashes, self._times, strict=True))
        yield from self.emit(log for log, key in zip(batch, keys, strict=True) if key not in emitted)
        return sum(key in emitted for key in keys)

    def check_unique(self) -> None:
        """Check that no id was emitted twice.

        :raises SecodaIncompleteError: when an id was emitted with two different timestamps
        """
        if self._repeated is not None:
            raise SecodaIncompleteError(
                f"log {self._repeated.id!r} was returned with two different timestamps, the second time "
                f"{format_instant(self._repeated.at)}: {NOT_UNIQUE}"
            )


def collect_logs(flow: Flow[R], logs: list[Log], max_logs: int, max_bytes: int) -> Flow[R]:
    """Run a flow; collect the logs that it emits and return its result.

    :param logs: filled during the run
    :raises TooManyLogsError: when there are more logs than may be held in memory
    """
    size, answer = 0, None
    try:
        while True:
            step = flow.send(answer)
            if isinstance(step, Emit):
                logs += step.value
                size += sum(len(log.raw) for log in step.value)
                if len(logs) > max_logs or size > max_bytes:
                    raise TooManyLogsError
                answer = None
            else:
                answer = yield step
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
