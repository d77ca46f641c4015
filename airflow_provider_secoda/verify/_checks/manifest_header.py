"""Read the header of a manifest as values of the expected types."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from airflow_provider_secoda._storage.manifest import ManifestError, read_manifest
from airflow_provider_secoda.client._api.timestamps import parse_instant
from airflow_provider_secoda.verify._result import SeriesKey, Span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO


class _File(msgspec.Struct):
    name: str
    format: str
    bytes: int
    sha256: str
    count: int


class _Query(msgspec.Struct):
    start: str
    end: str
    timestamp_field: Literal["logged_at", "created_at"]
    filter: Any = None


class _Source(msgspec.Struct):
    connection_id: str
    base_url: str


class _Read(msgspec.Struct):
    started_at: str
    settle_seconds: float = 0.0


class _Header(msgspec.Struct):
    file: _File
    query: _Query
    source: _Source
    read: _Read | None = None


@dataclass(frozen=True)
class ManifestHeader:
    """What a manifest records about its file.

    :param file: its name, format, size in bytes, sha256 and count of records
    :param filter: that was sent to the API, or None
    :param seconds_too_early: how long before the end of the settle time the read began; 0 if it began after that
    """

    file: _File
    series: SeriesKey
    window: Span
    timestamp_field: Literal["logged_at", "created_at"]
    filter: Any
    seconds_too_early: float


def read_manifest_header(file: IO[bytes]) -> tuple[ManifestHeader, Iterator[tuple[str, str]]]:
    """Read a manifest: its header immediately, its records one by one.

    :param file: open for reading bytes, at its beginning; must stay open while the records are read
    :return: the header, and pairs of (id, sha256)
    :raises ManifestError: it is not a valid manifest; also while the records are read
    """
    header, records = read_manifest(file)
    return _convert(header), records


def _convert(header: dict[str, Any]) -> ManifestHeader:
    try:
        converted = msgspec.convert(header, _Header)
        file, query, source, read = converted.file, converted.query, converted.source, converted.read
        window = Span(parse_instant(query.start), parse_instant(query.end))
        started_at = math.inf if read is None else parse_instant(read.started_at)
        settle = 0.0 if read is None else read.settle_seconds
        canonical_filter = None if query.filter is None else json.dumps(query.filter, sort_keys=True)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise ManifestError(f"its header is invalid: {exc}") from None
    if window.start >= window.end:
        raise ManifestError("its window does not end after its start")
    field = query.timestamp_field
    series = SeriesKey(source.connection_id, source.base_url, field, canonical_filter, file.format)
    too_early = max(0.0, (window.end - started_at) / 1_000_000 + settle)
    return ManifestHeader(file, series, window, field, query.filter, too_early)
