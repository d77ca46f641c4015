"""A page of the audit-log listing, decoded no further than decisions need.

A log stays the bytes that the API sent: only ``id`` and the timestamps are read from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import msgspec

from airflow_provider_secoda.client._api.decoding import decode_audit_logs, decode_page, decode_record, is_other_page
from airflow_provider_secoda.client._api.json_checks import ambiguous_name_of_log
from airflow_provider_secoda.client._api.timestamps import Instant, parse_instant
from airflow_provider_secoda.client.errors import SecodaResponseError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.flow import Response

TimestampField: TypeAlias = Literal["logged_at", "created_at"]


class Log(NamedTuple):
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


class _Head(msgspec.Struct):
    id: str
    logged_at: Any = msgspec.UNSET
    created_at: Any = msgspec.UNSET
    updated_at: Any = msgspec.UNSET


_decode_head = msgspec.json.Decoder(_Head)


def read_audit_logs(response: Response, number: int, field: TimestampField) -> Page:
    """Read a page of audit logs.

    :param number: the page that was requested
    :param field: the timestamp of the logs
    :raises SecodaResponseError: if it is not such a page, lacks what decisions need, or gives it twice with different
        values
    """
    body, (records,) = decode_page(decode_audit_logs, response, "results")
    if is_other_page(body, number):
        return Page(number, (), body.count, body.total_pages)
    logs = tuple(_read_log(raw, field, f"$.results[{index}]", response) for index, raw in enumerate(records))
    return Page(number, logs, body.count, body.total_pages)


def _read_log(raw: bytes, field: TimestampField, path: str, response: Response) -> Log:
    head = decode_record(_decode_head, raw, path, response)
    logged_at, created_at = head.logged_at, head.created_at
    times = 3 - (logged_at, created_at, head.updated_at).count(msgspec.UNSET)
    if name := ambiguous_name_of_log(raw, head.id, times):
        path = f"{path}.{name}"
        raise SecodaResponseError(f"a log gives {path} twice, with different values", path=path)
    try:
        at = parse_instant(logged_at if field == "logged_at" else created_at)
    except ValueError as exc:
        path = f"{path}.{field}"
        raise SecodaResponseError(f"a log has no valid timestamp at {path}: {exc}", path=path) from None
    try:
        lag = parse_instant(created_at) - parse_instant(logged_at)
    except ValueError:
        lag = None
    return Log(at, head.id, raw, lag)
