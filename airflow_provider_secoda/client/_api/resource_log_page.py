"""A page of the logs of one resource, decoded no further than decisions need.

A version history entry stays the bytes that the API sent: only its ids and its times are read from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_secoda.client._api.decoding import (
    UNREADABLE,
    Place,
    decode_instant,
    decode_page,
    decode_record,
    decode_resource_logs,
    is_other_page,
    optional_string,
)
from airflow_provider_secoda.client._api.json_checks import ambiguous_name, replace_half_pairs

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.flow import Response
    from airflow_provider_secoda.client._api.timestamps import Instant

_MISSING = msgspec.Raw()


class _VersionHead(msgspec.Struct):
    id: str
    resource_id: msgspec.Raw = _MISSING
    created_at: msgspec.Raw = _MISSING
    latest_activity_logged_at: msgspec.Raw = _MISSING
    updated_at: msgspec.Raw = _MISSING


class _LogHead(msgspec.Struct):
    logged_at: msgspec.Raw = _MISSING


_decode_version_head = msgspec.json.Decoder(_VersionHead)
_decode_log_head = msgspec.json.Decoder(_LogHead)


@dataclass(frozen=True, slots=True)
class Version:
    """One version history entry; None is a value that is missing or cannot be parsed.

    A later edit may extend a version: ``latest`` (``latest_activity_logged_at``) changes, ``id`` and ``created`` stay.

    :ivar raw: the JSON text that the API sent
    :ivar place: where it was, for errors
    """

    id: str
    resource_id: str | None
    raw: bytes
    created: Instant | None
    latest: Instant | None
    updated: Instant | None
    place: Place = field(compare=False)


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
        _read_version(raw, Place("version history", number, "version_histories", index), response)
        for index, raw in enumerate(histories)
    )
    logged = tuple(map(_read_logged, others))
    return VersionPage(number, versions, body.count, body.total_pages, logged)


def _read_version(raw: bytes, place: Place, response: Response) -> Version:
    head = decode_record(_decode_version_head, raw, place, response)
    if name := ambiguous_name(raw, _VersionHead.__struct_fields__):
        raise place.error(raw, f"gives `{name}` twice, with different values", f".{name}")
    return Version(
        head.id,
        optional_string(head.resource_id),
        raw,
        _optional_instant(head.created_at),
        _optional_instant(head.latest_activity_logged_at),
        _optional_instant(head.updated_at),
        place,
    )


def _read_logged(raw: bytes) -> Instant | None:
    try:
        return _optional_instant(_decode_log_head.decode(replace_half_pairs(raw)).logged_at)
    except UNREADABLE:
        return None


def _optional_instant(value: msgspec.Raw) -> Instant | None:
    try:
        return decode_instant(value)
    except ValueError:
        return None
