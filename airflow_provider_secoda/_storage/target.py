"""Find the place that a path or URL names, local or in an object store, and what can be done there."""

from __future__ import annotations

import errno
import inspect
import io
import os
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from airflow_provider_secoda._storage.console import console_url

if TYPE_CHECKING:
    from collections.abc import Mapping

_PIECE = 1 << 20
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# As they come, s3fs holds up to 100 MB of a file at once and ten parts of 50 MB, gcsfs 50 MB.
_PUT_OPTIONS = {"chunksize": 8 << 20, "max_concurrency": 2}


class StorageTarget(Protocol):
    """Where a file lies, or is going to lie."""

    def put(self, whole: Path) -> None:
        """Put a local file there, at once or not at all; what stood there before is replaced."""

    def open(self) -> IO[bytes] | None:
        """Open what lies there for reading; None when nothing does, or when it is not for us to see."""

    def remove(self) -> None:
        """Remove what lies there, if anything does."""

    def page(self) -> str | None:
        """Return the address of a page that shows the file to people, where it has one."""


def resolve_target(path: str) -> StorageTarget:
    """Find where a path or URL leads, without touching what is there.

    A local path is not left to Airflow's ``ObjectStoragePath``, which in some versions takes a relative path from the
    root and cuts a name at ``#`` or ``?``.

    :param path: a path, or a URL that Airflow's object storage takes (``file:///…``, ``s3://conn_id@bucket/key``)
    :raises ValueError: it names no file, or leads upwards by ``..``: parts of a path may come from templated data,
        which must not decide in which folder a file lands
    """
    if _CONTROL.search(path):
        raise ValueError(f"{path!r} holds a control character.")
    if ".." in re.split(r"[/\\]", path):
        raise ValueError(f"{path!r} leads upwards by `..`; write the path that is meant.")
    scheme = _SCHEME.match(path)
    if scheme is None:
        return _Local(Path(path))
    if scheme[1].lower() in {"file", "local"}:
        local = path[scheme.end() :].removeprefix("//")
        if not local.startswith("/"):
            raise ValueError(f"{path!r} names a host, not a file of this machine; write file:///path.")
        return _Local(Path(local))
    # Only here: local files need no Airflow.
    from airflow.providers.common.compat.sdk import ObjectStoragePath  # noqa: PLC0415

    target = ObjectStoragePath(path)
    if not target.path.endswith("/" + path.rpartition("/")[2]):
        raise ValueError(f"{path!r} names a bucket, but no file in it.")
    known = inspect.signature(target.fs.put_file).parameters
    return _Object(target.fs, target.path, {name: value for name, value in _PUT_OPTIONS.items() if name in known})


@dataclass(frozen=True)
class _Local:
    path: Path

    def put(self, whole: Path) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        hidden = self.path.with_name(f".landing-{secrets.token_hex(8)}.part")
        try:
            # Not by tempfile, whose files only their owner may read: this one is as any new file under the umask.
            with whole.open("rb") as source, hidden.open("xb") as copy:
                shutil.copyfileobj(source, copy, _PIECE)
                copy.flush()
                os.fsync(copy.fileno())
            hidden.replace(self.path)
        finally:
            hidden.unlink(missing_ok=True)

    def open(self) -> IO[bytes] | None:
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            return None
        except OSError as exc:
            if exc.errno == errno.ENAMETOOLONG:  # under such a name nothing can be
                return None
            raise

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def page(self) -> str | None:
        return None  # browsers open no file that a page on the web links to


@dataclass(frozen=True)
class _Object:
    store: Any
    path: str
    options: Mapping[str, int]

    def put(self, whole: Path) -> None:
        self.store.put_file(str(whole), self.path, **self.options)

    def open(self) -> IO[bytes] | None:
        try:
            # What another process wrote meanwhile does not stand in the listings that a store keeps in memory.
            self.store.invalidate_cache()
            # Its own `readline` takes no limit.
            return io.BufferedReader(self.store.open(self.path, "rb"))
        except FileNotFoundError:
            return None
        except OSError as exc:
            if _forbidden(exc):  # some may write, but not read
                return None
            raise

    def remove(self) -> None:
        try:
            self.store.invalidate_cache()
            if self.store.exists(self.path):
                self.store.rm_file(self.path)
        except FileNotFoundError:
            return

    def page(self) -> str | None:
        return console_url(self.store, self.path)


def _forbidden(exc: OSError) -> bool:
    """Tell whether an object store said that something is not allowed; gcsfs says it by its text alone."""
    return isinstance(exc, PermissionError) or str(exc).startswith("Forbidden: ")
