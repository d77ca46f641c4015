"""Check that a file which a task is about to write does not replace anything else than the file of the same query."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_secoda._storage.existing import UnknownFileError, read_ids
from airflow_provider_secoda._storage.manifest import HashingReader, manifest_path, open_manifest, read_manifest
from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda._storage.targets.errors import is_forbidden
from airflow_provider_secoda.client._api.timestamps import format_datetime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_provider_secoda._storage.spool import Spool
    from airflow_provider_secoda.operators._read import WindowRead


class ExistingManifest(NamedTuple):
    """The manifest of a file that exists.

    :ivar records: (id, SHA-256) of each record; to be read before the file is closed
    :ivar reader: has the SHA-256 of the manifest when all records were read
    """

    header: Mapping[str, Any]
    records: Iterator[tuple[str, str]]
    reader: HashingReader


@contextmanager
def existing_manifest(path: str, *, may_be_forbidden: bool = True) -> Iterator[ExistingManifest | None]:
    """Read the manifest of the file at a path or URL; None without a manifest.

    :param may_be_forbidden: as of :meth:`.LocalTarget.open_if_exists`
    :raises AirflowFailException: it cannot be read, also while its records are read
    """
    file = open_manifest(path, may_be_forbidden=may_be_forbidden)
    if file is None:
        yield None
        return
    with file:
        try:
            reader = HashingReader(file)
            yield ExistingManifest(*read_manifest(reader), reader)
        except (LookupError, TypeError, ValueError) as exc:
            raise AirflowFailException(
                f"Cannot read manifest {manifest_path(path)} ({exc}); refusing to write. Move or delete the manifest "
                "and retry"
            ) from exc


@dataclass(frozen=True)
class ReplaceCheck:
    """What may be replaced at the path of a task: a file of the same query, by one that has all of its logs.

    The query is window, filter, timestamp field, connection and host; the manifest of the file records it. A file
    without a manifest (the task was killed before it wrote one, or has ``write_manifest=False``) may be replaced by one
    that has all of its logs. With ``overwrite``, files of another query and files without a manifest are replaced, too.

    :param path: path or URL of the file
    :param on_change: as of the operator; with ``supplement``, nothing is replaced, and the query is checked only
    :param is_mapped: whether the task is an instance of a mapped one
    """

    path: str
    read: WindowRead
    overwrite: bool = False
    on_change: Literal["replace", "supplement"] = "replace"
    is_mapped: bool = False

    def before_read(self) -> None:
        """Check the query that the manifest records, before the window is read.

        :raises AirflowFailException: the file is of another query, or its manifest cannot be read
        """
        needs_read = self.on_change == "supplement"
        try:
            with existing_manifest(self.path, may_be_forbidden=not needs_read) as found:
                if found is not None:
                    self.is_same_query(found.header)
        except OSError as exc:
            if not needs_read or not is_forbidden(exc):
                raise
            raise AirflowFailException(
                f'{exc}. on_change="supplement" needs permission to read objects and to list the bucket: without it, a '
                "store does not say whether a file is missing"
            ) from exc

    def before_write(self, spool: Spool) -> bool:
        """Check the query again, and that no log of the file is missing from what was read.

        A task that is cleared after logs have expired in Secoda would replace a file by one that contains fewer logs.
        Another task may have written the file in the meantime, so call this just before it is replaced.

        :return: whether there is a file or a manifest
        :raises AirflowFailException: as :meth:`before_read`; or the file contains logs that were not read
        """
        with existing_manifest(self.path) as found:
            if found is not None:
                header, records, _ = found
                if self.is_same_query(header):
                    self._check_missing((log_id for log_id, _ in records), spool, header["source"]["base_url"])
                return True
        file = resolve_target(self.path).open_if_exists()
        if file is None:
            return False
        with file:
            if not self.overwrite:
                try:
                    self._check_missing(read_ids(file, self.path), spool, None)
                except UnknownFileError as exc:
                    raise AirflowFailException(
                        f"Refusing to replace {self.path}: it has no manifest and is not a complete file of audit logs "
                        f"({exc}). Move the file, write to another path, or replace it with overwrite=True"
                    ) from exc
        return True

    def is_same_query(self, header: Mapping[str, Any]) -> bool:
        """Return whether a manifest records this query.

        :raises AirflowFailException: it records another one, without ``overwrite``
        """
        differences = self._differences(header)
        if not differences or self.overwrite:
            return not differences
        options = [self._suggestion(header), "move the file and its manifest"]
        options += ["replace it with overwrite=True"] if self.on_change == "replace" else []
        raise AirflowFailException(
            f"Refusing to {self.on_change} {self.path}: its manifest {manifest_path(self.path)} records "
            f"{' and '.join(differences)}. {', '.join(options[:-1])}, or {options[-1]}"
        )

    def _differences(self, header: Mapping[str, Any]) -> list[str]:
        """Return what differs between the query that a manifest records and this one, as text."""
        old, new = header["query"], self.read.query
        source = header["source"]
        values = {
            # The rule that chose the window does not matter: a run that is triggered by hand may use another one.
            "window": ("[{start}, {end})".format(**old), str(self.read.window)),
            "timestamp field": (old["timestamp_field"], new["timestamp_field"]),
            "filter": (old["filter"], new["filter"]),
            "connection": (source["connection_id"], self.read.hook.secoda_conn_id),
            "host": (source["base_url"], self.read.base_url),
        }
        # As JSON: a manifest that was altered may contain any characters.
        texts = {name: [json.dumps(value) for value in pair] for name, pair in values.items() if pair[0] != pair[1]}
        return [f"{name} {one:.300} (this task: {other:.300})" for name, (one, other) in texts.items()]

    def _suggestion(self, header: Mapping[str, Any]) -> str:
        window = self.read.window
        start, end = (header["query"][name] for name in ("start", "end"))
        if (start, end) != (format_datetime(window.start), format_datetime(window.end)):
            is_day = window.end - window.start >= timedelta(hours=23)
            return f"Add {{start:{'%Y-%m-%d' if is_day else '%Y-%m-%dT%H-%M'}}} to `output_path`"
        if self.is_mapped:
            return "Add what differs between the mapped tasks to `output_path`, such as {{ ti.map_index }}"
        return "Write to another path"

    def _check_missing(self, ids: Iterable[str], spool: Spool, source: str | None) -> None:
        """Check that all logs of the file were read.

        :param source: the host that they are from; None if it is not known
        """
        missing, example = 0, ""
        for log_id in ids:
            if log_id not in spool:
                missing, example = missing + 1, example or log_id
        if missing:
            raise AirflowFailException(
                f"Refusing to replace {self.path}: it contains {missing} logs{f' of {source}' if source else ''}, such "
                f"as {example!r}, that {self.read.base_url} does not return for {self.read.window} "
                f"({self.read.history}). "
                f"Move the file{' and its manifest' if source else ''} and retry, or write to another path"
            )
