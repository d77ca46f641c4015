"""Read a window again from the API, and say what is there now that the file lacks, and what is there no more."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_secoda._storage.scratch_database import ScratchDatabase, decode_text, encode_text
from airflow_provider_secoda.client._api.timestamps import format_instant, from_instant
from airflow_provider_secoda.client.errors import SecodaError
from airflow_provider_secoda.verify._messages import quoted, shown
from airflow_provider_secoda.verify._records import key_of, read_head
from airflow_provider_secoda.verify._result import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_secoda.hooks.secoda import SecodaHook
    from airflow_provider_secoda.verify._manifest_header import ManifestHeader
    from airflow_provider_secoda.verify._records import Record

    Say = Callable[[Finding], None]

_TABLE = """
CREATE TABLE held (key BLOB PRIMARY KEY, position INTEGER NOT NULL, at INTEGER, sha256 TEXT NOT NULL, id BLOB NOT NULL,
  shown INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
"""


class SourceError(Exception):
    """The source cannot be asked, or did not answer; the text is for people."""


class FileRecords(ScratchDatabase):
    """Remember the records of one file, on disk, and which of them the API returned."""

    def __init__(self) -> None:
        super().__init__(_TABLE)

    def add(self, record: Record) -> None:
        """Note a record of the file; one without an id cannot be found again, and is told elsewhere."""
        if record.id is not None:
            row = (record.key, record.position, record.at, record.sha256, encode_text(record.id))
            self.database.execute("INSERT INTO held VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING", row)

    def show(self, name: str) -> tuple[int, str] | None:
        """Return position and digest of a record that the API shows, if the file holds it."""
        key = key_of(name)
        query = "SELECT position, sha256 FROM held WHERE key = ?"
        row: tuple[int, str] | None = self.database.execute(query, (key,)).fetchone()
        if row is not None:
            self.database.execute("UPDATE held SET shown = 1 WHERE key = ?", (key,))
        return row

    def not_shown(self) -> Iterator[tuple[int, str, int | None]]:
        """Yield position, id and timestamp of what the API did not show."""
        for position, name, at in self.database.execute(
            "SELECT position, id, at FROM held WHERE NOT shown ORDER BY position"
        ):
            yield position, decode_text(name), at


class Source:
    """The API, by way of Airflow's connections.

    :param conn_id: instead of the connection that a manifest names
    :param tick: called now and then while pages come
    """

    def __init__(self, conn_id: str | None, tick: Callable[[], None]) -> None:
        self._conn_id = conn_id
        self._tick = tick
        self._hooks: dict[str, SecodaHook] = {}

    def close(self) -> None:
        """Close all connections."""
        for hook in self._hooks.values():
            hook.get_conn().close()

    def compare(self, stated: ManifestHeader, kind: str, known: FileRecords, say: Say) -> None:
        """Read a window again and compare it with what a file holds.

        :raises SourceError: the source is another than the file's, or it did not answer
        """
        from airflow.providers.common.compat.sdk import AirflowException  # noqa: PLC0415 - only where it is used

        from airflow_provider_secoda._storage.spool import ContradictionError  # noqa: PLC0415

        try:
            self._compare(self._hook(stated), stated, kind, known, say)
        except (SecodaError, AirflowException, ContradictionError) as exc:
            raise SourceError(shown(f"{type(exc).__name__}: {exc}", 1000)) from None

    def _hook(self, stated: ManifestHeader) -> SecodaHook:
        from airflow_provider_secoda.hooks.secoda import SecodaHook  # noqa: PLC0415 - this imports Airflow

        conn_id = self._conn_id or stated.series.connection_id
        hook = self._hooks.get(conn_id)
        if hook is None:
            hook = SecodaHook(conn_id)
            hook.get_conn()
            self._hooks[conn_id] = hook
        here, there = (urlsplit(url).netloc.lower() for url in (hook.settings.base_url, stated.series.base_url))
        if here != there and self._conn_id is None:
            raise SecodaError(
                f"connection {conn_id!r} leads to {here}, and the files are from {there}: name the connection to ask "
                "with --conn-id, if that is meant"
            )
        return hook

    def _compare(self, hook: SecodaHook, stated: ManifestHeader, kind: str, known: FileRecords, say: Say) -> None:
        from airflow_provider_secoda._storage.formats import stored  # noqa: PLC0415
        from airflow_provider_secoda._storage.spool import Spool  # noqa: PLC0415
        from airflow_provider_secoda.client._audit_logs.listing import Report  # noqa: PLC0415

        report = Report()
        with Spool() as spool:
            # Only a reading that came to its end has proven that it is complete: nothing is said before.
            for batch in hook.iter_raw_audit_logs(
                from_instant(stated.window.start),
                from_instant(stated.window.end),
                filter=stated.filter,
                timestamp_field=stated.timestamp_field,
                report=report,
            ):
                spool.add((log.at, log.id, log.raw) for log in batch)
                self._tick()
            for at, name, raw in spool:
                say_shown(known.show(name), at, name, stored(kind, raw), say)
        for position, name, when in known.not_shown():
            say(_gone(position, name, when, report.history_from))


def say_shown(held: tuple[int, str] | None, at: int, name: str, record: bytes, say: Say) -> None:
    """Say how a log that the API shows differs from the file's, if it does."""
    moment = format_instant(at)
    if held is None:
        created: Any = read_head(record).created_at
        created = created if isinstance(created, str) else None
        listed = "" if created is None else f", created_at {shown(created)}"
        text = f"{quoted(name)} of {moment}{listed}: the API shows it now, the file lacks it"
        say(Finding("late", text, None, name, moment, created))
    elif held[1] != hashlib.sha256(record).hexdigest():
        text = f"record {held[0]}, {quoted(name)}, has other bytes at the source now"
        say(Finding("changed", text, held[0], name, moment))


def _gone(position: int, name: str, at: int | None, oldest: int | None) -> Finding:
    moment = None if at is None else format_instant(at)
    expired = at is not None and (oldest is None or at < oldest)
    why = "older than all that the API shows" if expired else "though it shows older ones"
    text = f"record {position}, {quoted(name)} of {moment}, is not shown by the API any more, {why}"
    return Finding("expired", text, position, name, moment)
