"""Find the files to check, in local directories and in object storage, and read each once, in pieces."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tempfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow_provider_secoda._storage.formats import format_of
from airflow_provider_secoda._storage.manifest import (
    adjacent_manifest_path,
    described_path,
    manifest_path,
    signature_path,
    signed_path,
)
from airflow_provider_secoda._storage.target import resolve_prefix
from airflow_provider_secoda.client._api.endpoint import Limits
from airflow_provider_secoda.verify._messages import escape

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from airflow_provider_secoda._storage.target import StorageTarget

PIECE_BYTES = 1 << 20
#: A longer line is not a record: the client does not accept a longer response of the API.
_MAX_RECORD_BYTES = Limits().decompressed_bytes
_CAUSES_SHOWN = 4


class DamagedError(Exception):
    """A file is not of the format that its suffix names; the records before the damage were read."""


class UnreadableError(Exception):
    """Storage cannot be read, so nothing is known about its files.

    The message contains the types of errors, never their own messages: those of object stores may contain what the
    connection contains.
    """

    def __init__(self, error: BaseException) -> None:
        types: list[str] = []
        cause: BaseException | None = error
        while cause is not None and len(types) < _CAUSES_SHOWN:
            reason = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else None
            types.append(f"{type(cause).__name__} ({reason})" if reason else type(cause).__name__)
            cause = cause.__cause__ or cause.__context__
        super().__init__(", caused by ".join(types))


@contextmanager
def _unreadable() -> Iterator[None]:
    """Raise any error as :class:`UnreadableError`: a store's library may raise anything."""
    try:
        yield
    except Exception as exc:  # noqa: BLE001
        raise UnreadableError(exc) from None


@dataclass
class Pair:
    """A data file and its manifest, of which one may be missing; both if only the signature of the manifest is left.

    :param path: the path or URL of the data file, as a caller writes it
    """

    path: str
    file: StorageTarget | None = None
    manifest: StorageTarget | None = None


def find_pairs(paths: Iterable[str], errors: list[str]) -> tuple[list[Pair], int]:
    """Find the data files and manifests at paths or URLs, or below them at any depth, each once.

    :param paths: of data files or manifests, of directories, or in an object store also the beginning of keys
    :param errors: gets a message for each path that cannot be read, or where no file is found
    :return: the pairs, those of each path in the order of their names, and the number of other files
    :raises ValueError: one is not a path or URL
    """
    pairs: dict[tuple[Hashable, str], Pair] = {}
    others = 0
    for path in paths:
        try:
            targets = _targets(path)
        except UnreadableError as exc:
            errors.append(f"{escape(path)}: cannot be read: {exc}")
            continue
        halves = [(data, target) for target in targets if (data := _data_path(target.name)) is not None]
        others += len(targets) - len(halves)
        if not halves:
            errors.append(f"{escape(path)}: no file to check (.jsonl, .ndjson, .jsonl.gz, .ndjson.gz, .parquet)")
        for data, target in sorted(halves, key=itemgetter(0)):
            store, place = target.identity
            pair = pairs.setdefault((store, _data_path(place) or place), Pair(data))
            if data == target.name:
                pair.file = target
            elif target.name == manifest_path(data) or (pair.manifest is None and signed_path(target.name) is None):
                pair.manifest = target
    for pair in pairs.values():
        _complete(pair, errors)
    return list(pairs.values()), others


def _targets(path: str) -> list[StorageTarget]:
    """Return the files at a path or URL, or below it; of a data file or manifest, both of the pair."""
    data = _data_path(path)
    names = [path.rstrip("/") or "/"] if data is None else [data, *_manifest_paths(data)]
    try:
        targets = [resolve_prefix(name) for name in names]
    except ValueError:
        raise
    except Exception as exc:  # noqa: BLE001 - a store's library may raise anything
        raise UnreadableError(exc) from None
    with _unreadable():
        existing = [target for target in targets if data is not None and target.exists()]
        return existing or list(targets[0].files())


