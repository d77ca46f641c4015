"""Read a window again from the API, and compare it with the records of a file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_secoda._storage.formats import stored
from airflow_provider_secoda._storage.scratch_database import ScratchDatabase, decode_text, encode_text
from airflow_provider_secoda._storage.spool import ContradictionError, Spool
from airflow_provider_secoda.client._api.timestamps import format_instant, from_instant
from airflow_provider_secoda.client._audit_logs.output import WindowReport
from airflow_provider_secoda.client.errors import SecodaError
from airflow_provider_secoda.verify._checks.records import id_key, read_head
from airflow_provider_secoda.verify._messages import escape, quote, record_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_secoda.hooks.secoda import SecodaHook
    from airflow_provider_secoda.verify._checks.manifest_header import ManifestHeader
    from airflow_provider_secoda.verify._checks.records import Record
    from airflow_provider_secoda.verify._result import Findings

_SCHEMA = """
CREATE TABLE held (key BLOB PRIMARY KEY, position INTEGER NOT NULL, at INTEGER, sha256 TEXT NOT NULL, id BLOB NOT NULL,
  returned INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
"""


class SourceError(Exception):
    """The API could not be read."""


class FileRecords(ScratchDatabase):
    """Remember the records of one file, on disk, and which of them the API returned."""

    def __init__(self) -> None:
        super().__init__(_SCHEMA)

    def add(self, record: Record) -> None:
        """Add a record of the file; one without an id cannot be found again, and is another check's finding."""
        if record.id is not None:
            row = (record.key, record.position, record.at, record.sha256, encode_text(record.id))
            self.database.execute("INSERT INTO held VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING", row)

    def mark_returned(self, record_id: str) -> tuple[int, str] | None:
        """Note that the API returned an id; return position and sha256 of its record, if the file has it."""
        key = id_key(record_id)
        query = "SELECT position, sha256 FROM held WHERE key = ?"
        row: tuple[int, str] | None = self.database.execute(query, (key,)).fetchone()
        if row is not None:
            self.database.execute("UPDATE held SET returned = 1 WHERE key = ?", (key,))
        return row

    def not_returned(self) -> Iterator[tuple[int, str, int | None]]:
        """Yield position, id and timestamp of the records that the API did not return."""
        query = "SELECT position, id, at FROM held WHERE NOT returned ORDER BY position"
        for position, blob, at in self.database.execute(query):
            yield position, decode_text(blob), at


class Source:
    """The API, read through Airflow's connections.

    :param conn_id: used instead of the connection that a manifest names
    :param on_page: called after each batch of logs
    """

    def __init__(self, conn_id: str | None, on_page: Callable[[], None]) -> None:
        self._conn_id = conn_id
        self._on_page = on_page
        self._hooks: dict[str, SecodaHook] = {}

    def close(self) -> None:
        """Close all connections."""
        for hook in self._hooks.values():
            hook.get_conn().close()

    def compare(self, header: ManifestHeader, file_format: str, records: FileRecords, findings: Findings) -> None:
        """Read a window again and compare it with the records of a file.

        :raises SourceError: the connection leads to another host than the file's, or the read failed
        """
        from airflow.providers.common.compat.sdk import AirflowException  # noqa: PLC0415 - only where it is used

        report = WindowReport()
        try:
            hook = self._hook(header)
            with Spool() as spool:
                # Only a read that ended without an error has proven that it is complete: no findings before that.
                for batch in hook.iter_raw_audit_logs(
                    from_instant(header.window.start),
                    from_instant(header.window.end),
                    filter=header.filter,
                    timestamp_field=header.timestamp_field,
                    report=report,
                ):
                    spool.add((log.at, log.id, log.raw) for log in batch)
                    self._on_page()
                for at, log_id, raw in spool:
                    log = stored(file_format, raw)
                    _check_log(records.mark_returned(log_id), at, log_id, log, findings)
        except (SecodaError, AirflowException, ContradictionError) as exc:
            raise SourceError(escape(f"{type(exc).__name__}: {exc}", 1000)) from None
        for position, record_id, expired_at in records.not_returned():
            _add_expired(position, record_id, expired_at, report.history_from, findings)

    def _hook(self, header: ManifestHeader) -> SecodaHook:
        from airflow_provider_secoda.hooks.secoda import SecodaHook  # noqa: PLC0415 - it imports Airflow

        conn_id = self._conn_id or header.series.connection_id
        hook = self._hooks.get(conn_id)
        if hook is None:
            hook = SecodaHook(conn_id)
            hook.get_conn()
            self._hooks[conn_id] = hook
        host, recorded_host = (urlsplit(url).netloc.lower() for url in (hook.settings.base_url, header.series.base_url))
        if host != recorded_host and self._conn_id is None:
            raise SecodaError(
                f"connection {conn_id!r} leads to {host}, but the files are from {recorded_host}; to compare them "
                "anyway, name the connection with --conn-id"
            )
        return hook


def _check_log(known: tuple[int, str] | None, at: int, log_id: str, log: bytes, findings: Findings) -> None:
    """Compare a log that the API returned with the record of the file.

    :param known: position and sha256 of the record; None: the file does not have it
    """
    timestamp = format_instant(at)
    if known is None:
        created_at: Any = read_head(log).created_at
        created_at = created_at if isinstance(created_at, str) else None
        created = "" if created_at is None else f", created_at {escape(created_at)}"
        text = f"log {quote(log_id)} ({timestamp}{created}) is returned by the API now, but is not in the file"
        findings.add("late", text, None, log_id, timestamp=timestamp, created_at=created_at)
    elif known[1] != hashlib.sha256(log).hexdigest():
        text = f"{record_name(known[0], log_id)} is returned by the API with other content now"
        findings.add("changed", text, known[0], log_id, timestamp=timestamp)


def _add_expired(position: int, record_id: str, at: int | None, oldest: int | None, findings: Findings) -> None:
    timestamp = None if at is None else format_instant(at)
    expired = at is not None and (oldest is None or at < oldest)
    why = "it is older than all logs of the API" if expired else "although older logs are returned"
    moment = "" if timestamp is None else f" of {timestamp}"
    text = f"{record_name(position, record_id)}{moment} is no longer returned by the API: {why}"
    findings.add("expired", text, position, record_id, timestamp=timestamp)
