"""Read, write and list objects of a store, through the file system of its client library."""

from __future__ import annotations

import errno
import inspect
import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from airflow_provider_secoda._storage.targets.console import console_url
from airflow_provider_secoda._storage.targets.errors import is_forbidden, name_below, naming

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

# By default s3fs holds up to 100 MB of a file at once and ten parts of 50 MB, gcsfs 50 MB.
_PUT_OPTIONS = {"chunksize": 8 << 20, "max_concurrency": 2}
# By default s3fs reads 50 MB ahead.
_READ_AHEAD_BYTES = 4 << 20


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
        with naming("write", self.name):
            self._put(source)

    def create(self, source: Path) -> None:
        with naming("write", self.name):
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
            return is_forbidden(exc)

    def open(self) -> IO[bytes]:
        # The `readline` of the store's own file does not take a limit.
        return io.BufferedReader(self.store.open(self.path, "rb", block_size=_READ_AHEAD_BYTES))

    def open_if_exists(self) -> IO[bytes] | None:
        with naming("read", self.name):
            try:
                # The store keeps listings in memory, which do not have what another process has written since.
                self.store.invalidate_cache()
                return self.open()
            except OSError as exc:
                if isinstance(exc, FileNotFoundError) or is_forbidden(exc):  # some keys may write, but not read
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

    def console_url(self) -> str | None:
        return console_url(self.store, self.path)
