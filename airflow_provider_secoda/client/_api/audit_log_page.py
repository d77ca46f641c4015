"""A page of the audit-log listing, decoded no further than decisions need.

A log stays the bytes that the API sent: only ``id`` and the timestamps are read from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import sub
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from airflow_provider_secoda.client._api.decoding import (
    RECORD_DEPTH,
    UNREADABLE,
    Place,
    decode_audit_logs,
    decode_instant,
    decode_instants,
    decode_page,
    decode_record,
    is_other_page,
)
from airflow_provider_secoda.client._api.json_checks import (
    ambiguous_name_of_log,
    are_shallow,
    is_any_log_ambiguous,
    load,
    replace_half_pairs,
)

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.flow import Response
    from airflow_provider_secoda.client._api.timestamps import Instant

TimestampField: TypeAlias = Literal["logged_at", "created_at"]


class Log(msgspec.Struct, frozen=True, gc=False):
    """One audit log.

    :ivar at: the timestamp that was chosen
    :ivar raw: the JSON text that the API sent
    :ivar lag: ``created_at - logged_at`` in microseconds; None if either cannot be parsed
    """

    at: Instant
    id: str
    raw: bytes
    lag: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the audit-log listing, in the order in which it was sent."""

    number: int
    logs: tuple[Log, ...]
    count: int
    total_pages: int
    #: The order of the answers within one read: later answers have higher numbers.
    sequence: int = 0

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids in order."""
        return tuple(log.id for log in self.logs)


_MISSING = msgspec.Raw()


class LogHead(msgspec.Struct, gc=False):
    """What decisions need of a log; the timestamps may be any JSON, and are empty if they are missing."""

    id: str
    logged_at: msgspec.Raw = _MISSING
    created_at: msgspec.Raw = _MISSING
    updated_at: msgspec.Raw = _MISSING


class _PlainHead(msgspec.Struct, gc=False):
    """The members that every documented log has."""

    id: str
    logged_at: msgspec.Raw
    created_at: msgspec.Raw
    updated_at: msgspec.Raw


class _PlainHeads(msgspec.Struct):
    results: list[_PlainHead]


_decode_plain_heads = msgspec.json.Decoder(_PlainHeads).decode
_decode_head = msgspec.json.Decoder(LogHead)


def read_audit_logs(response: Response, number: int, field: TimestampField) -> Page:
    """Read a page of audit logs.

    :param number: the page that was requested
    :param field: the timestamp of the logs
    :raises SecodaResponseError: if it is not such a page, lacks what decisions need, or gives it twice with different
        values
    """
    body, (records,) = decode_page(decode_audit_logs, response, "results")
    if is_other_page(body, number) or not records:
        return Page(number, (), body.count, body.total_pages)
    logs = _read_plain_logs(records, field, response) or [
        _read_log(raw, field, Place("log", number, "results", index), response) for index, raw in enumerate(records)
    ]
    return Page(number, tuple(logs), body.count, body.total_pages)


def _read_plain_logs(records: list[bytes], field: TimestampField, response: Response) -> list[Log] | None:
    """Read all logs of a page at once, as nearly all pages can be read; None if :func:`_read_log` must read them."""
    try:
        heads = _decode_plain_heads(response.json).results
        ids = [head.id for head in heads]
        if not are_shallow(records, response.limits.nesting - RECORD_DEPTH) or is_any_log_ambiguous(
            response.json, records, ids, times=3
        ):
            return None
        logged_at = decode_instants([head.logged_at for head in heads])
        created_at = decode_instants([head.created_at for head in heads])
    except (*UNREADABLE, ValueError):
        return None
    lags = map(sub, created_at, logged_at)
    return list(map(Log, logged_at if field == "logged_at" else created_at, ids, records, lags))


def _read_log(raw: bytes, field: TimestampField, place: Place, response: Response) -> Log:
    head = decode_record(_decode_head, raw, place, response)
    times = (head.logged_at is not _MISSING) + (head.created_at is not _MISSING) + (head.updated_at is not _MISSING)
    if name := ambiguous_name_of_log(raw, head.id, times):
        raise place.error(raw, f"gives `{name}` twice, with different values", f".{name}")
    chosen, other = (head.logged_at, head.created_at) if field == "logged_at" else (head.created_at, head.logged_at)
    try:
        at = decode_instant(chosen)
    except ValueError as exc:
        raise place.error(raw, f"has no usable `{field}`: {exc}", f".{field}") from None
    try:
        later = decode_instant(other) - at
        lag = later if field == "logged_at" else -later
    except ValueError:
        lag = None
    return Log(at, _identity(raw, head.id), raw, lag)


def read_head(raw: bytes) -> LogHead:
    """Read a log that was stored, as it was read when the API sent it.

    :raises msgspec.DecodeError: it is not a JSON object with an id
    """
    head = _decode_head.decode(replace_half_pairs(raw))
    head.id = _identity(raw, head.id)
    return head


def _identity(raw: bytes, log_id: str) -> str:
    """Return the id of a log, also if it has half a surrogate pair: two ids that differ only there are two logs."""
    return str(load(raw)["id"]) if "\ufffd" in log_id and b"\\" in raw else log_id
