"""Copy a file, its manifest and its signature from this machine to where they belong, in a safe order."""

from __future__ import annotations

import errno
import hashlib
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from airflow_provider_secoda._storage.manifest import ManifestError, open_manifest, read_manifest
from airflow_provider_secoda._storage.targets.errors import is_forbidden

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_secoda._storage.target import StorageTarget

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Copy:
    """A file on this machine, and where it is copied.

    :ivar sha256: of its content
    """

    local: Path
    target: StorageTarget
    sha256: str


@dataclass(frozen=True)
class Staged:
    """A file, its manifest and its signature, complete on this machine; None for what is not written."""

    path: str
    file: Copy
    manifest: Copy | None
    signature: Copy | None
    manifest_target: StorageTarget
    signature_target: StorageTarget

    def create(self, check: Callable[[], object] | None) -> None:
        """Write the three where there is no file: the file, then the manifest, then the signature.

        A file with the same bytes counts as written: the response was lost, or the process was killed before it wrote
        the manifest.

        :param check: called if there is another one now, and raises if it knows more. None: write-once storage, of
            which nothing is ever replaced
        :raises FileExistsError: there is another one now
        """
        _create(self.file, check)
        if self.manifest is not None:
            _create(self.manifest, check)
        if self.signature is not None and check is None:
            _create(self.signature, None)
        elif self.signature is not None:
            # Not `_create`: of the tasks that write a new file, only the one that wrote its manifest gets here.
            self.signature.target.put(self.signature.local)

    def replace(self, version: str | None) -> None:
        """Write the three where there is a file or a manifest, of the same query or of another one.

        The old signature is discarded first, then the old manifest if the file gets other bytes, then the file is
        replaced, the new manifest is written, and the new signature. So a manifest or signature that is there is always
        of the file that is there, wherever the process is killed. "Discarded" means removed, or replaced by an empty
        object if the storage permits to overwrite, but not to delete: readers treat an empty manifest like a missing
        one. (Without that, the old manifest would stay next to the new file until the new manifest is written: not a
        wrong statement, because ``verify`` compares the two, but a window that counts as written in the meantime.)

        If two tasks replace one file at the same time, the one that has replaced it last writes the manifest: the other
        one finds that either the file or the manifest is not what it was before, compares the file with its own, and
        fails.

        :param version: of the file when the caller checked that it may be replaced
        :raises FileExistsError: another task writes the file at the same time
        :raises PermissionError: the storage does not permit to overwrite
        """
        try:
            manifest_version = self._replace_file(version)
            if self.manifest is not None:
                self._put_manifest(self.manifest, manifest_version)
            if self.signature is not None:
                self.signature.target.put(self.signature.local)
        except FileExistsError:
            raise _busy(self.path) from None
        except OSError as exc:
            if is_forbidden(exc) and version is not None:
                raise PermissionError(
                    f"{exc}. If the storage does not permit to overwrite objects, write late logs to files of their "
                    'own: on_change="supplement"'
                ) from exc
            raise

    def _replace_file(self, version: str | None) -> str | None:
        """Replace the file; return the version of the manifest that the new one has to replace.

        What was discarded is put back if the copy fails.
        """
        old_manifest, old_signature = (self.file.local.with_name(name) for name in ("old.json", "old.sig"))
        try:
            _move_aside(self.signature_target, old_signature)
            if not _describes(self.path, self.file.sha256):
                _move_aside(self.manifest_target, old_manifest)
            manifest_version = self.manifest_target.version()
            self.file.target.put(self.file.local, replacing=version)
        except BaseException:
            with suppress(Exception):  # the error above is raised
                self._put_back(old_manifest, old_signature)
            raise
        return manifest_version

    def _put_back(self, old_manifest: Path, old_signature: Path) -> None:
        """Write back what was discarded, if the old file is still there: `put` may fail after it has replaced it."""
        if old_manifest.exists():
            file = self.file.target.open_if_exists()
            if file is None:
                return
            with file, old_manifest.open("rb") as lines:
                if read_manifest(lines)[0]["file"]["sha256"] != digest(file):
                    return
            self.manifest_target.put(old_manifest)
        if old_signature.exists():
            self.signature_target.put(old_signature)

    def _put_manifest(self, manifest: Copy, version: str | None) -> None:
        try:
            if version is None:
                manifest.target.create(manifest.local)
            else:
                manifest.target.put(manifest.local, replacing=version)
        except FileExistsError:
            version = manifest.target.version()
            if _is_same(self.file) is False:
                raise
            manifest.target.put(manifest.local, replacing=version)


def _create(copy: Copy, check: Callable[[], object] | None) -> None:
    try:
        copy.target.create(copy.local)
    except FileExistsError:
        same = _is_same(copy)
        if same:
            return
        if check is not None:
            check()
            if same is None:
                copy.target.put(copy.local)
                return
        raise _busy(copy.target.name) from None


def _is_same(copy: Copy) -> bool | None:
    """Return whether the target has the bytes of the file on this machine; None if it may be written, but not read."""
    existing = copy.target.open_if_exists()
    if existing is None:
        return None
    with existing:
        return digest(existing) == copy.sha256


def _busy(name: str) -> FileExistsError:
    text = "Another task is writing this file at the same time; retry when it has ended"
    return FileExistsError(errno.EEXIST, text, name)


def _describes(path: str, sha256: str) -> bool:
    """Return whether there is a manifest of a file with the same bytes."""
    existing = open_manifest(path)
    if existing is None:
        return False
    with existing:
        try:
            return bool(read_manifest(existing)[0]["file"]["sha256"] == sha256)
        except (ManifestError, LookupError, TypeError):
            return False


def _move_aside(target: StorageTarget, copy: Path) -> None:
    """Discard a file, if it exists; before that, keep a complete copy of it."""
    existing = target.open_if_exists()
    if existing is None:
        return
    part = copy.with_suffix(".part")
    with existing, part.open("wb") as file:
        shutil.copyfileobj(existing, file, _CHUNK_BYTES)
    if part.stat().st_size:  # otherwise it was discarded before
        part.replace(copy)
        target.discard()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file on this machine in hexadecimal digits."""
    with path.open("rb") as file:
        return digest(file)


def digest(file: IO[bytes]) -> str:
    """Return the SHA-256 of the rest of an open file in hexadecimal digits."""
    found = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        found.update(chunk)
    return found.hexdigest()
