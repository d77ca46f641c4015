"""Write the logs of a window to files of which none is ever replaced or removed: the file, then its supplements."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_secoda._storage.existing import UnknownFileError, read_ids
from airflow_provider_secoda._storage.formats import format_of
from airflow_provider_secoda._storage.manifest import ManifestBuilder, manifest_path, signature_path
from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda._storage.window_files import compare, window_file
from airflow_provider_secoda._storage.write import WrittenFile, write_new
from airflow_provider_secoda.client._api.text import printable_line
from airflow_provider_secoda.client._api.timestamps import parse_instant
from airflow_provider_secoda.operators._manifest import manifest_header
from airflow_provider_secoda.operators._replacing import existing_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_secoda._storage.spool import Spool
    from airflow_provider_secoda._storage.window_files import Differences, KnownLogs
    from airflow_provider_secoda.operators._read import WindowRead
    from airflow_provider_secoda.operators._replacing import ReplaceCheck
    from airflow_provider_secoda.signing import Signer


@dataclass
class WindowFiles:
    """The files of the window of a task, and what is added to them.

    The first file has the logs that the first read found. Each later read adds what the files lack, as a supplement
    whose manifest contains the SHA-256 of the manifest before it. Each file and manifest is created on the condition
    that there is none.

    A process that is killed leaves a file without a manifest at most, because the manifest is written last. The next
    read writes the manifest if all logs of the file were read again and give the same bytes: what was not read is
    never described. Logs that came since then go to the next supplement, in the same run.

    :ivar paths: of the files, in order
    :ivar last: the last file
    :ivar late: how many logs this task has added to an earlier file
    """

    read: WindowRead
    check: ReplaceCheck
    spool: Spool
    known: KnownLogs
    context: Context
    settle: timedelta
    signer: Signer | None
    paths: list[str] = field(default_factory=list)
    last: WrittenFile | None = None
    written: bool = False
    late: int = 0
    _last_timestamps: list[str | None] = field(default_factory=list)

    def write(self) -> dict[str, Any]:
        """Write what the files lack; return the summary."""
        self._find_files()
        found = compare(self.spool, self.known, format_of(self.check.path))
        if not self.paths:
            self._write(self.spool)
        elif found.late:
            self._check_source(found)
            self._write(row for row in self.spool if self.known.find(row[1]) is None)
            self.late += found.late
        self._log(found)
        if self.last is None:
            raise RuntimeError("no file was found or written")
        return {
            "path": self.last.path,
            "format": self.last.format,
            **self.read.summary(),
            **asdict(self.last),
            "paths": self.paths,
            "written": self.written,
            "late_logs": self.late,
            "altered_logs": asdict(found.altered),
            "expired_logs": asdict(found.expired),
        }

    def _find_files(self) -> None:
        """Find the files of the window, in order, and the logs that are in them.

        :raises AirflowFailException: one of them is of another query, or missing, or cannot be completed
        """
        while True:
            number = len(self.paths)
            path = window_file(self.check.path, number)
            if not self._add_described(path, number) and not self._complete(path, number):
                break
        after = window_file(self.check.path, number + 1)
        if any(resolve_target(name).exists() for name in (after, manifest_path(after))):
            raise AirflowFailException(
                f"{path} is missing, although there is {after}. Restore it and its manifest, and retry; "
                "python -m airflow_provider_secoda.verify names all that is missing"
            )

    def _add_described(self, path: str, number: int) -> bool:
        """Add a file that has a manifest; return whether there is one."""
        with existing_manifest(path, may_be_forbidden=False) as found:
            if found is None:
                return False
            self.check.is_same_query(found.header)
            supplement, expected = found.header.get("supplement"), self._supplement(number)
            if supplement != expected:
                raise AirflowFailException(
                    f"The manifest {manifest_path(path)} does not continue the files before it: it records "
                    f"{supplement!r:.300} as its predecessor, not {expected!r}. A file or manifest was altered, "
                    "renamed or replaced: run python -m airflow_provider_secoda.verify, and restore it"
                )
            self.known.add(number, found.records)
            file, key = found.header["file"], found.header.get("signing_key")
            manifest, timestamp = manifest_path(path), found.header["read"]["last_timestamp"]
            self.last = WrittenFile(
                path, file["format"], file["bytes"], file["sha256"], manifest, found.reader.sha256,
                file["untyped_values"], None if key is None else signature_path(manifest), key,
            )  # fmt: skip
        if not resolve_target(path).exists():
            raise AirflowFailException(
                f"{path} is missing, although there is its manifest {manifest}. Restore the file and retry"
            )
        if self.last.signature is not None and not resolve_target(self.last.signature).exists():
            # It is not signed now: what only the read of that task knew cannot be checked.
            raise AirflowFailException(
                f"The manifest {manifest} names the signing key {key}, but its signature is missing: "
                f"{self.last.signature}. Restore it. If a task was killed before it wrote the signature, remove the "
                "manifest and retry: the file then gets a manifest and a signature of the new read"
            )
        self.paths.append(path)
        self._last_timestamps.append(timestamp)
        return True

    def _complete(self, path: str, number: int) -> bool:
        """Write the manifest of a file that has none; return whether there is such a file."""
        file = resolve_target(path).open_if_exists(may_be_forbidden=False)
        if file is None:
            return False
        try:
            with file:
                count = self.known.add(number, ((log_id, None) for log_id in read_ids(file, path)))
            missing = sum(log_id not in self.spool for log_id in self.known.ids(number))
            if missing:
                raise UnknownFileError(f"the API does not return {missing} of its logs: {self.read.history}")
            self._write(self._rows_of(number))
        except (ValueError, FileExistsError) as exc:
            if isinstance(exc, FileExistsError) and exc.filename != path:
                raise
            reason = exc if isinstance(exc, ValueError) else "it has other bytes than this task writes for its logs"
            raise AirflowFailException(
                f"{path} has no manifest, and cannot be given one: {reason}. A task was killed before it wrote the "
                "manifest, or somebody else wrote the file. Move the file to another place and retry, or write to "
                "another path"
            ) from exc
        self.late += count if number else 0
        self.read.log.info("%s had no manifest; its %d logs were read again, and the manifest was written", path, count)
        return True

    def _rows_of(self, number: int) -> Iterator[tuple[int, str, bytes]]:
        """Yield the logs that were read and are in a file of the window."""
        for row in self.spool:
            known = self.known.find(row[1])
            if known is not None and known[0] == number:
                yield row

    def _check_source(self, found: Differences) -> None:
        """Check that the API is not that of another workspace, if it returns none of the logs of the files.

        All of them may have expired, but then they are older than all logs that the API returns.

        :raises AirflowFailException: they are not
        """
        oldest, last = self.read.report.history_from, [text for text in self._last_timestamps if text is not None]
        if found.same or not self.known.count or (last and oldest is not None and parse_instant(max(last)) < oldest):
            return
        raise AirflowFailException(
            f"Refusing to add {found.late} logs to the window of {self.check.path}: {self.read.base_url} "
            f"returns no log of the {self.known.count} in its files, although {self.read.history}. Check that "
            f"connection {self.read.hook.secoda_conn_id!r} has the key of the same workspace, or write to another path"
        )

    def _supplement(self, number: int) -> dict[str, Any] | None:
        """Return what the manifest of a file records of the one before it; None for the first file."""
        if not number or self.last is None:
            return None
        name = self.check.path.rpartition("/")[2]
        return {"number": number, "of": name, "previous_manifest_sha256": self.last.manifest_sha256}

    def _write(self, rows: Iterator[tuple[int, str, bytes]] | Spool) -> None:
        """Write the next file of the window, or the manifest of one that is there."""
        number = len(self.paths)
        path, supplement = window_file(self.check.path, number), self._supplement(number)
        signature = signature_path(manifest_path(path))
        if resolve_target(signature).exists():
            raise AirflowFailException(
                f"There is a signature {signature}, but not its manifest {manifest_path(path)}. Restore the manifest, "
                "or remove the signature, and retry"
            )
        with ManifestBuilder(format_of(path)) as builder:

            def manifest(file: WrittenFile) -> Iterator[bytes]:
                header: Mapping[str, Any] = manifest_header(
                    file, self.read, count=builder.count, settle=self.settle, context=self.context
                )
                return builder.manifest(header if supplement is None else {**header, "supplement": supplement})

            self.last = write_new(builder.watch(rows), path, manifest=manifest, signer=self.signer)
        self.paths.append(path)
        self.written = True
        self.read.log.info(
            "Wrote %d logs of %s to %s: %d bytes, sha256 %s; manifest: sha256 %s, signing key %s",
            builder.count, self.read.window, path, self.last.bytes, self.last.sha256, self.last.manifest_sha256,
            self.last.signing_key,
        )  # fmt: skip

    def _log(self, found: Differences) -> None:
        read = self.read
        read.log.info(
            "Read %d logs of %s (%s): %d pages, %d requests; %d files, %d late logs",
            read.count, read.window, read.window.rule, read.report.pages, read.stats.requests, len(self.paths),
            self.late,
        )  # fmt: skip
        for some, what in ((found.altered, "with other content"), (found.expired, "no longer")):
            if some.count:
                read.log.warning(
                    "The API returns %d logs of the files of %s %s; the files stay as they are. The first is log %s",
                    some.count, read.window, what, printable_line(some.ids[0], 80),
                )  # fmt: skip
