"""Land a file at a path or URL: whole, at once, or not at all."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow_provider_secoda._storage.formats import format_of, write_file
from airflow_provider_secoda._storage.manifest import ManifestError, manifest_path, read_manifest
from airflow_provider_secoda._storage.target import resolve_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_secoda._storage.target import StorageTarget

_PIECE = 1 << 20


@dataclass(frozen=True)
class WrittenFile:
    """What landed.

    :ivar path: the path or URL as the caller wrote it: it names at most a connection, never what the connection holds
    :ivar format: ``jsonl``, ``jsonl.gz`` or ``parquet``
    :ivar bytes: the size of the file
    :ivar sha256: of the file, in hexadecimal digits
    :ivar manifest: path or URL of the manifest beside it; None without one
    :ivar manifest_sha256: of the manifest
    """

    path: str
    format: str
    bytes: int
    sha256: str
    manifest: str | None = None
    manifest_sha256: str | None = None


def write_atomically(
    records: Iterable[bytes],
    output_path: str,
    *,
    manifest: Callable[[WrittenFile], Iterable[bytes]] | None = None,
) -> WrittenFile:
    """Write records to a path or URL under whose name nothing ever stands but a whole file.

    The file is first built in the temporary directory of this machine, which needs room for it. Then an object store
    gets it in one put, and a local directory by a copy under a hidden name and an atomic rename. An error before that
    leaves what stood there before and nothing beside it; a killed process leaves at most its temporary files. The
    manifest follows the file; that of an earlier file with other bytes is removed before, so that there never is one
    beside a file that it does not describe.

    :param records: each the bytes of one JSON object, in the order in which they shall lie
    :param output_path: a path, or a URL that Airflow's object storage takes (``file:///…``,
        ``s3://conn_id@bucket/key``); the suffix says the format. Missing local directories are made.
    :param manifest: told what was written, gives the manifest in pieces
    :raises ValueError: the suffix names no format, or the URL no file, or it leads upwards by ``..``
    :raises OSError: no space, no permission; object stores raise their own errors
    """
    kind = format_of(output_path)
    note_path = manifest_path(output_path)
    place, beside = resolve_target(output_path), resolve_target(note_path)
    with tempfile.TemporaryDirectory(prefix="landing-") as directory:
        whole, note = Path(directory, f"records.{kind}"), Path(directory, "manifest.json")
        write_file(whole, kind, records)
        written = WrittenFile(output_path, kind, whole.stat().st_size, _sha256(whole))
        if manifest is not None:
            with note.open("wb") as file:
                file.writelines(manifest(written))
        old = _move_aside(beside, written, Path(directory, "old.json"))
        try:
            place.put(whole)
        except BaseException:
            if old is not None:
                with suppress(Exception):  # the error is the one that is under way
                    _put_back(old, beside, place)
            raise
        if manifest is not None:
            beside.put(note)
            written = replace(written, manifest=note_path, manifest_sha256=_sha256(note))
    return written


def _move_aside(beside: StorageTarget, written: WrittenFile, copy: Path) -> Path | None:
    """Remove the manifest of a file with other bytes than those that were written; return a copy of it."""
    file = beside.open_if_exists()
    if file is None:
        return None
    with file:
        try:
            same = read_manifest(file)[0]["file"]["sha256"] == written.sha256
        except (ManifestError, LookupError, TypeError):
            same = False
        if same:
            return None
        file.seek(0)
        with copy.open("wb") as target:
            shutil.copyfileobj(file, target, _PIECE)
    beside.remove()
    return copy


def _put_back(old: Path, beside: StorageTarget, place: StorageTarget) -> None:
    """Put a manifest back where it was, if its file still lies there: an error may come after the put was done."""
    file = place.open_if_exists()
    if file is None:
        return
    with file, old.open("rb") as note:
        if read_manifest(note)[0]["file"]["sha256"] == _digest(file):
            beside.put(old)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
