"""Read, write and list objects of a store, through the file system of its client library."""

from __future__ import annotations

import errno
import inspect
import io
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from airflow_provider_secoda._storage.targets.console import console_url
from airflow_provider_secoda._storage.targets.errors import is_forbidden, name_below, naming
from airflow_provider_secoda._storage.targets.s3_upload import upload

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

# By default gcsfs holds 50 MB of a file at once.
_PUT_OPTIONS = {"chunksize": 8 << 20}
# By default s3fs reads 50 MB ahead.
_READ_AHEAD_BYTES = 4 << 20
#: Error numbers of s3fs for 501 NotImplemented and 400 InvalidArgument.
_UNKNOWN_CONDITION = (errno.ENOSYS, errno.EINVAL)


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

    def put(self, source: Path, *, replacing: str | None = None) -> None:
        with naming("write", self.name):
            if replacing is None:
                self._put(source)
                return
            # S3 checks it again in the request that writes; some stores with its protocol ignore the condition.
            if self.version() != replacing:
                raise FileExistsError(errno.EEXIST, "There is another object now", self.name)
            if self._is_s3:
                self._put_if(source, lambda: self.version() != replacing, IfMatch=replacing)
            else:
                self._put(source)

    def create(self, source: Path) -> None:
        with naming("write", self.name):
            condition = {"IfNoneMatch": "*"} if self._is_s3 else {"mode": "create"}
            self._put_if(source, self._may_exist, **condition)

    def _put_if(self, source: Path, is_violated: Callable[[], bool], **condition: str) -> None:
        """Put a file on a condition, or without it if the store does not know it and it is not violated now."""
        try:
            self._put(source, **condition)
        except Exception as exc:
            # Each client has its own error for a condition that is violated.
            if isinstance(exc, FileExistsError) or is_violated():
                raise FileExistsError(errno.EEXIST, "There is another object now", self.name) from exc
            if not isinstance(exc, OSError) or exc.errno not in _UNKNOWN_CONDITION:
                raise
            self._put(source)

    def _put(self, source: Path, **condition: str) -> None:
        if self._is_s3:
            upload(self.store, self.path, source, **condition)
        else:
            known = inspect.signature(self.store.put_file).parameters
            chosen = {name: value for name, value in {**_PUT_OPTIONS, **condition}.items() if name in known}
            self.store.put_file(str(source), self.path, **chosen)
        self.store.invalidate_cache()

    @property
    def _is_s3(self) -> bool:
        return hasattr(self.store, "call_s3")

    def version(self) -> str | None:
        try:
            self.store.invalidate_cache()
            found = self.store.info(self.path)
        except OSError as exc:
            if isinstance(exc, FileNotFoundError) or is_forbidden(exc):
                return None
            raise
        return found.get("ETag") or found.get("etag")  # type: ignore[no-any-return]

    def _may_exist(self) -> bool:
        try:
            return self.exists()
        except OSError as exc:
            return is_forbidden(exc)

    def open(self) -> IO[bytes]:
        # The `readline` of the store's own file does not take a limit.
        return io.BufferedReader(self.store.open(self.path, "rb", block_size=_READ_AHEAD_BYTES))

    def open_if_exists(self, *, may_be_forbidden: bool = True) -> IO[bytes] | None:
        with naming("read", self.name):
            try:
                # The store keeps listings in memory, which do not have what another process has written since.
                self.store.invalidate_cache()
                return self.open()
            except OSError as exc:
                if isinstance(exc, FileNotFoundError) or (may_be_forbidden and is_forbidden(exc)):
                    return None
                raise

    def exists(self) -> bool:
        self.store.invalidate_cache()
        return bool(self.store.isfile(self.path))

    def files(self) -> Iterator[ObjectTarget]:
        self.store.invalidate_cache()
        keys: list[str] = self.store.find(self.path)
        if keys in ([], [self.path]) and "/" in self.path:
            keys = [key for key in self.store.find(self.path.rpartition("/")[0]) if key.startswith(self.path)]
        for key in keys:
            yield ObjectTarget(name_below(self.name, self.path, key), self.store, key)

    def remove(self) -> None:
        self.store.invalidate_cache()
        with suppress(FileNotFoundError):
            if self.store.exists(self.path):
                self.store.rm_file(self.path)

    def discard(self) -> None:
        try:
            self.remove()
        except OSError as exc:
            if not is_forbidden(exc):
                raise
            with naming("write", self.name), tempfile.NamedTemporaryFile() as empty:
                self._put(Path(empty.name))

    def console_url(self) -> str | None:
        return console_url(self.store, self.path)
