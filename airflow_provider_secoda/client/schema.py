"""
The documented answers, decoded no further than decisions need.

A log stays the bytes that the API sent: only ``id`` and the timestamps are read from it. Shapes:
``v1_ActivityLogOutPaginated`` and ``v1_ResourceActivityLogOutPaginated`` of the vendor's API reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec

from airflow_provider_secoda.client.errors import SecodaResponseError
from airflow_provider_secoda.client.instants import (
    Instant,
    format_instant,
    from_instant,
    parse_instant,
    to_instant,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

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
_AT = re.compile(r" - at `\$([^`]*)`$")
# Consumed and kept: an escaped backslash, a whole pair. Replaced: half a pair.
_SURROGATES = re.compile(
    rb"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


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
    logged_at: Any = None
    created_at: Any = None


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


def read_audit_logs(response: Response, number: int, field: TimestampField) -> Page:
    """
    Read a page of audit logs; ``number`` is the page that was asked for.

    :raises SecodaResponseError: when the body is cut, foreign, or lacks what decisions need.
    """
    body, decoded = _decode(_decode_audit_logs, response)
    if body.meta is not None and body.meta.page not in (None, number):
        # Some servers answer a page beyond the end with the last page: that is no answer to what was asked.
        return Page(number, (), body.count, body.total_pages)
    logs = tuple(
        _read_log(raw, field, f"$.results[{index}]")
        for index, raw in enumerate(_originals(body.results, response.body, decoded))
    )
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

    :raises SecodaResponseError: when the body is cut, foreign, or a version history has no id.
    """
    body, decoded = _decode(_decode_resource_logs, response)
    if body.meta is not None and body.meta.page not in (None, number):
        return VersionPage(number, (), body.count, body.total_pages)
    versions = tuple(
        _read_version(raw, f"$.version_histories[{index}]", response)
        for index, raw in enumerate(_originals(body.version_histories, response.body, decoded))
    )
    logged = tuple(_read_logged(bytes(raw)) for raw in body.non_versioned_logs)
    return VersionPage(number, versions, body.count, body.total_pages, logged)


def read_json(response: Response, listing: Literal["results", "version_histories"] = "results") -> dict[str, Any]:
    """
    Read a whole page into Python objects, for people who ask for one documented page.

    :param listing: what the page must hold
    :raises SecodaResponseError: when the body is cut, or something else than such a page
    """
    _decode(_decode_audit_logs if listing == "results" else _decode_resource_logs, response)
    return _decode(_decode_object, response)[0]  # type: ignore[no-any-return]


def _decode(decoder: Any, response: Response) -> tuple[Any, bytes]:
    """Decode a body; return also the bytes that were decoded, as long as the body and nearly always the same."""
    body = response.body
    try:
        if not body.isascii():
            body.decode()  # a decoder that passes records on does not look at their text
        return decoder.decode(body), body
    except msgspec.DecodeError:
        body = _without_half_pairs(body)
    except (UnicodeDecodeError, RecursionError) as exc:
        raise _misfit(exc, "$", response) from None
    try:
        return decoder.decode(body), body
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise _misfit(exc, "$", response) from None


def _without_half_pairs(body: bytes) -> bytes:
    # Half a surrogate pair is what text cut in the middle of an emoji looks like. JSON allows it, the decoder does
    # not. The replacement has the same length, so that offsets in both bodies agree.
    return _SURROGATES.sub(lambda match: match[1] or rb"\ufffd", body)


def _originals(raws: list[msgspec.Raw], body: bytes, decoded: bytes) -> Iterator[bytes]:
    """Yield each record as it stands in the body that was sent, not in the one that was decoded."""
    position = 0
    for raw in raws:
        record = bytes(raw)
        if decoded is not body:
            position = decoded.index(record, position)
            record = body[position : position + len(record)]
            position += len(record)
        yield record


def _read_log(raw: bytes, field: TimestampField, path: str) -> Log:
    try:
        head = _decode_head.decode(raw if b"\\u" not in raw else _without_half_pairs(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        path, reason = _locate(exc, path)
        raise SecodaResponseError(f"a log is not of the documented shape at {path}: {reason}", path=path) from None
    try:
        at = parse_instant(getattr(head, field))
    except ValueError as exc:
        path = f"{path}.{field}"
        raise SecodaResponseError(f"a log has no usable timestamp at {path}: {exc}", path=path) from None
    try:
        lag = parse_instant(head.created_at) - parse_instant(head.logged_at)
    except ValueError:
        lag = None
    return Log(at, head.id, raw, lag)


def _read_version(raw: bytes, path: str, response: Response) -> Version:
    try:
        head = _decode_version_head.decode(raw if b"\\u" not in raw else _without_half_pairs(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise _misfit(exc, path, response) from None
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
        return _instant(_decode_log_head.decode(raw).logged_at)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _instant(text: Any) -> Instant | None:
    try:
        return parse_instant(text)
    except ValueError:
        return None


def _misfit(exc: Exception, path: str, response: Response) -> SecodaResponseError:
    kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
    foreign = f" (it is {kind})" if kind and not kind.endswith("json") else ""
    path, reason = _locate(exc, path)
    return SecodaResponseError(
        f"the answer is not the documented JSON{foreign}: {reason} at {path}",
        path=path,
        status=response.status,
    )


def _locate(exc: Exception, path: str) -> tuple[str, str]:
    """Return the JSON path of a misfit, which the decoder tells in its text only, and what is wrong there."""
    if isinstance(exc, RecursionError):
        return path, "nested too deeply"
    found = _AT.search(str(exc))
    return (path + found[1], str(exc)[: found.start()]) if found else (path, str(exc))
