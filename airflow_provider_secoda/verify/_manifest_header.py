"""What a manifest says, as far as a check needs it: values of the right types, or an error that says which is not."""

from __future__ import annotations

import json
import math
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


class ManifestHeader:
    """What a manifest says of its file.

    :ivar file: its name, format, size in bytes, sha256 and count of records
    :ivar filter: what the API was asked for, or None
    :ivar too_early: by how many seconds the reading began before the window had settled; 0 as it should be
    """

    def __init__(self, header: dict[str, Any]) -> None:
        try:
            converted = msgspec.convert(header, _Header)
            self.file, query, read = converted.file, converted.query, converted.read
            self.filter = query.filter
            self.timestamp_field = query.timestamp_field
            self.window = Span(parse_instant(query.start), parse_instant(query.end))
            started = math.inf if read is None else parse_instant(read.started_at)
            settle = 0.0 if read is None else read.settle_seconds
            canonical = None if self.filter is None else json.dumps(self.filter, sort_keys=True)
        except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
            raise ManifestError(f"its header is not as it should be: {exc}") from None
        if self.window.start >= self.window.end:
            raise ManifestError("its window ends before it begins")
        self.too_early = max(0.0, (self.window.end - started) / 1_000_000 + settle)
        source = converted.source
        self.series = SeriesKey(
            source.connection_id, source.base_url, self.timestamp_field, canonical, self.file.format
        )


def read_stated(file: IO[bytes]) -> tuple[ManifestHeader, Iterator[tuple[str, str]]]:
    """Read a manifest: what it says at once, its records one by one.

    :param file: open for reading bytes, at its beginning; must stay open while the records are read
    :raises ManifestError: it is none, also while the records are read
    """
    header, records = read_manifest(file)
    return ManifestHeader(header), records
