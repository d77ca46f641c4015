"""Write and read the manifest of a file: what the file contains, and where the records came from.

A manifest is JSON that can also be read line by line: a header, then ``records`` as the last member, one
``["id", "sha256"]`` per line in the order of the file. It is written after the file: if there is a manifest, its file
is complete.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from json.encoder import encode_basestring_ascii
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from airflow_provider_secoda._persisted import MANIFEST_VERSION
from airflow_provider_secoda._storage.formats import stored
from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda._storage.targets.local import HIDDEN_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from io import BufferedReader

    from typing_extensions import Self

#: The longest header that is read. Most of a header are the page ranges of the read, some 200 bytes each.
MAX_HEADER_BYTES = 64 << 20
#: The longest line that is read: one id.
MAX_LINE_BYTES = 64 << 20
_SUFFIX, _ADJACENT_SUFFIX = ".manifest", ".manifest.json"
_SIGNATURE_SUFFIX = ".sig"
#: How many lines are written at once.
_LINES = 256
_OPEN, _CLOSE = b'  "records": [\n', b"  ]\n}\n"


class Readable(Protocol):
    """What :func:`read_manifest` reads: a binary file, or a :class:`HashingReader`."""

    def readline(self, size: int, /) -> bytes:
        """Read a line of at most this size."""

    def read(self, size: int, /) -> bytes:
        """Read bytes."""


class ManifestError(ValueError):
    """A manifest does not have the expected layout: it was altered, truncated, or written by a later version."""


def manifest_path(path: str) -> str:
    """Return the path or URL of the manifest of the file at a path or URL.

    Readers of folders must not read it: some skip files by the name of their folder, some by their own name, and some
    read all files that end in ``.json``.
    """
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{HIDDEN_FOLDER}/_{name}{_SUFFIX}"


def adjacent_manifest_path(path: str) -> str:
    """Return where versions before the first release wrote the manifest: next to the file."""
    return f"{path}{_ADJACENT_SUFFIX}"


def signature_path(manifest: str) -> str:
    """Return the path or URL of the signature of a manifest, or of another file that is signed."""
    return f"{manifest}{_SIGNATURE_SUFFIX}"


def signed_path(signature: str) -> str | None:
    """Return the path or URL of the file that a signature is for; None if the path is not a signature's."""
    return signature.removesuffix(_SIGNATURE_SUFFIX) if signature.endswith(_SIGNATURE_SUFFIX) else None


def described_path(manifest: str) -> str | None:
    """Return the path or URL of the file of a manifest, in either place; None if the path is not a manifest's."""
    if manifest.endswith(_ADJACENT_SUFFIX):
        return manifest.removesuffix(_ADJACENT_SUFFIX)
    folder, _, name = manifest.rpartition("/")
    parent, slash, last = folder.rpartition("/")
    if last != HIDDEN_FOLDER or not name.startswith("_") or not name.endswith(_SUFFIX):
        return None
    return f"{parent}{slash}{name[1:].removesuffix(_SUFFIX)}"


def open_manifest(path: str, *, may_be_forbidden: bool = True) -> IO[bytes] | None:
    """Open the manifest of the file at a path or URL; None if it does not exist.

    An empty one counts as none: it replaces a removed one where the storage does not permit to delete.

    :param may_be_forbidden: as of :meth:`.LocalTarget.open_if_exists`
    """
    file = resolve_target(manifest_path(path)).open_if_exists(may_be_forbidden=may_be_forbidden)
    if file is None or cast("BufferedReader", file).peek(1):
        return file
    file.close()
    return None


