"""The documented answer about the workspace's audit logs, decoded no further than decisions need.

A log stays the bytes that the API sent: only ``id`` and the timestamps are read from it. Shape:
``v1_ActivityLogOutPaginated`` of the vendor's API reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec

from airflow_provider_secoda.client._api.decoding import (
    UNREADABLE,
    check_envelope,
    decode,
    locate,
    originals,
)
from airflow_provider_secoda.client._api.json_checks import ambiguous_log, nested_deeper, without_half_pairs
from airflow_provider_secoda.client._api.timestamps import Instant, parse_instant
from airflow_provider_secoda.client.errors import SecodaResponseError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.flow import Response
    from airflow_provider_secoda.client._api.limits import Limits

TimestampField: TypeAlias = Literal["logged_at", "created_at"]


class Log(NamedTuple):
    """One audit log: when (the chosen timestamp), which, how long it took to be listed, and its bytes."""

    at: Instant
    id: str
    raw: bytes
    #: ``created_at - logged_at`` in microseconds; None when either cannot be read.
    lag: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the audit-log listing, in the order in which it came."""

    number: int
    logs: tuple[Log, ...]
    count: int
    total_pages: int
    #: When it came: later answers have higher numbers.
    turn: int = 0

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids in order."""
        return tuple(log.id for log in self.logs)


Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class Meta(msgspec.Struct):
    """What a page says about itself."""

    page: int | None = None


class _AuditLogs(msgspec.Struct):
    results: list[msgspec.Raw]
    total_pages: Number
    count: Number
    meta: Meta | None = None


class _Head(msgspec.Struct):
    id: str
    logged_at: Any = msgspec.UNSET
    created_at: Any = msgspec.UNSET
    updated_at: Any = msgspec.UNSET


decode_audit_logs = msgspec.json.Decoder(_AuditLogs)
_decode_head = msgspec.json.Decoder(_Head)
#: How deep in an answer a record stands.
DEPTH = 2


def read_audit_logs(response: Response, number: int, field: TimestampField) -> Page:
    """Read a page of audit logs; ``number`` is the page that was asked for.

    :raises SecodaResponseError: when the body is cut, foreign, lacks what decisions need, or says it twice in two ways
    :raises SecodaLimitError: when it is nested too deeply
    """
    body, decoded = decode(decode_audit_logs, response)
    records = list(originals(body.results, response.body, decoded))
    check_envelope(response, records)
    if body.meta is not None and body.meta.page not in (None, number):
        # Some servers answer a page beyond the end with the last page: that is no answer to what was asked.
        return Page(number, (), body.count, body.total_pages)
    logs = tuple(_read_log(raw, field, f"$.results[{index}]", response.limits) for index, raw in enumerate(records))
    return Page(number, logs, body.count, body.total_pages)


def _read_log(raw: bytes, field: TimestampField, path: str, limits: Limits) -> Log:
    if nested_deeper(raw, limits.nesting - DEPTH):
        raise limits.passed("nesting", path)
    try:
        head = _decode_head.decode(without_half_pairs(raw))
    except UNREADABLE as exc:
        path, reason = locate(exc, path)
        raise SecodaResponseError(f"a log is not of the documented shape at {path}: {reason}", path=path) from None
    logged_at, created_at = head.logged_at, head.created_at
    times = 3 - (logged_at, created_at, head.updated_at).count(msgspec.UNSET)
    if name := ambiguous_log(raw, head.id, times):
        path = f"{path}.{name}"
        raise SecodaResponseError(f"a log says twice, and differently, what is at {path}", path=path)
    try:
        at = parse_instant(logged_at if field == "logged_at" else created_at)
    except ValueError as exc:
        path = f"{path}.{field}"
        raise SecodaResponseError(f"a log has no usable timestamp at {path}: {exc}", path=path) from None
    try:
        lag = parse_instant(created_at) - parse_instant(logged_at)
    except ValueError:
        lag = None
    return Log(at, head.id, raw, lag)
