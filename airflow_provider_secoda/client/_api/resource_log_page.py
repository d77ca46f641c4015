"""A page of the logs of one resource, decoded no further than decisions need.

A version history entry stays the bytes that the API sent: only its ids and its times are read from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda.client._api.decoding import (
    UNREADABLE,
    decode_page,
    decode_record,
    decode_resource_logs,
    is_other_page,
)
from airflow_provider_secoda.client._api.json_checks import ambiguous_name, replace_half_pairs
from airflow_provider_secoda.client._api.timestamps import Instant, parse_optional_instant
from airflow_provider_secoda.client.errors import SecodaResponseError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.flow import Response


class _VersionHead(msgspec.Struct):
    id: str
    resource_id: Any = None
    created_at: Any = None
    latest_activity_logged_at: Any = None
    updated_at: Any = None


class _LogHead(msgspec.Struct):
    logged_at: Any = None


_decode_version_head = msgspec.json.Decoder(_VersionHead)
_decode_log_head = msgspec.json.Decoder(_LogHead)


@dataclass(frozen=True, slots=True)
class Version:
    """One version history entry; None is a value that is missing or cannot be parsed.

    A later edit may extend a version: ``latest`` (``latest_activity_logged_at``) changes, ``id`` and ``created`` stay.

    :ivar raw: the JSON text that the API sent
    """

    id: str
    resource_id: str | None
    raw: bytes
    created: Instant | None
    latest: Instant | None
    updated: Instant | None


@dataclass(frozen=True, slots=True)
class VersionPage:
    """One page of a resource's logs: its version histories, in the order in which they were sent.

    :ivar logged: ``logged_at`` of the logs on the page that belong to no version
    :ivar digest: where it was requested, whether two answers are the same to the byte
    """

    number: int
    versions: tuple[Version, ...]
    count: int
    total_pages: int
    logged: tuple[Instant | None, ...] = ()
    digest: str = field(default="", compare=False)

    @property
    def empty(self) -> bool:
        """Whether there is nothing on the page."""
        return not self.versions and not self.logged


def read_resource_logs(response: Response, number: int) -> VersionPage:
    """Read a page of resource logs.

    :param number: the page that was requested
    :raises SecodaResponseError: if it is not such a page, or a version history has no id, or gives twice, with
        different values, what decisions need
    """
    body, (histories, others) = decode_page(decode_resource_logs, response, "version_histories", "non_versioned_logs")
    if is_other_page(body, number):
        return VersionPage(number, (), body.count, body.total_pages)
    versions = tuple(
        _read_version(raw, f"$.version_histories[{index}]", response) for index, raw in enumerate(histories)
    )
    logged = tuple(map(_read_logged, others))
    return VersionPage(number, versions, body.count, body.total_pages, logged)


def _read_version(raw: bytes, path: str, response: Response) -> Version:
    head = decode_record(_decode_version_head, raw, path, response)
    if name := ambiguous_name(raw, _VersionHead.__struct_fields__):
        path = f"{path}.{name}"
        raise SecodaResponseError(f"a version history gives {path} twice, with different values", path=path)
    return Version(
        head.id,
        head.resource_id if isinstance(head.resource_id, str) else None,
        raw,
        parse_optional_instant(head.created_at),
        parse_optional_instant(head.latest_activity_logged_at),
        parse_optional_instant(head.updated_at),
    )


def _read_logged(raw: bytes) -> Instant | None:
    try:
        return parse_optional_instant(_decode_log_head.decode(replace_half_pairs(raw)).logged_at)
    except UNREADABLE:
        return None
