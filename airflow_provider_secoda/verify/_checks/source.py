"""Read a window again from the API, and compare it with the records of its files."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_secoda._storage.formats import stored
from airflow_provider_secoda._storage.spool import ContradictionError, Spool
from airflow_provider_secoda.client._api.decoding import optional_string
from airflow_provider_secoda.client._api.timestamps import format_instant, from_instant
from airflow_provider_secoda.client._audit_logs.output import WindowReport
from airflow_provider_secoda.client.errors import SecodaError
from airflow_provider_secoda.verify._checks.records import read_record
from airflow_provider_secoda.verify._messages import escape, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_secoda.hooks.secoda import SecodaHook
    from airflow_provider_secoda.verify._checks.series import RecordIndex
    from airflow_provider_secoda.verify._result import FileResult, Findings, SeriesKey


class SourceError(Exception):
    """The API could not be read."""


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

    def compare(self, files: Sequence[FileResult], index: RecordIndex) -> None:
        """Read the window of files again, if the manifest of the first is valid, and compare it with their records.

        :param files: the first file of the window, and its supplements
        :param index: the latest window of which is this one
        :raises SourceError: the connection leads to another host than the file's, or the read failed
        """
        from airflow.providers.common.compat.sdk import AirflowException  # noqa: PLC0415 - only where it is used

        first = files[0]
        series, window = first.series, first.window
        if series is None or window is None:
            return
        report = WindowReport()
        try:
            hook = self._hook(series)
            with Spool() as spool:
                # Only a read that ended without an error has proven that it is complete: no findings before that.
                for batch in hook.iter_raw_audit_logs(
                    from_instant(window.start),
                    from_instant(window.end),
                    filter=None if series.filter is None else json.loads(series.filter),
                    timestamp_field=series.timestamp_field,
                    report=report,
                ):
                    spool.add((log.at, log.id, log.raw) for log in batch)
                    self._on_page()
                for at, log_id, raw in spool:
                    _check_log(index.take(log_id), at, log_id, stored(first.format, raw), first.findings)
        except (SecodaError, AirflowException, ContradictionError) as exc:
            raise SourceError(escape(f"{type(exc).__name__}: {exc}", 1000)) from None
        _add_expired(index, report.history_from)
        for file in files:
            file.compared = True

    def _hook(self, series: SeriesKey) -> SecodaHook:
        from airflow.providers.common.compat.sdk import AirflowNotFoundException  # noqa: PLC0415 - only where it is used

        from airflow_provider_secoda.hooks.secoda import SecodaHook  # noqa: PLC0415 - it imports Airflow

        conn_id = self._conn_id or series.connection_id
        hook = self._hooks.get(conn_id)
        if hook is None:
            hook = SecodaHook(conn_id)
            try:
                hook.get_conn()
            except SecodaError as exc:
                if not isinstance(exc.__cause__, AirflowNotFoundException):
                    raise
                raise SecodaError(
                    f"connection {conn_id!r} does not exist. The command reads AIRFLOW_CONN_{conn_id.upper()}, the "
                    "secrets backend, and Airflow's database by the settings of Airflow (AIRFLOW_HOME or "
                    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN): set them as on a machine of Airflow, or pass another "
                    "connection with --conn-id. In Python outside of a task, `verify()` reads the environment and the "
                    "secrets backend only"
                ) from None
            self._hooks[conn_id] = hook
        host, recorded_host = (urlsplit(url).netloc.lower() for url in (hook.settings.base_url, series.base_url))
        if host != recorded_host and self._conn_id is None:
            raise SecodaError(
                f"connection {conn_id!r} leads to {host}, but the files are from {recorded_host}; to compare them "
                "anyway, name the connection with --conn-id"
            )
        return hook


def _check_log(known: tuple[FileResult, int, str] | None, at: int, log_id: str, log: bytes, findings: Findings) -> None:
    """Compare a log that the API returned with the record of a file.

    :param known: file, position and sha256 of the record; None: no file of the window has it
    :param findings: of the first file of the window
    """
    timestamp = format_instant(at)
    if known is None:
        created_at = optional_string(read_record(log).created_at)
        created = "" if created_at is None else f", created_at {escape(created_at)}"
        text = f"log {quote(log_id)} ({timestamp}{created}) is returned by the API now, but is not in the file"
        findings.add("late", text, None, log_id, timestamp=timestamp, created_at=created_at)
    elif known[2] != hashlib.sha256(log).hexdigest():
        file, position, _ = known
        text = "is returned by the API with other content now"
        file.findings.add("changed", text, position, log_id, timestamp=timestamp)


def _add_expired(index: RecordIndex, oldest: int | None) -> None:
    """Add the records that the API did not return.

    :param oldest: timestamp of the oldest log that the API returns, microseconds
    """
    for file, position, record_id, at in index.remaining():
        timestamp = None if at is None else format_instant(at)
        expired = at is not None and (oldest is None or at < oldest)
        why = "it is older than all logs of the API" if expired else "although older logs are returned"
        moment = "" if timestamp is None else f"of {timestamp} "
        text = f"{moment}is no longer returned by the API: {why}"
        file.findings.add("expired", text, position, record_id, timestamp=timestamp)
