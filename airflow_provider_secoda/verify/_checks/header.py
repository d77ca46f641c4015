"""What ``verify`` reads of the header of a manifest, with the types that it requires."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class RecordedFile(msgspec.Struct):
    """The member ``file``."""

    name: str
    format: str
    bytes: int
    sha256: str
    count: int


class Query(msgspec.Struct):
    """The member ``query``."""

    start: str
    end: str
    timestamp_field: Literal["logged_at", "created_at"]
    filter: Any = None


class Source(msgspec.Struct):
    """The member ``source``."""

    connection_id: str
    base_url: str


class Read(msgspec.Struct):
    """The member ``read``."""

    started_at: str
    settle_seconds: float = 0.0


class Run(msgspec.Struct):
    """The member ``run``."""

    dag_id: Any = None


class Supplement(msgspec.Struct):
    """The member ``supplement``."""

    number: int
    of: str
    previous_manifest_sha256: str


class Header(msgspec.Struct):
    """The header of a manifest; members that are not checked are left out."""

    file: RecordedFile
    query: Query
    source: Source
    read: Read | None = None
    run: Run | None = None
    supplement: Supplement | None = None
