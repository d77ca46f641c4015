"""Resolve a path or URL to a local file or an object, and read, write and list there.

Everything that touches files goes through here: the operator, which writes, and ``verify``, which reads.
"""

from __future__ import annotations

import errno
import inspect
import io
import os
import re
import secrets
import shutil
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, TypeAlias

from airflow_provider_secoda._storage.console import console_url

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

#: The folder next to a file for its manifest, and for local files until they are complete. Readers of folders such as
#: Spark, Athena and pyarrow skip names that begin with an underscore; a pattern such as ``*`` does not match folders.
HIDDEN_FOLDER = "_manifests"
_COPY_BYTES = 1 << 20
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: What to install for a scheme of Airflow's object storage.
_PACKAGES = {
    "s3": "apache-airflow-providers-amazon[s3fs]",
    "s3a": "apache-airflow-providers-amazon[s3fs]",
    "gs": "apache-airflow-providers-google",
    "gcs": "apache-airflow-providers-google",
    "abfs": "apache-airflow-providers-microsoft-azure",
    "abfss": "apache-airflow-providers-microsoft-azure",
    "adl": "apache-airflow-providers-microsoft-azure",
}
# By default s3fs holds up to 100 MB of a file at once and ten parts of 50 MB, gcsfs 50 MB.
_PUT_OPTIONS = {"chunksize": 8 << 20, "max_concurrency": 2}
# By default s3fs reads 50 MB ahead.
_READ_AHEAD_BYTES = 4 << 20


def resolve_target(path: str) -> StorageTarget:
    """Return the target of a path or URL, to write a file or to read it, without accessing the storage.

    :param path: a path, or a URL that Airflow's object storage takes (``file:///…``, ``s3://conn_id@bucket/key``)
    :raises ValueError: it is not the name of a file, contains a control character, or a segment ``..``: parts of a path
        may come from templated data, which must not decide in which directory a file is written
    """
    if ".." in re.split(r"[/\\]", path):
        raise ValueError(f"{path!r} contains `..`, which is not allowed here; write the path without it.")
    target = resolve_prefix(path)
    if target.local_path is None and not target.identity[1].endswith("/" + path.rpartition("/")[2]):
        raise ValueError(f"{path!r} is the URL of a bucket, not of a file; add the name of a file to it.")
    return target


def resolve_prefix(path: str) -> StorageTarget:
    """Return the target of a path or URL that a person typed: of a file, directory, bucket or beginning of keys.

    Here ``..`` is allowed: it is not templated data. A local path is not passed to Airflow's ``ObjectStoragePath``,
    which in some versions resolves a relative path against the root and truncates a name at ``#`` or ``?``.

    :param path: as in :func:`resolve_target`
    :raises ValueError: it contains a control character, or is a ``file:`` URL with a host
    """
    if _CONTROL.search(path):
        raise ValueError(f"{path!r} contains a control character.")
    scheme = _SCHEME.match(path)
    if scheme is None:
        return LocalTarget(path, Path(path))
    if scheme[1].lower() in {"file", "local"}:
        local = path[scheme.end() :].removeprefix("//")
        if not local.startswith("/"):
            raise ValueError(f"{path!r} contains a host, but only files of this machine are supported: file:///path.")
        return LocalTarget(path, Path(local))
    # Imported only here: local files do not need Airflow.
    from airflow.providers.common.compat.sdk import ObjectStoragePath  # noqa: PLC0415

    try:
        found = ObjectStoragePath(path)
        store = found.fs
    except (ImportError, ValueError) as exc:
        package = _PACKAGES.get(scheme[1].lower(), "of Airflow that supports its scheme")
        raise ModuleNotFoundError(f"{path!r} needs the package {package}: install it. ({exc!s:.200})") from exc
    return ObjectTarget(path, store, found.path.rstrip("/"))


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

    def put(self, source: Path) -> None:
        """Copy a local file here, completely or not at all; an existing file is replaced."""
        with _naming("write", self.name):
            self._copy(source, os.replace)

    def create(self, source: Path) -> None:
        """Copy a local file here, completely or not at all, unless a file exists.

        Where the storage has no such operation (a file system without hard links, an old client of an object store), an
        existing file is replaced.

        :raises FileExistsError: there is one, even if it was written a moment ago
        """
        with _naming("write", self.name):
            self._copy(source, _link)

    def _copy(self, source: Path, give_name: Callable[[Path, Path], None]) -> None:
        parent = self.local_path.parent
        folder = parent if parent.name == HIDDEN_FOLDER else parent / HIDDEN_FOLDER
        hidden = folder / f".secoda-{secrets.token_hex(8)}.part"
        try:
            # Not by tempfile, whose files only their owner may read: this one has the permissions of the umask.
            with source.open("rb") as file, _open_new(hidden) as copy:
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

    def open_if_exists(self) -> IO[bytes] | None:
        """Open the file for reading; None when it does not exist, or when the store does not permit to read it."""
        with _naming("read", self.name):
            try:
                return self.open()
            except OSError as exc:
                if exc.errno in (errno.ENOENT, errno.ENAMETOOLONG):  # no file can have so long a name
                    return None
                raise

    def exists(self) -> bool:
        """Return whether there is a file here, not only a directory."""
        return self.local_path.is_file()

    def files(self) -> Iterator[StorageTarget]:
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
                    yield LocalTarget(_name_below(self.name, str(self.local_path), file), Path(file))

    def remove(self) -> None:
        """Remove the file, if it exists."""
        self.local_path.unlink(missing_ok=True)

    def console_url(self) -> str | None:
        """Return the address of the page of the cloud's console that shows the file; None where there is no page."""
        return None  # a browser does not open a local file that a web page links to


