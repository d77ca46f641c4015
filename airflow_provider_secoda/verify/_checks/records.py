"""Check the records of one file: each by itself, against the window, and their order."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from airflow_provider_secoda._storage.scratch_database import encode_text
from airflow_provider_secoda.client._api.json_checks import replace_half_pairs
from airflow_provider_secoda.client._api.timestamps import format_instant, parse_instant
from airflow_provider_secoda.verify._files import DamagedError
from airflow_provider_secoda.verify._messages import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_secoda.verify._result import FileResult


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

    That each id is in the file once is checked by :class:`~airflow_provider_secoda.verify._checks.series.RecordIndex`.
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
