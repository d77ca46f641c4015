"""Check the records of one file: each by itself, against the window, and their order."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from airflow_provider_secoda._storage.scratch_database import ScratchDatabase, decode_text, encode_text
from airflow_provider_secoda.client._api.json_checks import replace_half_pairs
from airflow_provider_secoda.client._api.timestamps import format_instant, parse_instant
from airflow_provider_secoda.verify._files import DamagedError
from airflow_provider_secoda.verify._messages import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_secoda.verify._result import FileResult

_INDEX = """
CREATE TABLE first (series INTEGER, key BLOB, file INTEGER NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY (series, key)) WITHOUT ROWID;
CREATE TABLE held (key BLOB PRIMARY KEY, position INTEGER NOT NULL, at INTEGER, sha256 TEXT NOT NULL, id BLOB NOT NULL)
  WITHOUT ROWID;
"""


class _Head(msgspec.Struct):
    id: str
    logged_at: Any = None
    created_at: Any = None


_decode = msgspec.json.Decoder(_Head).decode


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


def read_head(raw: bytes) -> _Head:
    """Read id and timestamps of a record, as the client does when it receives it from the API.

    :raises ValueError: it is not a JSON object with an id
    """
    try:
        if not raw.isascii():
            raw.decode()  # the decoder does not check the text of fields that it skips
        return _decode(replace_half_pairs(raw))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def check_records(raws: Iterable[bytes], file: FileResult) -> Iterator[Record]:
    """Yield the records of a file until it ends or is damaged; add findings about each and about the order.

    That each id is in the file once is checked by means of :class:`RecordIndex`.
    """
    findings = file.findings
    last: tuple[int, str] | None = None
    try:
        for position, raw in enumerate(raws, 1):
            file.records = position
            sha256 = hashlib.sha256(raw).hexdigest()
            try:
                head = read_head(raw)
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


def _check_timestamp(head: _Head, position: int, file: FileResult) -> int | None:
    if file.series is None or file.window is None:
        return None
    field = file.series.timestamp_field
    try:
        at = parse_instant(getattr(head, field))
    except ValueError as exc:
        file.findings.add("no_timestamp", f"has no usable {field}: {escape(str(exc))}", position, head.id)
        return None
    if not file.window.start <= at < file.window.end:
        timestamp = format_instant(at)
        text = f"is outside the window: its {field} is {timestamp}"
        file.findings.add("outside_window", text, position, head.id, timestamp=timestamp)
    return at


class RecordIndex(ScratchDatabase):
    """Remember on disk where each id of each series was first found, and the records of one file."""

    def __init__(self) -> None:
        super().__init__(_INDEX)

    def add(self, series: int, file: int, position: int, record_id: str) -> tuple[int, int] | None:
        """Add an id; return (file, position) of the record that had it first, if there is one."""
        key = id_key(record_id)
        row = (series, key, file, position)
        if self.database.execute("INSERT INTO first VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row).rowcount:
            return None
        query = "SELECT file, position FROM first WHERE series = ? AND key = ?"
        found: tuple[int, int] = self.database.execute(query, (series, key)).fetchone()
        return found

    def clear_held(self) -> None:
        """Forget the records that are held."""
        self.database.execute("DELETE FROM held")

    def hold(self, record: Record, record_id: str) -> None:
        """Hold a record, until it is taken, if none with its id is held."""
        row = (id_key(record_id), record.position, record.at, record.sha256, encode_text(record_id))
        self.database.execute("INSERT INTO held VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row)

    def take(self, record_id: str) -> tuple[int, str] | None:
        """Return position and sha256 of a held record, and hold it no longer; None: there is no such record."""
        key = (id_key(record_id),)
        row: tuple[int, str] | None
        row = self.database.execute("SELECT position, sha256 FROM held WHERE key = ?", key).fetchone()
        self.database.execute("DELETE FROM held WHERE key = ?", key)
        return row

    def held(self) -> Iterator[tuple[int, str, int | None]]:
        """Yield position, id and timestamp of the records that are still held."""
        for position, blob, at in self.database.execute("SELECT position, id, at FROM held ORDER BY position"):
            yield position, decode_text(blob), at