class ManifestBuilder:
    """Collect the id and the SHA-256 of each record that is written to a file, and build the manifest from them.

    They are kept on disk, so that memory does not grow with their number. Use it as a context manager.

    :ivar count: the number of records
    """

    def __init__(self, file_format: str) -> None:
        self._format = file_format
        self.count = 0
        self._lines = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.close()

    def watch(self, records: Iterable[tuple[int, str, bytes]]) -> Iterator[bytes]:
        """Yield the bytes of each record, and collect its id and SHA-256.

        :param records: (timestamp, id, the record as JSON bytes), as :class:`~.spool.Spool` yields them
        """
        lines: list[str] = []
        for _, log_id, raw in records:
            digest = hashlib.sha256(stored(self._format, raw)).hexdigest()
            # As `json.dumps` encodes them: a lone surrogate stays an escape.
            lines.append(f'    [{encode_basestring_ascii(log_id)}, "{digest}"]')
            if len(lines) == _LINES:
                self._write(lines)
                lines = []
            yield raw
        self._write(lines)

    def _write(self, lines: list[str]) -> None:
        if lines:
            text = ",\n".join(lines)
            self._lines.write((f",\n{text}" if self.count else text).encode())
            self.count += len(lines)

    def manifest(self, header: Mapping[str, Any]) -> Iterator[bytes]:
        """Yield the manifest of the collected records in chunks."""
        head = json.dumps({"manifest_version": MANIFEST_VERSION, **header}, indent=2).encode()
        yield head.removesuffix(b"\n}") + b",\n" + _OPEN
        empty = self._lines.tell() == 0
        self._lines.seek(0)
        while chunk := self._lines.read(1 << 20):
            yield chunk
        yield (b"" if empty else b"\n") + _CLOSE


class HashingReader:
    """Compute the SHA-256 of a manifest while :func:`read_manifest` reads it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def readline(self, size: int) -> bytes:
        """Read a line."""
        return self._hashed(self._file.readline(size))

    def read(self, size: int) -> bytes:
        """Read bytes."""
        return self._hashed(self._file.read(size))

    def _hashed(self, piece: bytes) -> bytes:
        self._digest.update(piece)
        return piece

    @property
    def sha256(self) -> str:
        """Of what was read; of the manifest when all its records were read."""
        return self._digest.hexdigest()


def read_manifest(file: Readable) -> tuple[dict[str, Any], Iterator[tuple[str, str]]]:
    """Read a manifest: the header at once, the records one by one.

    :param file: at its start; must stay open while the records are read
    :return: the header without ``records``, and pairs of (id, sha256)
    :raises ManifestError: it does not have the layout of a manifest; also raised while the records are read
    """
    head, size = [], 0
    while (line := file.readline(MAX_LINE_BYTES)) != _OPEN:
        size += len(line)
        if not size:
            raise ManifestError("it is empty: a task was interrupted when it replaced the file. Clear the task")
        if not line or size > MAX_HEADER_BYTES:
            raise ManifestError("it has no `records`")
        head.append(line)
    text = b"".join(head)
    if not text.endswith(b",\n"):
        raise ManifestError("`records` is not its last member")
    try:
        header = load_json(text[:-2] + b"\n}")
    except (ValueError, RecursionError) as exc:
        raise ManifestError(f"its header is not valid JSON: {exc}") from None
    if isinstance(header, dict) and "records" in header:
        raise ManifestError("its header is not valid JSON: it has the name 'records' twice")
    version = header.get("manifest_version") if isinstance(header, dict) else None
    if version != MANIFEST_VERSION:
        raise ManifestError(f"its version is {version!r}, but only version {MANIFEST_VERSION} is supported")
    return header, _pairs(file)


def load_json(text: bytes) -> Any:
    """Return JSON as Python objects, if all programs read it alike.

    :raises ValueError: it is not JSON in UTF-8, or an object has a name twice
    :raises RecursionError: it is nested too deeply
    """
    # Decoded here: for bytes, `json` guesses the encoding, and accepts a byte order mark.
    return json.loads(text.decode(), object_pairs_hook=_object, parse_constant=_reject_constant)


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; refuse one with a name twice, of which programs read either value."""
    found = dict(members)
    if len(found) < len(members):
        twice = next(name for number, (name, _) in enumerate(members) if name in dict(members[:number]))
        raise ValueError(f"it has the name {twice!r:.80} twice")
    return found


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _pairs(file: Readable) -> Iterator[tuple[str, str]]:
    more: bool | None = None
    while (line := file.readline(MAX_LINE_BYTES)) != _CLOSE[:4]:
        if more is False or not line.startswith(b'    ["'):
            raise ManifestError("its records are truncated, or there is something else between them")
        more = line.endswith(b",\n")
        try:
            log_id, digest = json.loads(line.rstrip(b",\n"))
        except (ValueError, RecursionError):
            log_id = digest = None
        if not isinstance(log_id, str) or not isinstance(digest, str):
            raise ManifestError('a line of its records is not `["id", "sha256"]`')
        yield log_id, digest
    if more or file.read(len(_CLOSE)) != _CLOSE[4:]:
        raise ManifestError("there is something after its records")