@dataclass(frozen=True)
class ObjectTarget:
    """An object, whether it exists or not, or the beginning of objects' keys; methods as of :class:`LocalTarget`.

    What a store's library raises is raised as it is: its text may contain what the connection contains.

    :param store: an fsspec file system
    :param path: bucket and key
    """

    name: str
    store: Any
    path: str
    local_path: ClassVar[None] = None

    @property
    def identity(self) -> tuple[Hashable, str]:
        return id(self.store), self.path

    def check_writable(self) -> None:
        try:
            self.store.info(self.path.partition("/")[0])
        except FileNotFoundError as exc:
            raise FileNotFoundError(errno.ENOENT, "The bucket does not exist", self.name) from exc
        except Exception:  # noqa: BLE001, S110 - many keys may write objects, but not read the bucket
            pass

    def put(self, source: Path) -> None:
        with _naming("write", self.name):
            self._put(source)

    def create(self, source: Path) -> None:
        with _naming("write", self.name):
            try:
                self._put(source, mode="create")
            except Exception as exc:
                # Each client has its own error for it, and some stores do not know the condition.
                if not isinstance(exc, FileExistsError) and not self._may_exist():
                    self._put(source)
                    return
                raise FileExistsError(errno.EEXIST, "There is an object", self.name) from exc

    def _put(self, source: Path, **options: str) -> None:
        known = inspect.signature(self.store.put_file).parameters
        chosen = {name: value for name, value in {**_PUT_OPTIONS, **options}.items() if name in known}
        self.store.put_file(str(source), self.path, **chosen)

    def _may_exist(self) -> bool:
        try:
            return self.exists()
        except OSError as exc:
            return _is_forbidden(exc)

    def open(self) -> IO[bytes]:
        # The `readline` of the store's own file does not take a limit.
        return io.BufferedReader(self.store.open(self.path, "rb", block_size=_READ_AHEAD_BYTES))

    def open_if_exists(self) -> IO[bytes] | None:
        with _naming("read", self.name):
            try:
                # The store keeps listings in memory, which do not have what another process has written since.
                self.store.invalidate_cache()
                return self.open()
            except OSError as exc:
                if isinstance(exc, FileNotFoundError) or _is_forbidden(exc):  # some keys may write, but not read
                    return None
                raise

    def exists(self) -> bool:
        self.store.invalidate_cache()
        return bool(self.store.isfile(self.path))

    def files(self) -> Iterator[StorageTarget]:
        self.store.invalidate_cache()
        keys: list[str] = self.store.find(self.path)
        if keys in ([], [self.path]) and "/" in self.path:
            keys = [key for key in self.store.find(self.path.rpartition("/")[0]) if key.startswith(self.path)]
        for key in keys:
            yield ObjectTarget(_name_below(self.name, self.path, key), self.store, key)

    def remove(self) -> None:
        self.store.invalidate_cache()
        with suppress(FileNotFoundError):
            if self.store.exists(self.path):
                self.store.rm_file(self.path)

    def console_url(self) -> str | None:
        return console_url(self.store, self.path)


StorageTarget: TypeAlias = LocalTarget | ObjectTarget


@contextmanager
def _naming(verb: str, name: str) -> Iterator[None]:
    """Name ``output_path`` in an error of the storage; its number and class are kept where they have a meaning."""
    try:
        yield
    except FileExistsError:
        raise
    except Exception as exc:
        reason = getattr(exc, "strerror", None) or f"{type(exc).__name__}: {exc}"
        text = f"Cannot {verb} `output_path` {name!r}: {reason}"
        if isinstance(exc, OSError) and exc.errno is not None:
            raise OSError(exc.errno, text) from exc
        known = (kind for kind in type(exc).__mro__ if kind.__module__ == "builtins" and issubclass(kind, OSError))
        raise next(known, OSError)(text) from exc


def _name_below(name: str, path: str, file: str) -> str:
    """Return how a caller writes the name of a file below a directory whose name and path are given."""
    return name.rstrip("/") + file.removeprefix(path.rstrip("/"))


def _open_new(path: Path) -> IO[bytes]:
    """Open a new file for writing, and create its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return path.open("xb")
    except FileNotFoundError:  # another task has removed the directory, which was empty
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


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


def _is_forbidden(exc: OSError) -> bool:
    """Return whether an object store answered that something is not permitted; gcsfs says so only in the text."""
    return isinstance(exc, PermissionError) or str(exc).startswith("Forbidden: ")
