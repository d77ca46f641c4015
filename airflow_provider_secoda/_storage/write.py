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
from airflow_provider_secoda._storage.manifest import ManifestError, manifest_path, read_manifest, signature_path
from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda.signing import key_id, sign_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_secoda._storage.target import StorageTarget
    from airflow_provider_secoda.signing import Signer

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class WrittenFile:
    """A file that was written, as the operator's summary contains it; SHA-256 in hexadecimal digits.

    :ivar path: the path or URL as the caller wrote it; it contains a connection id at most, never a secret
    :ivar manifest: path or URL of its manifest; None without a manifest
    :ivar signature: path or URL of the signature of the manifest; None without one, like ``signing_key``
    :ivar signing_key: id of the key of the signature
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
    signature: str | None = None
    signing_key: str | None = None


def write_atomically(
    records: Iterable[bytes],
    output_path: str,
    *,
    manifest: Callable[[WrittenFile], Iterable[bytes]] | None = None,
    signer: Signer | None = None,
    check: Callable[[], bool] | None = None,
) -> WrittenFile:
    """Write records to a path or URL; the final file name only ever has a complete file.

    The file is first written to the temporary directory of this machine, which needs room for it. An object store then
    gets it in one put, a local directory by a copy in the folder of the manifests and an atomic rename. An error before
    that leaves the old file as it was, and no new files; a killed process leaves its temporary files at most. The
    manifest is written after the file, and its signature after the manifest. The manifest of an old file with other
    bytes is removed before, and its signature before that, so that there is never a manifest of a file that it does not
    describe, nor a signature of another manifest.

    :param records: each the bytes of one JSON object, in the order in which they are written
    :param output_path: a path, or a URL that Airflow's object storage takes (``file:///…``, ``s3://conn_id@bucket/key``);
        its suffix is the format. Missing local directories are created.
    :param manifest: is passed what was written, and returns the manifest in chunks; None: no manifest
    :param signer: signs the manifest, before anything is replaced; None: no signature
    :param check: returns whether there is a file to replace, and raises if it must not be replaced; called just before
        that. If it has found none, a file that another process writes at the same time is not replaced. None: any file
        is replaced
    :raises ValueError: the suffix is unknown, the URL does not name a file, or the path contains ``..``
    :raises OSError: no space, no permission, another process writes the file at the same time; object stores raise
        their own errors
    """
    file_format = format_of(output_path)
    names = output_path, manifest_path(output_path), signature_path(manifest_path(output_path))
    target, manifest_target, signature_target = map(resolve_target, names)
    with tempfile.TemporaryDirectory(prefix="secoda-") as directory:
        file, manifest_file = Path(directory, f"records.{file_format}"), Path(directory, "manifest.json")
        untyped = write_local_file(file, file_format, records)
        written = WrittenFile(output_path, file_format, file.stat().st_size, _sha256(file), untyped_values=untyped)
        if signer is not None:
            written = replace(written, signature=names[2], signing_key=key_id(signer.public_key))
        if manifest is not None:
            with manifest_file.open("wb") as lines:
                lines.writelines(manifest(written))
        signature_file = None if signer is None else _sign(signer, manifest_file)
        if check is None or check():
            _replace(target, file, manifest_target, signature_target, written)
            put_manifest = manifest_target.put
        else:
            _create(target, file, check)
            put_manifest = partial(_create, manifest_target, check=check)
        if manifest is not None:
            put_manifest(manifest_file)
            written = replace(written, manifest=names[1], manifest_sha256=_sha256(manifest_file))
        if signature_file is not None:
            # Not `create`: of the tasks that write a new file, only the one that wrote its manifest gets here.
            signature_target.put(signature_file)
    return written


def _sign(signer: Signer, manifest_file: Path) -> Path:
    """Write the signature of a manifest to a file next to it."""
    file = manifest_file.with_name("signature")
    file.write_bytes(sign_file(signer, manifest_file))
    return file


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


def _replace(
    target: StorageTarget,
    file: Path,
    manifest_target: StorageTarget,
    signature_target: StorageTarget,
    written: WrittenFile,
) -> None:
    """Copy a file to its target; the old signature and a manifest of other bytes are removed before.

    They are put back if the copy fails.
    """
    old_signature = _move_aside(signature_target, file.with_name("old.sig"))
    old_manifest = None
    try:
        if not _describes(manifest_target, written):
            old_manifest = _move_aside(manifest_target, file.with_name("old.json"))
        target.put(file)
    except BaseException:
        with suppress(Exception):  # the error above is raised
            is_described = old_manifest is None or _put_back(old_manifest, manifest_target, target)
            if is_described and old_signature is not None:
                signature_target.put(old_signature)
        raise


def _describes(manifest_target: StorageTarget, written: WrittenFile) -> bool:
    """Return whether there is a manifest of a file with the same bytes."""
    existing = manifest_target.open_if_exists()
    if existing is None:
        return False
    with existing:
        try:
            return bool(read_manifest(existing)[0]["file"]["sha256"] == written.sha256)
        except (ManifestError, LookupError, TypeError):
            return False


def _move_aside(target: StorageTarget, copy: Path) -> Path | None:
    """Remove a file, if it exists; return a copy of it on this machine."""
    existing = target.open_if_exists()
    if existing is None:
        return None
    with existing, copy.open("wb") as file:
        shutil.copyfileobj(existing, file, _CHUNK_BYTES)
    target.remove()
    return copy


def _put_back(old_manifest: Path, manifest_target: StorageTarget, target: StorageTarget) -> bool:
    """Write a manifest back if the old file is still there: `put` may fail after it has replaced the file."""
    file = target.open_if_exists()
    if file is None:
        return False
    with file, old_manifest.open("rb") as lines:
        if read_manifest(lines)[0]["file"]["sha256"] != _digest(file):
            return False
    manifest_target.put(old_manifest)
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
