"""
The documented answers, decoded no further than decisions need.

A log stays the bytes that the API sent: only ``id`` and the timestamps are read from it. Shapes:
``v1_ActivityLogOutPaginated`` and ``v1_ResourceActivityLogOutPaginated`` of the vendor's API reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec

from airflow_provider_secoda.client.decoding import (
    UNREADABLE,
    check_envelope,
    decode,
    locate,
    misfit,
    originals,
)
from airflow_provider_secoda.client.errors import SecodaResponseError
from airflow_provider_secoda.client.instants import (
    Instant,
    format_instant,
    from_instant,
    parse_instant,
    to_instant,
)
from airflow_provider_secoda.client.scrutiny import ambiguous, ambiguous_log, nested_deeper, without_half_pairs

if TYPE_CHECKING:
    from airflow_provider_secoda.client.limits import Limits
    from airflow_provider_secoda.client.messages import Response

__all__ = [
    "Instant",
    "Log",
    "Page",
    "TimestampField",
    "Version",
    "VersionPage",
    "format_instant",
    "from_instant",
    "parse_instant",
    "read_audit_logs",
    "read_json",
    "read_resource_logs",
    "to_instant",
]

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


_Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class _Meta(msgspec.Struct):
    page: int | None = None


class _AuditLogs(msgspec.Struct):
    results: list[msgspec.Raw]
    total_pages: _Number
    count: _Number
    meta: _Meta | None = None


class _ResourceLogs(msgspec.Struct):
    version_histories: list[msgspec.Raw]
    non_versioned_logs: list[msgspec.Raw]
    total_pages: _Number
    count: _Number
    meta: _Meta | None = None


class _Head(msgspec.Struct):
    id: str
    logged_at: Any = msgspec.UNSET
    created_at: Any = msgspec.UNSET
    updated_at: Any = msgspec.UNSET


class _VersionHead(msgspec.Struct):
    id: str
    resource_id: Any = None
    created_at: Any = None
    latest_activity_logged_at: Any = None
    updated_at: Any = None


class _LogHead(msgspec.Struct):
    logged_at: Any = None


_decode_audit_logs = msgspec.json.Decoder(_AuditLogs)
_decode_resource_logs = msgspec.json.Decoder(_ResourceLogs)
_decode_head = msgspec.json.Decoder(_Head)
_decode_object = msgspec.json.Decoder(dict[str, Any])
_decode_version_head = msgspec.json.Decoder(_VersionHead)
_decode_log_head = msgspec.json.Decoder(_LogHead)
#: How deep in an answer a record stands.
_DEPTH = 2


def read_audit_logs(response: Response, number: int, field: TimestampField) -> Page:
    """
    Read a page of audit logs; ``number`` is the page that was asked for.

    :raises SecodaResponseError: when the body is cut, foreign, lacks what decisions need, or says it twice in two ways
    :raises SecodaLimitError: when it is nested too deeply
    """
    body, decoded = decode(_decode_audit_logs, response)
    records = list(originals(body.results, response.body, decoded))
    check_envelope(response, records)
    if body.meta is not None and body.meta.page not in (None, number):
        # Some servers answer a page beyond the end with the last page: that is no answer to what was asked.
        return Page(number, (), body.count, body.total_pages)
    logs = tuple(_read_log(raw, field, f"$.results[{index}]", response.limits) for index, raw in enumerate(records))
    return Page(number, logs, body.count, body.total_pages)


@dataclass(frozen=True, slots=True)
class Version:
    """
    One version history entry: which, of what, its bytes, and its three times; None stands for one that is unusable.

    A later edit may extend a version: ``latest`` (``latest_activity_logged_at``) moves, ``id`` and ``created`` stay.
    """

    id: str
    resource_id: str | None
    raw: bytes
    created: Instant | None
    latest: Instant | None
    updated: Instant | None


@dataclass(frozen=True, slots=True)
class VersionPage:
    """
    One page of a resource's logs: its version histories, in the order in which they came.

    ``logged`` holds the ``logged_at`` of the logs beside them that belong to no version. ``digest`` tells, where
    somebody asked for it, whether another answer is the same to the byte.
    """

    number: int
    versions: tuple[Version, ...]
    count: int
    total_pages: int
    logged: tuple[Instant | None, ...] = ()
    digest: str = field(default="", compare=False)

    @property
    def empty(self) -> bool:
        """Whether nothing stands on the page at all."""
        return not self.versions and not self.logged


def read_resource_logs(response: Response, number: int) -> VersionPage:
    """
    Read a page of resource logs.

    :raises SecodaResponseError: when the body is cut, foreign, a version history has no id, or says twice what matters
    :raises SecodaLimitError: when it is nested too deeply
    """
    body, decoded = decode(_decode_resource_logs, response)
    histories, others = (
        list(originals(raws, response.body, decoded)) for raws in (body.version_histories, body.non_versioned_logs)
    )
    check_envelope(response, histories, others)
    if body.meta is not None and body.meta.page not in (None, number):
        return VersionPage(number, (), body.count, body.total_pages)
    versions = tuple(
        _read_version(raw, f"$.version_histories[{index}]", response) for index, raw in enumerate(histories)
    )
    logged = tuple(map(_read_logged, others))
    return VersionPage(number, versions, body.count, body.total_pages, logged)


def read_json(response: Response, listing: Literal["results", "version_histories"] = "results") -> dict[str, Any]:
    """
    Read a whole page into Python objects, for people who ask for one documented page.

    :param listing: what the page must hold
    :raises SecodaResponseError: when the body is cut, or something else than such a page
    :raises SecodaLimitError: when it is nested too deeply
    """
    if nested_deeper(response.body, response.limits.nesting):
        raise response.limits.passed("nesting", "$")
    decode(_decode_audit_logs if listing == "results" else _decode_resource_logs, response)
    check_envelope(response)
    return decode(_decode_object, response)[0]  # type: ignore[no-any-return]


def _read_log(raw: bytes, field: TimestampField, path: str, limits: Limits) -> Log:
    if nested_deeper(raw, limits.nesting - _DEPTH):
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


def _read_version(raw: bytes, path: str, response: Response) -> Version:
    if nested_deeper(raw, response.limits.nesting - _DEPTH):
        raise response.limits.passed("nesting", path)
    try:
        head = _decode_version_head.decode(without_half_pairs(raw))
    except UNREADABLE as exc:
        raise misfit(exc, path, response) from None
    if name := ambiguous(raw, _VersionHead.__struct_fields__):
        path = f"{path}.{name}"
        raise SecodaResponseError(f"a version history says twice, and differently, what is at {path}", path=path)
    return Version(
        head.id,
        head.resource_id if isinstance(head.resource_id, str) else None,
        raw,
        _instant(head.created_at),
        _instant(head.latest_activity_logged_at),
        _instant(head.updated_at),
    )


def _read_logged(raw: bytes) -> Instant | None:
    try:
        return _instant(_decode_log_head.decode(without_half_pairs(raw)).logged_at)
    except UNREADABLE:
        return None


def _instant(text: Any) -> Instant | None:
    try:
        return parse_instant(text)
    except ValueError:
        return None
