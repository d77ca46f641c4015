"""Say which records of a file are not those that its manifest lists: altered, removed, added or moved.

Both are read side by side as long as they agree; a record of the same id with other bytes is an altered one. From the
first place where they are out of step on, both go into a table on disk, to be matched by their ids.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import chain, repeat, zip_longest
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._storage.scratch_database import ScratchDatabase, decode_text, encode_text
from airflow_provider_secoda.verify._messages import quoted
from airflow_provider_secoda.verify._records import Record, key_of
from airflow_provider_secoda.verify._result import Finding

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator

    Say = Callable[[Finding], None]
    Listed = tuple[int, str, str]

#: Of more records than these it is not told which have moved, only that some have: that takes memory.
_MOST_MOVED = 2_000_000
#: So many records in a row without an id are taken for altered ones, if the next fits again.
_MOST_UNREAD = 1_000
_TABLES = """
CREATE TABLE listed (position INTEGER PRIMARY KEY, key BLOB, sha256 TEXT, id TEXT);
CREATE TABLE found (position INTEGER PRIMARY KEY, key BLOB, sha256 TEXT, id TEXT);
"""
# The first copy of an id belongs to the first one, the second to the second.
_MATCH = """
CREATE INDEX listed_by_key ON listed (key, position);
CREATE INDEX found_by_key ON found (key, position);
CREATE TABLE pair (found INTEGER PRIMARY KEY, listed INTEGER NOT NULL);
INSERT INTO pair
SELECT found.position, listed.position FROM
  (SELECT position, key, row_number() OVER (PARTITION BY key ORDER BY position) AS nth FROM found WHERE id NOT NULL)
  AS found
JOIN (SELECT position, key, row_number() OVER (PARTITION BY key ORDER BY position) AS nth FROM listed) AS listed
  ON found.key = listed.key AND found.nth = listed.nth;
CREATE UNIQUE INDEX pair_by_listed ON pair (listed);
"""
_ALTERED = """
SELECT found.position, found.id FROM pair JOIN found ON found.position = pair.found
JOIN listed ON listed.position = pair.listed WHERE found.sha256 <> listed.sha256 ORDER BY 1
"""
_REMOVED = "SELECT position, id FROM listed WHERE position NOT IN (SELECT listed FROM pair) ORDER BY 1"
_ADDED = "SELECT position, id FROM found WHERE position NOT IN (SELECT found FROM pair) ORDER BY 1"


def compare(listed: Iterable[tuple[str, str]], found: Iterable[Record], say: Say) -> bool:
    """Compare a manifest's records with a file's; return whether they are the same in the same order.

    Both are read to their ends. What ``listed`` raises comes through.

    :param listed: pairs of (id, sha256)
    """
    same = True
    numbered = ((position, *pair) for position, pair in enumerate(listed, 1))
    rows = zip_longest(numbered, found)
    unread: list[tuple[Listed, Record]] = []  # records without an id, in the places of listed ones

    def settle() -> None:
        for told, there in unread:
            say(_altered(there.position, told[1], ", and is no JSON object any more"))
        unread.clear()

    for told, there in rows:
        if told is not None and there is not None:
            if told[1] == there.id:
                same = same and not unread and told[2] == there.sha256
                settle()
                if told[2] != there.sha256:
                    say(_altered(there.position, told[1]))
                continue
            if there.id is None and len(unread) < _MOST_UNREAD:
                unread.append((told, there))
                continue
        _match(chain(unread, [(told, there)], rows), say)
        return False
    same = same and not unread
    settle()
    return same


def _altered(position: int, name: str, more: str = "") -> Finding:
    return Finding("altered", f"record {position}, {quoted(name)}, has other bytes than listed{more}", position, name)


def _match(rest: Iterable[tuple[Listed | None, Record | None]], say: Say) -> None:
    with ScratchDatabase(_TABLES) as scratch:
        database = scratch.database
        for told, there in rest:
            if told is not None:
                position, name, sha256 = told
                database.execute(
                    "INSERT INTO listed VALUES (?, ?, ?, ?)", (position, key_of(name), sha256, encode_text(name))
                )
            if there is not None:
                row = (there.position, there.key, there.sha256, None if there.id is None else encode_text(there.id))
                database.execute("INSERT INTO found VALUES (?, ?, ?, ?)", row)
        database.executescript(_MATCH)
        for position, name in _rows(database, _ALTERED):
            say(_altered(position, name))
        for position, name in _rows(database, _REMOVED):
            say(Finding("removed", f"record {position} of the manifest, {quoted(name)}, was removed", position, name))
        for position, name in _rows(database, _ADDED):
            who = f"record {position}" if name is None else f"record {position}, {quoted(name)},"
            say(Finding("added", f"{who} was added: the manifest does not list it", position, name))
        _say_moved(database, say)


def _rows(database: sqlite3.Connection, query: str) -> Iterator[tuple[int, Any]]:
    for position, name in database.execute(query):
        yield position, None if name is None else decode_text(name)


def _say_moved(database: sqlite3.Connection, say: Say) -> None:
    ((total, falls),) = database.execute(
        "SELECT count(*), coalesce(sum(listed < before), 0) FROM"
        " (SELECT listed, lag(listed) OVER (ORDER BY found) AS before FROM pair)"
    )
    if not falls:
        return
    if total > _MOST_MOVED:
        say(Finding("moved", f"records are in another order than listed; it falls {falls:,} times"))
        return
    order = array("q", (place for (place,) in database.execute("SELECT listed FROM pair ORDER BY found")))
    for place in _moved(order):
        ((position, name),) = _rows(
            database,
            f"SELECT found.position, id FROM pair JOIN found ON found.position = pair.found"  # noqa: S608 - a number
            f" WHERE listed = {place}",
        )
        text = f"record {position}, {quoted(name)}, was moved: the manifest lists it as record {place}"
        say(Finding("moved", text, position, name))


def _moved(order: array[int]) -> Iterator[int]:
    """Yield what is not part of the longest ascending sequence: the fewest records whose move explains the order."""
    ends, before = array("q"), array("q", repeat(-1, len(order)))
    tops = array("q")
    for index, value in enumerate(order):
        length = bisect_left(tops, value)
        before[index] = ends[length - 1] if length else -1
        if length == len(tops):
            tops.append(value)
            ends.append(index)
        else:
            tops[length], ends[length] = value, index
    stays = bytearray(len(order))
    index = ends[-1]
    while index >= 0:
        stays[index] = 1
        index = before[index]
    yield from (value for index, value in enumerate(order) if not stays[index])
