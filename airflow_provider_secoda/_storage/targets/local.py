"""Read, write and list local files."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from airflow_provider_secoda._storage.targets.errors import name_below, naming

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

#: The folder next to a file for its manifest, and for local files until they are complete. Readers of folders such as
#: Spark, Athena and pyarrow skip names that begin with an underscore; a pattern such as ``*`` does not match folders.
HIDDEN_FOLDER = "_manifests"
_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class LocalTarget:
    """A local file, whether it exists or not, or a directory.

    :param name: the path or URL as a caller writes it
    """

    name: str
    local_path: Path

    @property
    def identity(self) -> tuple[Hashable, str]:
        """Store and path: equal for the same file, however its path is written."""
        return None, os.path.abspath(self.local_path)  # noqa: PTH100 - it also resolves `..`

    def check_writable(self) -> None:
        """Check that a file can be written here, without writing anything.

        :raises OSError: a missing directory cannot be created, a directory cannot be written, or this is a directory
        """
        directory = False
        try:
            directory = stat.S_ISDIR(self.local_path.stat().st_mode)
        except OSError as exc:
            if exc.errno in (errno.ENAMETOOLONG, errno.EACCES):
                raise
        if directory:
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), self.name)
        existing = next(path for path in Path(os.path.abspath(self.local_path)).parents if os.path.lexists(path))  # noqa: PTH100
        number = errno.EACCES if existing.is_dir() else errno.ENOTDIR
        if number == errno.ENOTDIR or not os.access(existing, os.W_OK | os.X_OK):
            raise OSError(number, os.strerror(number), str(existing))

    def put(self, source: Path, *, replacing: str | None = None) -> None:
        """Copy a local file here, completely or not at all; an existing file is replaced.

        On one file system the copy is a second name of the file, which must not be changed afterwards.

        :param replacing: what :meth:`version` returned of the file to replace; S3 checks it in the request that writes,
            otherwise it is checked just before; None: any file is replaced
        :raises FileExistsError: there is another file now
        """
        with naming("write", self.name):
            if replacing is not None and self.version() != replacing:
                raise FileExistsError(errno.EEXIST, "There is another file now", self.name)
            self._copy(source, os.replace)

    def create(self, source: Path) -> None:
        """Copy a local file here, completely or not at all, unless a file exists.

        Where the storage has no such operation (a file system without hard links, an old object store), an existing
        file is replaced.

        :raises FileExistsError: there is one, even if it was written a moment ago
        """
        with naming("write", self.name):
            self._copy(source, _link)

    def version(self) -> str | None:
        """Return a string that differs between any two files here; None if there is none, or it may not be read."""
        try:
            found = self.local_path.stat()
        except OSError:
            return None
        return f"{found.st_ino} {found.st_mtime_ns} {found.st_size}"

    def _copy(self, source: Path, give_name: Callable[[Path, Path], None]) -> None:
        parent = self.local_path.parent
        folder = parent if parent.name == HIDDEN_FOLDER else parent / HIDDEN_FOLDER
        hidden = folder / f".secoda-{secrets.token_hex(8)}.part"
        try:
            with source.open("rb") as file:
                if _link_new(source, hidden):
                    os.fsync(file.fileno())
                else:
                    # Not by tempfile, whose files only their owner may read: this one has the permissions of the umask.
                    with _open_new(hidden) as copy:
                        shutil.copyfileobj(file, copy, _COPY_BYTES)
                        copy.flush()
                        os.fsync(copy.fileno())
            give_name(hidden, self.local_path)
        finally:
            hidden.unlink(missing_ok=True)
            with suppress(OSError):  # it contains manifests, or the file of another task
                folder.rmdir()

    def open(self) -> IO[bytes]:
        """Open the file for reading.

        :raises OSError: it does not exist, or cannot be read
        """
        return self.local_path.open("rb")

    def open_if_exists(self, *, may_be_forbidden: bool = True) -> IO[bytes] | None:
        """Open the file for reading; None if it does not exist.

        :param may_be_forbidden: whether to return None, too, if an object store does not permit to read it: some keys
            may write, but not read
        """
        del may_be_forbidden
        with naming("read", self.name):
            try:
                return self.open()
            except OSError as exc:
                if exc.errno in (errno.ENOENT, errno.ENAMETOOLONG):  # no file can have so long a name
                    return None
                raise

    def exists(self) -> bool:
        """Return whether there is a file here, not only a directory."""
        return self.local_path.is_file()

    def files(self) -> Iterator[LocalTarget]:
        """Yield this file, or the files in this directory at any depth, or else those whose keys begin like this.

        :raises OSError: a local path that does not exist; a directory that cannot be listed
        """
        if self.exists():
            yield self
            return
        visited = set()
        for directory, inner, names in os.walk(self.local_path, onerror=_raise, followlinks=True):
            real = os.path.realpath(directory)
            if real in visited:  # links can form a circle
                inner.clear()
                continue
            visited.add(real)
            for name in names:
                file = f"{directory.rstrip('/')}/{name}"
                if Path(file).is_file():  # not a pipe, which has no end
                    yield LocalTarget(name_below(self.name, str(self.local_path), file), Path(file))

    def remove(self) -> None:
        """Remove the file, if it exists."""
        self.local_path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the file; where only that is permitted, replace it by an empty one, which counts as none."""
        self.remove()

    def console_url(self) -> str | None:
        """Return the address of the page of the cloud's console that shows the file; None where there is no page."""
        return None  # a browser does not open a local file that a web page links to


def _open_new(path: Path) -> IO[bytes]:
    """Open a new file for writing, and create its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return path.open("xb")
    except FileNotFoundError:  # another task has removed the directory, which was empty
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def _link_new(source: Path, path: Path) -> bool:
    """Give a file a second name in a directory, which is created; return whether its file system can."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, path)
    except OSError:
        return False
    return True


def _link(source: Path, path: Path) -> None:
    """Give a file a second name that is not in use, or its only one where the file system has no hard links."""
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(path):
            raise
        source.replace(path)


def _raise(error: OSError) -> None:
    raise error
