"""Check the records of one file: each by itself, against the window, their order, and against the manifest.

To find those that were altered, removed, added or moved, manifest and file are read side by side as long as they agree;
a record with the same id and other bytes is an altered one. From the first position at which the ids differ, both go
into tables on disk, and their records are matched by id.
"""

from __future__ import annotations

import hashlib
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from airflow_provider_secoda._storage.scratch_database import ScratchDatabase, decode_text, encode_text
from airflow_provider_secoda.client._api.audit_log_page import read_head
from airflow_provider_secoda.client._api.decoding import decode_instant
from airflow_provider_secoda.client._api.timestamps import format_instant
from airflow_provider_secoda.verify._files import DamagedError
from airflow_provider_secoda.verify._messages import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_secoda.client._api.audit_log_page import LogHead
    from airflow_provider_secoda.verify._result import FileResult, Findings

    #: A position, and what the manifest and the file have there; None: one of them ends before.
    Row = tuple[int, tuple[tuple[str, str] | None, "Record | None"]]

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
  (SELECT position, key, row_number() OVER (PARTITION BY key ORDER BY position) AS nth FROM found) AS found
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


class Record(NamedTuple):
    """One record of a file.

    :param position: in the file, from 1
    :param id: None where the record is not a JSON object with an id
    :param at: the timestamp by which the file is ordered, microseconds; None where it is unknown or unusable
    :param sha256: of the record as it is in the file
    """

    position: int
    id: str | None
    at: int | None
    sha256: str


def id_key(record_id: str) -> bytes:
    """Return 16 bytes that represent an id of any length in tables."""
    return hashlib.blake2b(encode_text(record_id), digest_size=16).digest()


def read_record(raw: bytes) -> LogHead:
    """Read id and timestamps of a record, as the client does when it receives it from the API.

    :raises ValueError: it is not a JSON object with an id
    """
    try:
        if not raw.isascii():
            raw.decode()  # the decoder does not check the text of fields that it skips
        return read_head(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def check_records(raws: Iterable[bytes], file: FileResult) -> Iterator[Record]:
    """Yield the records of a file until it ends or is damaged; add findings about each and about the order.

    That each id is in the file once is checked by :class:`~airflow_provider_secoda.verify._checks.series.RecordIndex`.
    """
    findings = file.findings
    last: tuple[int, str] | None = None
    try:
        for position, raw in enumerate(raws, 1):
            file.records = position
            sha256 = hashlib.sha256(raw).hexdigest()
            try:
                head = read_record(raw)
            except (ValueError, msgspec.MsgspecError) as exc:
                findings.add("invalid_record", f"is not a JSON object with an id: {escape(str(exc))}", position)
                yield Record(position, None, None, sha256)
                continue
            at = _check_timestamp(head, position, file)
            if at is not None:
                if last is not None and (at, head.id) < last:
                    text = "comes after a record that is later by (timestamp, id)"
                    findings.add("out_of_order", text, position, head.id)
                last = at, head.id
            yield Record(position, head.id, at, sha256)
    except DamagedError as exc:
        findings.add("damaged", f"damaged after record {file.records}: {escape(str(exc))}")


def _check_timestamp(head: LogHead, position: int, file: FileResult) -> int | None:
    if file.series is None or file.window is None:
        return None
    field = file.series.timestamp_field
    try:
        at = decode_instant(getattr(head, field))
    except ValueError as exc:
        file.findings.add("no_timestamp", f"has no usable {field}: {escape(str(exc))}", position, head.id)
        return None
    if not file.window.start <= at < file.window.end:
        timestamp = format_instant(at)
        text = f"is outside the window: its {field} is {timestamp}"
        file.findings.add("outside_window", text, position, head.id, timestamp=timestamp)
    return at


def compare_records(listed: Iterable[tuple[str, str]], found: Iterable[Record], findings: Findings) -> bool:
    """Compare the records of a manifest with those of a file; return whether they are the same in the same order.

    Both are read completely. Errors that ``listed`` raises are not caught.

    :param listed: pairs of (id, sha256)
    """
    same = True
    rows = enumerate(zip_longest(listed, found), 1)
    unreadable: list[Row] = []  # records without an id, at the positions of listed ones
    for row in rows:
        position, (entry, record) = row
        if record is None and findings.counts["damaged"]:
            last = position + sum(1 for _ in rows)
            which = f"record {position:,}" if last == position else f"records {position:,} to {last:,}"
            findings.add("removed", f"{which} of the manifest cannot be read, because the file is damaged")
            _add_unreadable(unreadable, findings)
            return False
        if entry is not None and record is not None:
            record_id, sha256 = entry
            if record_id == record.id:
                same = same and not unreadable and sha256 == record.sha256
                _add_unreadable(unreadable, findings)
                if sha256 != record.sha256:
                    findings.add("altered", "differs from the manifest", position, record_id)
                continue
            if record.id is None and len(unreadable) < _MAX_UNREADABLE:
                unreadable.append(row)
                continue
        with ScratchDatabase(_SCHEMA) as scratch:
            _match(chain(unreadable, [row], rows), scratch, findings)
        return False
    same = same and not unreadable
    _add_unreadable(unreadable, findings)
    return same


def _add_unreadable(rows: list[Row], findings: Findings) -> None:
    for position, (entry, _) in rows:
        text = "differs from the manifest, and is no longer a JSON object"
        findings.add("altered", text, position, entry and entry[0])
    rows.clear()


def _match(rows: Iterable[Row], scratch: ScratchDatabase, findings: Findings) -> None:
    execute = scratch.database.execute
    for position, (entry, record) in rows:
        if entry is not None:
            record_id, sha256 = entry
            row = (position, id_key(record_id), sha256, encode_text(record_id))
            execute("INSERT INTO listed VALUES (?, ?, ?, ?)", row)
        if record is not None:
            key, blob = (None, None) if record.id is None else (id_key(record.id), encode_text(record.id))
            execute("INSERT INTO found VALUES (?, ?, ?, ?)", (position, key, record.sha256, blob))
    scratch.database.executescript(_MATCH)
    for position, blob in execute(_ALTERED):
        findings.add("altered", "differs from the manifest", position, decode_text(blob))
    for position, blob in execute(_REMOVED):
        findings.add("removed", "of the manifest is missing from the file", position, decode_text(blob))
    for position, blob in execute(_ADDED):
        findings.add("added", "is not in the manifest", position, None if blob is None else decode_text(blob))
    for position, listed_position, blob in execute(_FIRST_MOVED):
        text = f"is the first in another order than in the manifest, which lists it as record {listed_position}"
        findings.add("moved", text, position, decode_text(blob))
