"""What a read must return: the logs of its window that the API showed all the time; and what excuses a loss.

A log **must** be returned when it was stored before the read began, in every replica that may answer, and was neither
expired, deleted nor edited when it ended. A log **may** be returned when it was in the window at some moment of the
read. Each log is returned once, byte for byte as it was sent.

The loss of a log ``x`` is excused when the answers do not show it, however often they are read:

* ``copies``: two replicas of the listing that disagree answer in turn, with the same ``count``. Pages of both fit
  together like those of a listing that never had ``x``. Where there is no order either, replicas that disagree are
  enough: a log that one of them still shows is counted in place of ``x``.
* ``cap``: the listing stops at a cap, counts only what it shows, and does not show ``x`` in either sort order (or does
  not honour the sort). A small workspace gives the same answers. Or it shows the newest logs only, in both orders, and
  logs newer than ``x`` were removed: so each answer may show older logs than the one before, and then none.
* ``even``: ``x`` is counted and not shown (or reordered with such a log of the same time), and page 1 lacks logs as
  well: the pages of the result are like those of a server with shorter pages.
* ``place``: ``x`` is where it cannot be according to the order. Only the pages of the result are checked.

One more is excused, because to notice it every stable listing would have to be read twice:

* ``balance``: between two answers that the reader received, a log among those that are being read was deleted *and*
  another one stored, on the other side of ``x`` (or at its time). So ``count`` and both ends of the page range are
  unchanged, and no answer showed another ``count``. Where ``count`` may be capped the reader does read twice, and is
  not excused, unless the listing changed with more than every second answer: then both reads may be equal by chance.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Why a loss may be excused; everything else is the reader's fault.
EXCUSES = ("copies", "cap", "even", "place", "balance")


class ExpectedLogs:
    """The logs that one read must and may return, and what happened to them during the read."""

    def __init__(
        self,
        window: tuple[int, int],
        field: str,
        copies: Iterable[tuple[int, Sequence[Any]]],
        passes: Callable[[Any], bool],
    ) -> None:
        self.start, self.end = window
        self.field = field
        self.passes = passes
        states = [list(rows) for _, rows in copies]
        self.must = {item.id: item for item in states[0] if self._holds(item)}
        for rows in states[1:]:
            ids = {item.raw for item in rows}
            self.must = {id_: item for id_, item in self.must.items() if item.raw in ids}
        self.may: dict[str, set[bytes]] = defaultdict(set)
        for rows in states:
            for item in rows:
                if self._holds(item):
                    self.may[item.id].add(item.raw)
        #: Timestamps of what was stored and removed, and after how many answers.
        self.arrivals: list[tuple[int, int]] = []
        self.deletions: list[tuple[int, int]] = []
        #: How many answers the server has sent, and the numbers of those that the reader received.
        self.answers = 0
        self.received: set[int] = set()
        #: How many logs page 1 showed where it should be full.
        self.lengths: set[int] = set()
        self._latest = -1
        self._versions: dict[tuple[int, str], set[int]] = defaultdict(set)
        self._backwards: set[tuple[int, str]] = set()

    def _holds(self, item: Any) -> bool:
        return self.start <= item.at(self.field) < self.end and self.passes(item)

    def stored(self, item: Any) -> None:
        self.arrivals.append((item.at(self.field), self.answers))
        if self._holds(item):
            self.may[item.id].add(item.raw)

    def dropped(self, item: Any) -> None:
        self.deletions.append((item.at(self.field), self.answers))
        self.must.pop(item.id, None)

    def answered(self, version: int, count: int, filter_: str) -> None:
        """Record which state of the listing a response came from, and its count."""
        self.answers += 1
        if version < self._latest:
            self._backwards.add((count, filter_))
        self._latest = max(self._latest, version)
        self._versions[count, filter_].add(version)

    def contradicts(self, logs: Sequence[Any], *, failed: bool) -> str:
        """Return what is wrong with the returned logs, except for missing ones; empty if nothing is."""
        counts = Counter(log.id for log in logs)
        twice = sorted(id_ for id_, count in counts.items() if count > 1)
        if twice and not failed:
            return f"twice: {twice}"
        if foreign := sorted(counts.keys() - self.may.keys()):
            return f"not of the window: {foreign}"
        if altered := sorted(log.id for log in logs if log.raw not in self.may[log.id]):
            return f"altered: {altered}"
        return ""

    def lost(self, logs: Sequence[Any]) -> list[Any]:
        """Return the logs that had to be returned and were not."""
        got = {log.id for log in logs}
        return [item for id_, item in self.must.items() if id_ not in got]

    def copies_disagreed(self, *, ordered: bool) -> bool:
        """Return whether an older copy answered after a newer one, and in an ordered listing counted the same."""
        return any(len(self._versions[key]) > 1 or not ordered for key in self._backwards)

    def evenly_short(self, size: int) -> bool:
        """Return whether a page 1 lacked logs, by which the reader knows how many a page holds."""
        return bool(self.lengths) and min(self.lengths) < size

    def balanced(self, item: Any, pieces: Sequence[Any]) -> bool:
        """Return whether a deletion within what was read around a log was made up for by an arrival beyond the log."""
        at = item.at(self.field)
        if self._undone(pieces):
            return True
        around = [piece for piece in pieces if piece.oldest <= at <= piece.newest]
        within = [(gone, when) for gone, when in self.deletions if any(p.oldest <= gone <= p.newest for p in around)]
        return any(
            (new <= at <= gone or gone <= at <= new) and self._unseen(when, then)
            for gone, when in within
            for new, then in self.arrivals
        )

    def _undone(self, pieces: Sequence[Any]) -> bool:
        """Return whether a deletion in front of what was read oldest first was undone by a late arrival there.

        Each of them was made up for by another change between the same two answers that were received.
        """
        oldest = min((piece.oldest for piece in pieces if piece.sort == "asc"), default=0)
        gaps = [{self._gap(when) for at, when in moves if at < oldest} for moves in (self.deletions, self.arrivals)]
        balanced = [{gap for gap in found if self._is_balanced(gap)} for found in gaps]
        return any(gone != new for gone in balanced[0] for new in balanced[1])

    def _is_balanced(self, gap: int) -> bool:
        stored, removed = (
            sum(self._gap(when) == gap for _, when in moves) for moves in (self.arrivals, self.deletions)
        )
        return stored == removed

    def _unseen(self, *changes: int) -> bool:
        """Return whether changes, after these numbers of answers, are between the same two answers that were received.

        And whether as many logs were stored as removed there: otherwise ``count`` shows it.
        """
        gaps = {self._gap(when) for when in changes}
        return len(gaps) == 1 and self._is_balanced(*gaps)

    def _gap(self, answers: int) -> int:
        return sum(number <= answers for number in self.received)
