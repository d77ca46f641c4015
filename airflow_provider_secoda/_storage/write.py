"""Write a file and its manifest to a path or URL, completely or not at all."""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow_provider_secoda._storage.formats import format_of, write_local_file
from airflow_provider_secoda._storage.manifest import ManifestError, manifest_path, read_manifest
from airflow_provider_secoda._storage.target import resolve_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_secoda._storage.target import StorageTarget

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class WrittenFile:
    """A file that was written, as the operator's summary contains it; SHA-256 in hexadecimal digits.

    :ivar path: the path or URL as the caller wrote it; it contains a connection id at most, never a secret
    :ivar manifest: path or URL of its manifest; None without a manifest
    :ivar untyped_values: how many values of typed columns are not as they were sent, by field and reason: null, or with
        U+FFFD for half a surrogate pair; None if the format has no typed columns
    """

    path: str
    format: str
    bytes: int
    sha256: str
    manifest: str | None = None
    manifest_sha256: str | None = None
    untyped_values: dict[str, dict[str, int]] | None = None


def write_atomically(
    records: Iterable[bytes],
    output_path: str,
    *,
    manifest: Callable[[WrittenFile], Iterable[bytes]] | None = None,
    check: Callable[[], bool] | None = None,
) -> WrittenFile:
    """Write records to a path or URL; the final file name only ever has a complete file.

    The file is first written to the temporary directory of this machine, which needs room for it. An object store then
    gets it in one put, a local directory by a copy in the folder of the manifests and an atomic rename. An error before
    that leaves the old file as it was, and no new files; a killed process leaves its temporary files at most. The
    manifest is written after the file. The manifest of an old file with other bytes is removed before, so that there is
    never a manifest of a file that it does not describe.

    :param records: each the bytes of one JSON object, in the order in which they are written
    :param output_path: a path, or a URL that Airflow's object storage takes (``file:///…``, ``s3://conn_id@bucket/key``);
        its suffix is the format. Missing local directories are created.
    :param manifest: is passed what was written, and returns the manifest in chunks; None: no manifest
    :param check: returns whether there is a file to replace, and raises if it must not be replaced; called just before
        that. If it has found none, a file that another process writes at the same time is not replaced. None: any file
        is replaced
    :raises ValueError: the suffix is unknown, the URL does not name a file, or the path contains ``..``
    :raises OSError: no space, no permission, another process writes the file at the same time; object stores raise
        their own errors
    """
    file_format = format_of(output_path)
    target, manifest_target = resolve_target(output_path), resolve_target(manifest_path(output_path))
    with tempfile.TemporaryDirectory(prefix="secoda-") as directory:
        file, manifest_file = Path(directory, f"records.{file_format}"), Path(directory, "manifest.json")
        untyped = write_local_file(file, file_format, records)
        written = WrittenFile(output_path, file_format, file.stat().st_size, _sha256(file), untyped_values=untyped)
        if manifest is not None:
            with manifest_file.open("wb") as lines:
                lines.writelines(manifest(written))
        if check is None or check():
            _replace(target, file, manifest_target, written)
            put_manifest = manifest_target.put
        else:
            _create(target, file, check)
            put_manifest = partial(_create, manifest_target, check=check)
        if manifest is not None:
            put_manifest(manifest_file)
            written = replace(written, manifest=manifest_path(output_path), manifest_sha256=_sha256(manifest_file))
    return written


def _create(target: StorageTarget, file: Path, check: Callable[[], object]) -> None:
    """Copy a file to its target, where there was none.

    :raises FileExistsError: there is another one now; what ``check`` raises if it knows more
    """
    try:
        target.create(file)
    except FileExistsError:
        check()
        existing = target.open_if_exists()
        if existing is None:  # it may be written, but not read
            target.put(file)
            return
        with existing:
            if _digest(existing) == _sha256(file):  # it was stored, but the response was lost
                return
        raise FileExistsError(
            errno.EEXIST, "Another task is writing this file at the same time; retry when it has ended", target.name
        ) from None


def _replace(target: StorageTarget, file: Path, manifest_target: StorageTarget, written: WrittenFile) -> None:
    """Copy a file to its target; a manifest of other bytes is removed before, and put back if the copy fails."""
    old_manifest = _move_aside(manifest_target, written, file.with_name("old.json"))
    try:
        target.put(file)
    except BaseException:
        if old_manifest is not None:
            with suppress(Exception):  # the error of `put` is raised
                _put_back(old_manifest, manifest_target, target)
        raise


def _move_aside(manifest_target: StorageTarget, written: WrittenFile, copy: Path) -> Path | None:
    """Remove the existing manifest if it is of a file with other bytes; return a copy of it."""
    existing = manifest_target.open_if_exists()
    if existing is None:
        return None
    with existing:
        try:
            same = read_manifest(existing)[0]["file"]["sha256"] == written.sha256
        except (ManifestError, LookupError, TypeError):
            same = False
        if same:
            return None
        existing.seek(0)
        with copy.open("wb") as file:
            shutil.copyfileobj(existing, file, _CHUNK_BYTES)
    manifest_target.remove()
    return copy


def _put_back(old_manifest: Path, manifest_target: StorageTarget, target: StorageTarget) -> None:
    """Write a manifest back if the old file is still there: `put` may fail after it has replaced the file."""
    file = target.open_if_exists()
    if file is None:
        return
    with file, old_manifest.open("rb") as lines:
        if read_manifest(lines)[0]["file"]["sha256"] == _digest(file):
            manifest_target.put(old_manifest)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
