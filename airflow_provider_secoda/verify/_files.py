"""Find the files to check, and open them: on this machine without Airflow, in object stores through it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_secoda._storage.formats import format_of
from airflow_provider_secoda._storage.manifest import manifest_path
from airflow_provider_secoda._storage.target import resolve_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_MANIFEST = manifest_path("")
#: As it comes, s3fs reads 50 MB ahead.
_BLOCK = 4 << 20


class UnreadableError(Exception):
    """A place cannot be read, so nothing can be said about what is there; the text is for people.

    It names kinds of errors, never their own texts: those of object stores may hold what a connection holds.
    """


@dataclass(frozen=True)
class Place:
    """One file, here or in an object store.

    :ivar path: as the caller would write it
    :ivar inner: as its store calls it
    """

    path: str
    store: Any  # an fsspec file system; None for this machine
    inner: str

    @property
    def local(self) -> Path | None:
        """Where it lies on this machine, or None."""
        return Path(self.inner) if self.store is None else None

    def open(self) -> IO[bytes]:
        """Open the file for reading.

        :raises UnreadableError: it cannot be opened
        """
        try:
            if self.store is None:
                return Path(self.inner).open("rb")
            file: IO[bytes] = self.store.open(self.inner, "rb", block_size=_BLOCK)
        except Exception as exc:  # noqa: BLE001 - whatever the store's library raises
            raise unreadable(exc) from None
        return file


@dataclass
class Pair:
    """A file and its manifest, of which one may be missing."""

    path: str
    file: Place | None = None
    manifest: Place | None = None

    @property
    def place(self) -> tuple[int, str]:
        """What is the same for the same file, however it was written."""
        here = self.file or self.manifest
        assert here is not None
        inner = here.inner.removesuffix(_MANIFEST)
        return (0, os.path.abspath(inner)) if here.store is None else (id(here.store), inner)  # noqa: PTH100


def unreadable(exc: Exception) -> UnreadableError:
    """Return in words that are safe to show why something cannot be read."""
    kinds: list[str] = []
    error: BaseException | None = exc
    while error is not None and len(kinds) < 4:  # noqa: PLR2004 - further causes tell nobody more
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else None
        kinds.append(f"{type(error).__name__} ({reason})" if reason else type(error).__name__)
        error = error.__cause__ or error.__context__
    return UnreadableError(", from ".join(kinds))


def find_pairs(path: str) -> tuple[list[Pair], int]:
    """Find the files of ours at a path or URL, or below it, however deep, in the order of their names.

    :param path: of a file, of either half of a pair, of a directory, or in an object store also the beginning of names
    :return: the pairs, and how many other files there are
    :raises ValueError: the path is no path or URL
    :raises UnreadableError: the storage does not answer, or refuses to
    """
    asked = _half(path) or path.rstrip("/") or "/"
    # Upwards is for templates to avoid, not for people at a prompt.
    place = os.path.abspath(asked) if asked.startswith((".", "/")) else asked  # noqa: PTH100
    try:
        child: Any = resolve_target(f"{place}/x.jsonl")
    except ValueError:
        raise
    except Exception as exc:  # noqa: BLE001 - whatever the store's library raises
        raise unreadable(exc) from None
    store = getattr(child, "store", None)
    base = str(child.path.parent) if store is None else child.path.rpartition("/")[0]
    try:
        names = _local(base) if store is None else _remote(store, base)
        return _pairs(Place(asked.rstrip("/") + name.removeprefix(base.rstrip("/")), store, name) for name in names)
    except Exception as exc:  # noqa: BLE001 - whatever the store's library raises
        raise unreadable(exc) from None


def _local(base: str) -> Iterator[str]:
    siblings = _siblings(base, os.path.isfile) or ([base] if os.path.isfile(base) else [])  # noqa: PTH113
    if siblings:
        yield from siblings
        return
    seen = set()
    for directory, inner, names in os.walk(base, onerror=_fail, followlinks=True):
        place = os.path.realpath(directory)
        if place in seen:  # links can lead in circles
            inner.clear()
            continue
        seen.add(place)
        yield from (path for name in names if os.path.isfile(path := os.path.join(directory, name)))  # noqa: PTH113,PTH118


def _fail(error: OSError) -> None:
    raise error


def _remote(store: Any, base: str) -> Iterable[str]:
    store.invalidate_cache()
    if siblings := _siblings(base, store.isfile):
        return siblings
    names: Sequence[str] = store.find(base)
    if not names or list(names) == [base]:
        parent = base.rpartition("/")[0]
        names = [name for name in store.find(parent) if name.startswith(base)] if "/" in base else names
    return names


def _siblings(path: str, exists: Callable[[str], bool]) -> list[str]:
    """Return which halves of a pair there are, if a path is one of them."""
    data = _half(path)
    return [] if data is None else [half for half in (data, manifest_path(data)) if exists(half)]


def _half(path: str) -> str | None:
    """Return the path of the data file that a path is, or is the manifest of; None if it is neither."""
    data = path.removesuffix(_MANIFEST)
    try:
        format_of(data)
    except ValueError:
        return None
    return data


def _pairs(places: Iterable[Place]) -> tuple[list[Pair], int]:
    pairs: dict[str, Pair] = {}
    others = 0
    for place in places:
        path = _half(place.path)
        if path is None:
            others += 1
            continue
        pair = pairs.setdefault(path, Pair(path))
        if path == place.path:
            pair.file = place
        else:
            pair.manifest = place
    return [pairs[path] for path in sorted(pairs)], others
