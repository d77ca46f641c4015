"""Say beside a file what it holds and where it came from, so that anybody can check it later.

A manifest is JSON, laid out so that it can also be read line by line: a header, then ``records`` as the last member,
one ``["id", "sha256"]`` a line in the order of the file. It is written last, so its presence means that the file
beside it is whole.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_secoda._storage.formats import stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

#: Of the layout; what a reader does not know it must refuse.
VERSION = 1
#: A header longer than this is none of ours; most of it are the pieces of the listing, some 200 bytes each.
MAX_HEADER_BYTES = 64 << 20
#: An id longer than this is none of ours.
MAX_LINE_BYTES = 64 << 20
_OPEN, _CLOSE = b'  "records": [\n', b"  ]\n}\n"


class ManifestError(ValueError):
    """A manifest is not laid out as one: it was altered, cut, or written by a later version."""


def manifest_path(path: str) -> str:
    """Return the path or URL of the manifest of the file at a path or URL."""
    return f"{path}.manifest.json"


class ManifestBuilder:
    """Note each record's id and digest on its way to a file, on disk, so that memory does not grow with their number.

    Use it as a context manager.

    :param kind: the file's format, as :func:`~.formats.format_of` returned it
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._lines = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the ledger
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()

    def watch(self, records: Iterable[tuple[int, str, bytes]]) -> Iterator[bytes]:
        """Pass records on, and note them.

        :param records: (timestamp, id, the record as JSON bytes), as :class:`~.spool.Spool` gives them
        """
        for _, name, raw in records:
            digest = hashlib.sha256(stored(self._kind, raw)).hexdigest()
            line = f"    {json.dumps([name, digest])}"  # half of a surrogate pair stays an escape
            self._lines.write((",\n" if self._count else "").encode() + line.encode())
            self._count += 1
            yield raw

    def manifest(self, header: Mapping[str, Any]) -> Iterator[bytes]:
        """Return the manifest of the records that were noted, in pieces.

        :param header: what is to be said about the file; anything that JSON can hold
        """
        yield json.dumps({"manifest_version": VERSION, **header}, indent=2).encode().removesuffix(b"\n}") + b",\n"
        yield _OPEN
        self._lines.seek(0)
        while piece := self._lines.read(1 << 20):
            yield piece
        yield (b"\n" if self._count else b"") + _CLOSE


def read_manifest(file: IO[bytes]) -> tuple[dict[str, Any], Iterator[tuple[str, str]]]:
    """Read a manifest: its header at once, its records one by one.

    :param file: open for reading bytes, at its beginning; must stay open while the records are read
    :return: the header without ``records``, and pairs of (id, sha256)
    :raises ManifestError: it is not laid out as a manifest, also while the records are read
    """
    head, size = [], 0
    while (line := file.readline(MAX_LINE_BYTES)) != _OPEN:
        size += len(line)
        if not line or size > MAX_HEADER_BYTES:
            raise ManifestError("it has no `records`")
        head.append(line)
    text = b"".join(head)
    if not text.endswith(b",\n"):
        raise ManifestError("`records` is not its last member")
    try:
        header = json.loads(text[:-2] + b"\n}")
    except (ValueError, RecursionError) as exc:
        raise ManifestError(f"its header is no JSON: {exc}") from None
    if not isinstance(header, dict) or header.get("manifest_version") != VERSION:
        version = header.get("manifest_version") if isinstance(header, dict) else None
        raise ManifestError(f"its version is {version!r}, and only {VERSION} is known here")
    return header, _pairs(file)


def _pairs(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    more: bool | None = None
    while (line := file.readline(MAX_LINE_BYTES)) != _CLOSE[:4]:
        if more is False or not line.startswith(b'    ["'):
            raise ManifestError("its records are cut, or something else stands between them")
        more = line.endswith(b",\n")
        yield _pair(line)
    if more or file.read(len(_CLOSE)) != _CLOSE[4:]:
        raise ManifestError("something stands behind its records")


def _pair(line: bytes) -> tuple[str, str]:
    try:
        name, digest = json.loads(line.rstrip(b",\n"))
    except (ValueError, RecursionError):
        name = digest = None
    if not isinstance(name, str) or not isinstance(digest, str):
        raise ManifestError('a line of its records is not `["id", "sha256"]`')
    return name, digest
