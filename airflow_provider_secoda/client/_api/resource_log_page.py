"""The documented answer about one resource, decoded no further than decisions need.

A version history entry stays the bytes that the API sent: only ``id`` and the times are read from it. Shape:
``v1_ResourceActivityLogOutPaginated`` of the vendor's API reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda.client._api.audit_log_page import DEPTH, Meta, Number
from airflow_provider_secoda.client._api.decoding import UNREADABLE, check_envelope, decode, decode_error, originals
from airflow_provider_secoda.client._api.json_checks import ambiguous, nested_deeper, without_half_pairs
from airflow_provider_secoda.client._api.timestamps import Instant, parse_instant
from airflow_provider_secoda.client.errors import SecodaResponseError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.flow import Response


class ResourceLogs(msgspec.Struct):
    """One page, as documented, but for what stands in its entries."""

    version_histories: list[msgspec.Raw]
    non_versioned_logs: list[msgspec.Raw]
    total_pages: Number
    count: Number
    meta: Meta | None = None


class _VersionHead(msgspec.Struct):
    id: str
    resource_id: Any = None
    created_at: Any = None
    latest_activity_logged_at: Any = None
    updated_at: Any = None


class _LogHead(msgspec.Struct):
    logged_at: Any = None


decode_resource_logs = msgspec.json.Decoder(ResourceLogs)
_decode_version_head = msgspec.json.Decoder(_VersionHead)
_decode_log_head = msgspec.json.Decoder(_LogHead)


@dataclass(frozen=True, slots=True)
class Version:
    """One version history entry: which, of what, its bytes, and its three times; None stands for one that is unusable.

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
    """One page of a resource's logs: its version histories, in the order in which they came.

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
    """Read a page of resource logs.

    :raises SecodaResponseError: when the body is cut, foreign, a version history has no id, or says twice what matters
    :raises SecodaLimitError: when it is nested too deeply
    """
    body, decoded = decode(decode_resource_logs, response)
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


def _read_version(raw: bytes, path: str, response: Response) -> Version:
    if nested_deeper(raw, response.limits.nesting - DEPTH):
        raise response.limits.passed("nesting", path)
    try:
        head = _decode_version_head.decode(without_half_pairs(raw))
    except UNREADABLE as exc:
        raise decode_error(exc, path, response) from None
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
