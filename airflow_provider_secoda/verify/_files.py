"""Find the files to check and their manifests, in local directories and in object storage."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_secoda._storage.formats import format_of
from airflow_provider_secoda._storage.manifest import manifest_path
from airflow_provider_secoda._storage.target import resolve_prefix

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from airflow_provider_secoda._storage.target import StorageTarget

_MANIFEST_SUFFIX = manifest_path("")
_CAUSES_SHOWN = 4


class UnreadableError(Exception):
    """Storage cannot be read, so nothing is known about its files.

    The message contains the types of errors, never their own messages: those of object stores may contain what the
    connection contains.
    """

    def __init__(self, error: BaseException) -> None:
        types: list[str] = []
        cause: BaseException | None = error
        while cause is not None and len(types) < _CAUSES_SHOWN:
            reason = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else None
            types.append(f"{type(cause).__name__} ({reason})" if reason else type(cause).__name__)
            cause = cause.__cause__ or cause.__context__
        super().__init__(", caused by ".join(types))


@dataclass
class Pair:
    """A data file and its manifest, of which one may be missing.

    :param path: the path or URL of the data file, as a caller writes it
    """

    path: str
    file: StorageTarget | None = None
    manifest: StorageTarget | None = None

    @property
    def identity(self) -> tuple[Hashable, str]:
        """Equal for the same data file, however its path is written."""
        target = self.file or self.manifest
        assert target is not None
        store, path = target.identity
        return store, path.removesuffix(_MANIFEST_SUFFIX)


def find_pairs(path: str) -> tuple[list[Pair], int]:
    """Find the data files and manifests at a path or URL, or below it at any depth, in the order of their names.

    :param path: of a data file or its manifest, of a directory, or in an object store also the beginning of keys
    :return: the pairs, and the number of other files
    :raises ValueError: it is not a path or URL
    :raises UnreadableError: the storage does not answer, or does not permit reading
    """
    data = _data_path(path)
    names = [path.rstrip("/") or "/"] if data is None else [data, manifest_path(data)]
    try:
        targets = [resolve_prefix(name) for name in names]
    except ValueError:
        raise
    except Exception as exc:  # noqa: BLE001 - a store's library may raise anything
        raise UnreadableError(exc) from None
    try:
        existing = [target for target in targets if data is not None and target.exists()]
        return _pairs(existing or targets[0].files())
    except Exception as exc:  # noqa: BLE001 - a store's library may raise anything
        raise UnreadableError(exc) from None


def _data_path(path: str) -> str | None:
    """Return the path of the data file for the path of either half of a pair; None for any other path."""
    data = path.removesuffix(_MANIFEST_SUFFIX)
    try:
        format_of(data)
    except ValueError:
        return None
    return data


def _pairs(targets: Iterable[StorageTarget]) -> tuple[list[Pair], int]:
    pairs: dict[str, Pair] = {}
    others = 0
    for target in targets:
        path = _data_path(target.name)
        if path is None:
            others += 1
            continue
        pair = pairs.setdefault(path, Pair(path))
        if path == target.name:
            pair.file = target
        else:
            pair.manifest = target
    return [pairs[path] for path in sorted(pairs)], others
