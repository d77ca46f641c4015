"""Find the files to check, in local directories and in object storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_secoda._storage.formats import format_of
from airflow_provider_secoda._storage.manifest import (
    adjacent_manifest_path,
    described_path,
    manifest_path,
    signed_path,
)
from airflow_provider_secoda._storage.target import resolve_prefix
from airflow_provider_secoda._storage.window_files import split_window_file, window_file
from airflow_provider_secoda.verify._files import UnreadableError, unreadable
from airflow_provider_secoda.verify._messages import escape

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from airflow_provider_secoda._storage.target import StorageTarget


@dataclass
class Pair:
    """A data file and its manifest, of which one may be missing; both if only the signature of the manifest is left.

    :param path: the path or URL of the data file, as a caller writes it
    """

    path: str
    file: StorageTarget | None = None
    manifest: StorageTarget | None = None


def find_pairs(paths: Iterable[str], errors: list[str]) -> tuple[list[Pair], int]:
    """Find the data files and manifests at paths or URLs, or below them at any depth, each once.

    :param paths: of data files or manifests, of directories, or in an object store also the beginning of keys
    :param errors: gets a message for each path that cannot be read, or where no file is found
    :return: the pairs, those of each path in the order of their names, and the number of other files
    :raises ValueError: one is not a path or URL
    """
    pairs: dict[tuple[Hashable, str], Pair] = {}
    others = 0
    for path in paths:
        try:
            targets = _targets(path)
        except UnreadableError as exc:
            errors.append(f"{escape(path)}: cannot be read: {exc}")
            continue
        halves = [(data, target) for target in targets if (data := _data_path(target.name)) is not None]
        others += len(targets) - len(halves)
        if not halves:
            errors.append(f"{escape(path)}: no file to check (.jsonl, .ndjson, .jsonl.gz, .ndjson.gz, .parquet)")
        # The first file of a window, then its supplements.
        for data, target in sorted(halves, key=lambda each: split_window_file(each[0])):
            store, place = target.identity
            pair = pairs.setdefault((store, _data_path(place) or place), Pair(data))
            if data == target.name:
                pair.file = target
            elif target.name == manifest_path(data) or (pair.manifest is None and signed_path(target.name) is None):
                pair.manifest = target
    for pair in pairs.values():
        _complete(pair, errors)
    return list(pairs.values()), others


def _targets(path: str) -> list[StorageTarget]:
    """Return the files at a path or URL, or below it; of a data file or manifest, all files of its window."""
    data = _data_path(path)
    try:
        target = resolve_prefix(path.rstrip("/") or "/" if data is None else data)
    except ValueError:
        raise
    except Exception as exc:  # noqa: BLE001 - a store's library may raise anything
        raise UnreadableError(exc) from None
    with unreadable():
        existing = [] if data is None else list(_files_of_window(data))
        if existing:
            return existing
        found: list[StorageTarget] = list(target.files())
        # The beginning of keys may be that of supplements only.
        names = {name for each in found if (name := _data_path(each.name)) is not None}
        firsts = {split_window_file(name)[0] for name in names} - names
        return found + [each for name in sorted(firsts) for each in _files_of_window(name)]


def _files_of_window(data: str) -> Iterator[StorageTarget]:
    """Yield the files of the window of a data file, and their manifests."""
    first, last = split_window_file(data)
    number = 0
    while True:
        name = window_file(first, number)
        existing = [target for part in (name, *_manifest_paths(name)) if (target := resolve_prefix(part)).exists()]
        if not existing and number > last:
            return
        yield from existing
        number += 1


def _complete(pair: Pair, errors: list[str]) -> None:
    try:
        complete_pair(pair)
    except UnreadableError as exc:
        errors.append(f"{escape(pair.path)}: cannot be read: {exc}")


def complete_pair(pair: Pair) -> None:
    """Find the other half of a pair if it was not at the paths that were passed, such as the beginning of keys.

    :raises UnreadableError: the storage cannot be read
    """
    with unreadable():
        for name in _manifest_paths(pair.path):
            if pair.manifest is None and (target := resolve_prefix(name)).exists():
                pair.manifest = target
        if pair.file is None and (target := resolve_prefix(pair.path)).exists():
            pair.file = target


def _manifest_paths(data: str) -> tuple[str, str]:
    """Return where the manifest of a data file can be, the current place first."""
    return manifest_path(data), adjacent_manifest_path(data)


def _data_path(path: str) -> str | None:
    """Return the path of the data file for its own path or that of its manifest or signature; None for any other."""
    data = described_path(signed_path(path) or path) or path
    try:
        format_of(data)
    except ValueError:
        return None
    return data
