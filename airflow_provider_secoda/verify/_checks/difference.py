"""Find the records of a file that differ from its manifest: altered, removed, added or moved.

Both are read side by side as long as they agree; a record with the same id and other bytes is an altered one. From the
first position at which the ids differ, both go into tables on disk, and their records are matched by id.
"""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from airflow_provider_secoda._storage.scratch_database import ScratchDatabase, decode_text, encode_text
from airflow_provider_secoda.verify._checks.records import Record, id_key
from airflow_provider_secoda.verify._messages import record_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_secoda.verify._result import Findings

    Listed = tuple[int, str, str]

#: Up to this many consecutive records without an id are counted as altered, if the record after them matches again.
_MAX_UNREADABLE = 1_000
_SCHEMA = """
CREATE TABLE listed (position INTEGER PRIMARY KEY, key BLOB, sha256 TEXT, id BLOB);
CREATE TABLE found (position INTEGER PRIMARY KEY, key BLOB, sha256 TEXT, id BLOB);
"""
# The first copy of an id is matched with the first one that is listed, the second with the second.
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
# The first record that is not the nth of the matched ones in both orders.
_FIRST_MOVED = """
SELECT found.position, listed, found.id FROM (
  SELECT found, listed, row_number() OVER (ORDER BY found) AS nth_found,
    row_number() OVER (ORDER BY listed) AS nth_listed FROM pair
) AS numbered JOIN found ON found.position = numbered.found
WHERE nth_found <> nth_listed ORDER BY 1 LIMIT 1
"""


def compare_records(listed: Iterable[tuple[str, str]], found: Iterable[Record], findings: Findings) -> bool:
    """Compare the records of a manifest with those of a file; return whether they are the same in the same order.

    Both are read completely. Errors that ``listed`` raises are not caught.

    :param listed: pairs of (id, sha256)
    """
    same = True
    numbered = ((position, *pair) for position, pair in enumerate(listed, 1))
    rows = zip_longest(numbered, found)
    unreadable: list[tuple[Listed, Record]] = []  # records without an id, at the positions of listed ones

    def report_unreadable() -> None:
        for (_, record_id, _), record in unreadable:
            _add_altered(findings, record.position, record_id, ", and is no longer a JSON object")
        unreadable.clear()

    for entry, record in rows:
        if entry is not None and record is not None:
            _, record_id, sha256 = entry
            if record_id == record.id:
                same = same and not unreadable and sha256 == record.sha256
                report_unreadable()
                if sha256 != record.sha256:
                    _add_altered(findings, record.position, record_id)
                continue
            if record.id is None and len(unreadable) < _MAX_UNREADABLE:
                unreadable.append((entry, record))
                continue
        with ScratchDatabase(_SCHEMA) as scratch:
            _match(chain(unreadable, [(entry, record)], rows), scratch, findings)
        return False
    same = same and not unreadable
    report_unreadable()
    return same


def _add_altered(findings: Findings, position: int, record_id: str, more: str = "") -> None:
    text = f"{record_name(position, record_id)} differs from the manifest{more}"
    findings.add("altered", text, position, record_id)


def _match(rows: Iterable[tuple[Listed | None, Record | None]], scratch: ScratchDatabase, findings: Findings) -> None:
    execute = scratch.database.execute
    for entry, record in rows:
        if entry is not None:
            position, record_id, sha256 = entry
            row = (position, id_key(record_id), sha256, encode_text(record_id))
            execute("INSERT INTO listed VALUES (?, ?, ?, ?)", row)
        if record is not None:
            blob = None if record.id is None else encode_text(record.id)
            execute("INSERT INTO found VALUES (?, ?, ?, ?)", (record.position, record.key, record.sha256, blob))
    scratch.database.executescript(_MATCH)
    for position, blob in execute(_ALTERED):
        _add_altered(findings, position, decode_text(blob))
    for position, blob in execute(_REMOVED):
        record_id = decode_text(blob)
        text = f"{record_name(position, record_id)} of the manifest is missing from the file"
        findings.add("removed", text, position, record_id)
    for position, blob in execute(_ADDED):
        added_id = None if blob is None else decode_text(blob)
        findings.add("added", f"{record_name(position, added_id)} is not in the manifest", position, added_id)
    for position, listed_position, blob in execute(_FIRST_MOVED):
        record_id = decode_text(blob)
        text = (
            f"from {record_name(position, record_id)} on, the order differs from the manifest, which lists it as "
            f"record {listed_position}"
        )
        findings.add("moved", text, position, record_id)
