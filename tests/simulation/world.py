"""A workspace whose audit log changes while it is read, behind a server whose behaviour can be chosen (:mod:`server`).

All changes happen between two responses: a client cannot see finer steps.
"""

from __future__ import annotations

from tests.simulation.rows import BEGIN, SECOND, Row, matches, row
from tests.simulation.server import Manners, Server

__all__ = ["BEGIN", "FAULT_KINDS", "SECOND", "Manners", "Row", "World", "matches", "row"]

#: All faults and changes of these worlds, by the name under which they are counted.
FAULT_KINDS = (
    # what moves
    "arrival at the head",
    "late arrival",
    "late arrival in a tie",
    "expiry",
    "deletion",
    "deletion with a late arrival",
    "edited timestamp",
    "page size changed",
    # how requests fare
    "answered out of order",
    "slow answer",
    "served twice",
    "truncated response",
    "broken connection",
    "login page",
    "429",
    "429 with Retry-After",
    "5xx",
    "stale copy",
    "page not shown once",
    # how the server is
    "order reversed",
    "order ignored",
    "order refused",
    "order half honoured",
    "order broken in places",
    "order of another field",
    "tie breaker refused",
    "tie breaker ignored",
    "ties shuffled",
    "ties by page",
    "ties of PostgreSQL",
    "count before the rows",
    "cap that counts",
    "cap that does not count",
    "cap before the filter",
    "pages behind the end clamped",
    "short page",
    "uneven pages",
    "row shown twice",
    "one id at two timestamps",
)


class World(Server):
    """The logs, their changes, and their server."""

    def arrive(self, after: int = 0) -> None:
        """Store a log at the head, this many microseconds after the newest one."""
        newest = self.rows[-1].logged if self.rows else BEGIN
        self._store(newest + after, newest + after)
        self._moved("arrival at the head")

    def arrive_late(self, logged: int) -> None:
        """Store a log with an older timestamp."""
        tie = any(item.logged == logged for item in self.rows)
        newest = max((item.created for item in self.rows), default=logged)
        self._store(logged, max(newest, logged))
        self._moved("late arrival in a tie" if tie else "late arrival")

    def expire(self, by: str = "logged_at") -> None:
        """Remove the oldest log."""
        if self.rows:
            self._drop(min(self.rows, key=lambda item: (item.at(by), item.id)))
            self._moved("expiry")

    def delete(self, index: int) -> None:
        """Remove any log."""
        if self.rows:
            self._drop(self.rows[index % len(self.rows)])
            self._moved("deletion")

    def exchange(self, index: int, logged: int) -> None:
        """Remove one log and store another late, with no response between the two."""
        if self.rows:
            self._drop(self.rows[index % len(self.rows)])
            self._store(logged, self.rows[-1].created if self.rows else logged)
            self._moved("deletion with a late arrival")

    def edit(self, index: int, logged: int) -> None:
        """Change the timestamp of a log."""
        if self.rows:
            old = self.rows[index % len(self.rows)]
            self._drop(old)
            self.serial += 1
            self._keep(row(self.serial, logged, old.created, old.id))
            self._moved("edited timestamp")

    def resize(self, page_size: int) -> None:
        """Change the length of the pages."""
        self.manners.page_size = max(1, page_size)
        self._moved("page size changed")

    def _store(self, logged: int, created: int) -> None:
        self.serial += 1
        self._keep(row(self.serial, logged, created))

    def _keep(self, item: Row) -> None:
        self.rows.append(item)
        self.rows.sort()
        for expected in self.reads:
            expected.stored(item)

    def _drop(self, item: Row) -> None:
        self.rows.remove(item)
        for expected in self.reads:
            expected.dropped(item)

    def _moved(self, what: str) -> None:
        self.happened[what] += 1
        self.version += 1
        self.copies.appendleft((self.version, list(self.rows)))
        self._sorted.clear()
