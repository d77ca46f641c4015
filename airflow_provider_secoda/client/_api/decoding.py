"""Decode a page: its documented members, and its records as the bytes that the API sent.

A body that is not JSON, has another shape, or gives a value twice raises an error with the path of the first problem.
Shapes: ``v1_ActivityLogOutPaginated`` and ``v1_ResourceActivityLogOutPaginated`` of the vendor's API reference.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec

from airflow_provider_secoda.client._api.json_checks import (
    load,
    nested_deeper_than,
    repeated_name,
    replace_half_pairs,
)
from airflow_provider_secoda.client._api.text import printable_line
from airflow_provider_secoda.client._api.timestamps import Instant, parse_instant, to_instant, to_instants
from airflow_provider_secoda.client.errors import SecodaError, SecodaResponseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_secoda.client._api.flow import Response

#: No larger than what Airflow stores: a sensor's state and its trigger contain counts.
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Meta(msgspec.Struct):
    page: int | None = None


class AuditLogs(msgspec.Struct):
    """One page of the audit-log listing."""

    results: list[msgspec.Raw]
    total_pages: _Count
    count: _Count
    meta: _Meta | None = None


class ResourceLogs(msgspec.Struct):
    """One page of the logs of a resource."""

    version_histories: list[msgspec.Raw]
    non_versioned_logs: list[msgspec.Raw]
    total_pages: _Count
    count: _Count
    meta: _Meta | None = None


class Place(NamedTuple):
    """Where a record is, for errors.

    :param kind: what the record is: ``log`` or ``version history``
    :param page: the number of the page that was requested
    :param listing: the member of the response that contains the record, and ``position`` where it is in there
    """

    kind: str
    page: int
    listing: str
    position: int

    @property
    def path(self) -> str:
        """The JSON path in the response."""
        return f"$.{self.listing}[{self.position}]"

    def error(self, raw: bytes, problem: str, name: str = "") -> SecodaResponseError:
        """Return the error for a record that cannot be used; it names the record's id, page and path.

        :param problem: the end of a sentence about the record
        :param name: the part of the record that is concerned, as the end of a JSON path
        """
        path = self.path + name
        return SecodaResponseError(f"{self.describe(raw)} {problem} (at {path})", path=path, complete=True)

    def describe(self, raw: bytes) -> str:
        """Return how an error calls a record."""
        try:
            record_id = load(raw)["id"]
        except (ValueError, RecursionError, LookupError, TypeError):
            record_id = None
        known = f"{self.kind} {record_id!r:.80}" if isinstance(record_id, str) else f"a {self.kind} without an id"
        return f"{known} on page {self.page}"


decode_audit_logs = msgspec.json.Decoder(AuditLogs)
decode_resource_logs = msgspec.json.Decoder(ResourceLogs)
_decode_string = msgspec.json.Decoder(str).decode
_decode_object = msgspec.json.Decoder(dict[str, Any])
_decode_datetime = msgspec.json.Decoder(datetime).decode
_decode_datetimes = msgspec.json.Decoder(list[datetime]).decode
#: The decoder rounds digits beyond the microsecond, which no timestamp in UTC of this length has.
_EXACT_BYTES = len(b'"2026-10-01T12:00:00.123456Z"')

#: What decoders raise.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
#: How many levels of an answer are outside a record.
RECORD_DEPTH = 2
_ENVELOPE = ("results", "version_histories", "non_versioned_logs", "total_pages", "count", "meta")
_AT = re.compile(r" - at `\$([^`]*)`$")


def read_json(response: Response, listing: Literal["results", "version_histories"] = "results") -> dict[str, Any]:
    """Read a page, which must contain this listing, into Python objects for users who request one documented page."""
    if nested_deeper_than(response.json, response.limits.nesting):
        raise response.limits.exceeded("nesting", "$")
    _decode(decode_audit_logs if listing == "results" else decode_resource_logs, response)
    _check_envelope(response)
    return _decode(_decode_object, response)[0]  # type: ignore[no-any-return]


def decode_page(decoder: Any, response: Response, *lists: str) -> tuple[Any, list[list[bytes]]]:
    """Decode a page; return also the records of these lists, as they are in the body that was sent."""
    page, decoded = _decode(decoder, response)
    records = [_sent_records(getattr(page, name), response.json, decoded) for name in lists]
    _check_envelope(response, *records)
    return page, records


def decode_record(decoder: Any, raw: bytes, place: Place, response: Response) -> Any:
    """Decode what decisions need of a record."""
    if nested_deeper_than(raw, response.limits.nesting - RECORD_DEPTH):
        raise response.limits.exceeded("nesting", f"{place.describe(raw)} (at {place.path})")
    try:
        return decoder.decode(replace_half_pairs(raw))
    except UNREADABLE as exc:
        reason = str(exc)
        found = _AT.search(reason)
        reason, name = (reason[: found.start()], found[1]) if found else (reason, "")
        raise place.error(raw, f"cannot be read: {reason}", name) from None


def decode_instant(value: bytes | msgspec.Raw) -> Instant:
    """Read the JSON of a timestamp. Which window a log is in, and typed columns, both come from here.

    :param value: JSON in which half surrogate pairs were replaced; empty: missing
    :raises ValueError: it is not a timestamp
    """
    text = bytes(value)
    if len(text) <= _EXACT_BYTES and text.endswith(b'Z"'):
        try:
            return to_instant(_decode_datetime(text))
        except msgspec.DecodeError:  # a leap second, or not a timestamp
            pass
    try:
        return parse_instant(_decode_string(text))
    except msgspec.DecodeError:
        shown = text[:80].decode(errors="replace")
        raise ValueError(f"not a timestamp: {shown}" if shown else "it is missing") from None


def decode_instants(values: Sequence[bytes | msgspec.Raw]) -> list[Instant]:
    """Read the JSON of many timestamps at once, if all are in UTC and no more exact than an :data:`Instant`.

    :param values: as :func:`decode_instant` reads them
    :raises ValueError: one is not; :func:`decode_instant` may still be able to read it
    """
    joined = b",".join(values)
    # A value that has a comma is not a timestamp, and the decoder refuses it.
    if joined.count(b'Z"') != len(values) or max(map(len, joined.split(b","))) > _EXACT_BYTES:
        raise ValueError("a timestamp is not in UTC, or has more digits")
    try:
        moments = _decode_datetimes(b"[%b]" % joined)
    except UNREADABLE as exc:  # errors of msgspec 0.19 are not a ValueError
        raise ValueError(f"a value is not a timestamp: {exc}") from None
    if len(moments) != len(values):
        raise ValueError("a value is missing")
    return to_instants(moments)


def optional_string(value: bytes | msgspec.Raw) -> str | None:
    """Read the JSON of a string, in which half surrogate pairs were replaced; None for any other JSON."""
    try:
        return _decode_string(value)
    except msgspec.DecodeError:
        return None


def _decode(decoder: Any, response: Response) -> tuple[Any, bytes]:
    """Decode a body; return also the bytes that were decoded: as long as the body, and nearly always the same."""
    body = response.json
    try:
        if not body.isascii():
            body.decode()  # a decoder that passes records on does not check their text
        return decoder.decode(body), body
    except msgspec.DecodeError:
        body = replace_half_pairs(body)
    except (UnicodeDecodeError, RecursionError) as exc:
        raise _decode_error(exc, "$", response) from None
    try:
        return decoder.decode(body), body
    except UNREADABLE as exc:
        raise _decode_error(exc, "$", response) from None


def _sent_records(raws: list[msgspec.Raw], body: bytes, decoded: bytes) -> list[bytes]:
    """Return the records as they are in the body that was sent, not in the bytes that were decoded."""
    records = list(map(bytes, raws))
    if decoded is body:
        return records
    sent, end = [], 0
    for record in records:
        begin = decoded.index(record, end)
        end = begin + len(record)
        sent.append(body[begin:end])
    return sent


def _check_envelope(response: Response, *lists: list[bytes]) -> None:
    """Refuse an answer that gives a documented member twice; the records of its lists need not be searched."""
    try:
        name = repeated_name(response.json, lists, _ENVELOPE)
    except RecursionError as exc:
        raise _decode_error(exc, "$", response) from None
    if name:
        path = f"$.{name}"
        message = f"the response gives {path} twice"
        raise SecodaResponseError(message, path=path, status=response.status, complete=True)


def is_other_page(page: AuditLogs | ResourceLogs, number: int) -> bool:
    """Return whether a page says that it is another one than requested, and so does not answer the request.

    Some servers answer a request for a page after the last one with the last page.
    """
    return page.meta is not None and page.meta.page not in (None, number)


def _decode_error(exc: Exception, path: str, response: Response) -> SecodaError:
    """Return the error for what a decoder refused at a path, or below it; where it is, only the error's text says."""
    if isinstance(exc, RecursionError):
        return response.limits.exceeded("nesting", path)
    kind = printable_line(response.headers.get("content-type", "").split(";")[0], 40).strip().lower()
    foreign = f" (it is {kind})" if kind and not kind.endswith("json") else ""
    reason = str(exc)
    if found := _AT.search(reason):
        path, reason = path + found[1], reason[: found.start()]
    message = f"the response is not the documented JSON{foreign}: {reason} at {path}"
    return SecodaResponseError(message, path=path, status=response.status, complete=path != "$")