def _complete(pair: Pair, errors: list[str]) -> None:
    """Find the other half of a pair if it was not at the paths that were passed, such as the beginning of keys."""
    try:
        with _unreadable():
            for name in _manifest_paths(pair.path):
                if pair.manifest is None and (target := resolve_prefix(name)).exists():
                    pair.manifest = target
            if pair.file is None and (target := resolve_prefix(pair.path)).exists():
                pair.file = target
    except UnreadableError as exc:
        errors.append(f"{escape(pair.path)}: cannot be read: {exc}")


def _manifest_paths(data: str) -> tuple[str, str]:
    """Return where the manifest of a data file can be, the current place first."""
    return manifest_path(data), adjacent_manifest_path(data)


def _data_path(path: str) -> str | None:
    """Return the path of the data file for its own path or that of its manifest or signature; None for any other."""
    data = described_path(signed_path(path) or path) or path
    try:
        format_of(data)
    except ValueError:
        return None
    return data


class DigestReader(io.RawIOBase):
    """A stream that computes size and digest of what is read through it.

    :param copy: gets what is read
    """

    def __init__(self, source: IO[bytes], copy: IO[bytes] | None = None) -> None:
        self._source = source
        self._copy = copy
        self._digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read the next bytes.

        :raises UnreadableError: the storage failed, which does not mean that the file is damaged
        """
        with _unreadable():
            piece = self._source.read(len(buffer))
        buffer[: len(piece)] = piece
        self._digest.update(piece)
        if self._copy is not None:
            self._copy.write(piece)
        self.size += len(piece)
        return len(piece)

    def read_to_end(self) -> None:
        buffer = memoryview(bytearray(PIECE_BYTES))
        while self.readinto(buffer):
            pass

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


@contextmanager
def open_digest_reader(target: StorageTarget, copy: IO[bytes] | None = None) -> Iterator[DigestReader]:
    """Open a file to read it once.

    :param copy: gets what is read
    :raises UnreadableError: it cannot be opened
    """
    with _unreadable():
        source = target.open()
    with source:
        yield DigestReader(source, copy)


def read_signature(manifest: StorageTarget, max_bytes: int) -> bytes | None:
    """Return the first bytes of the signature of a manifest; None if there is none.

    :raises UnreadableError: it cannot be read
    """
    with _unreadable():
        try:
            file = resolve_prefix(signature_path(manifest.name)).open()
        except FileNotFoundError:
            return None
        with file:
            return file.read(max_bytes)


@contextmanager
def open_local_copy(target: StorageTarget) -> Iterator[tuple[Path, DigestReader]]:
    """Read a file completely and provide it on this machine: Parquet is not read from front to back.

    :raises UnreadableError: it cannot be read
    """
    with open_digest_reader(target) as reader:
        if target.local_path is not None:
            reader.read_to_end()
            yield target.local_path, reader
            return
        with tempfile.NamedTemporaryFile(prefix="verify-", suffix=".parquet") as copy:
            shutil.copyfileobj(reader, copy, PIECE_BYTES)
            copy.flush()
            yield Path(copy.name), reader


def read_lines(reader: DigestReader, file_format: str) -> Iterator[bytes]:
    """Yield the records of a file of lines, and read it to its end, also where it is damaged.

    Empty lines are not records; a line may end with CR LF.

    :param file_format: ``jsonl`` or ``jsonl.gz``
    :raises DamagedError: after the records before the damage
    """
    lines: io.BufferedReader | gzip.GzipFile = io.BufferedReader(reader, PIECE_BYTES)
    if file_format == "jsonl.gz":
        # Not in another buffer: that would lose what it has read when the bytes behind it turn out to be damaged.
        lines = gzip.GzipFile(fileobj=lines)
    try:
        while line := lines.readline(_MAX_RECORD_BYTES + 2):
            if len(line) > _MAX_RECORD_BYTES:
                raise DamagedError(f"a line is longer than {_MAX_RECORD_BYTES:,} bytes")
            record = line.removesuffix(b"\n").removesuffix(b"\r")
            if record:
                yield record
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise DamagedError(f"it is not a complete gzip file: {exc}") from None
    finally:
        reader.read_to_end()
