"""Workspace of the sandbox: logs and versions, which can change while they are served."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from datetime import datetime
from random import Random
from threading import RLock
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda.sandbox._workspace.completion import complete_log, index_fields
from airflow_provider_secoda.sandbox._workspace.directory import make_directory, random_id
from airflow_provider_secoda.sandbox._workspace.generation import generate_logs
from airflow_provider_secoda.sandbox._workspace.index import KEPT_FIELDS, Entry, Index, Order, decode_raw
from airflow_provider_secoda.sandbox._workspace.schema import TIMESTAMPS
from airflow_provider_secoda.sandbox._workspace.timestamps import UTC, datetime_of, microseconds_of, parse_nanoseconds
from airflow_provider_secoda.sandbox._workspace.versions import History, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

_MAX_INDEXES = 24
_MAX_CHANGES = 64
_NEWEST_FIRST = Order((("logged_at", True),))


class Workspace:
    """Logs and versions of an invented workspace.

    Can be changed from any thread while a sandbox serves it; a response shows a change completely or not at all.

    :param logs: the first logs, each as the arguments of :meth:`add_log`.
    :param seed: seed of invented ids and names.
    :param people: number of users, from 1 to 500.
    """

    def __init__(self, logs: Iterable[Mapping[str, Any]] = (), *, seed: int = 0, people: int = 12) -> None:
        self.lock = RLock()
        self.random = Random(seed)  # noqa: S311 - invented data
        self.directory = make_directory(self.random, people)
        self.histories: dict[str, History] = {}
        self.changes: deque[tuple[bool, Entry]] = deque(maxlen=_MAX_CHANGES)
        self._entries: dict[str, Entry] = {}
        self._indexes: OrderedDict[Hashable, Index] = OrderedDict()
        self._serial = 0
        for fields in logs:
            self.add_log(**fields)
        self.changes.clear()

    @classmethod
    def generate(
        cls,
        seed: int = 7,
        logs: int = 5000,
        days: float = 90,
        until: datetime | None = None,
        people: int = 12,
    ) -> Workspace:
        """Return a workspace with realistic logs, the same for the same arguments.

        :param seed: seed of users, resources and activities.
        :param logs: number of logs.
        :param days: days of history before ``until``.
        :param until: aware datetime after the last log. Default: now, so that two calls differ.
        :param people: number of users, from 1 to 500.
        :raises ValueError: ``until`` has no time zone, or a number is out of its range.
        """
        workspace = cls(seed=seed, people=people)
        end = microseconds_of(until or datetime.now(UTC))
        for entry in generate_logs(workspace.random, workspace.directory, logs, days, end):
            workspace._insert(entry)
        workspace.changes.clear()
        return workspace

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The logs in insertion order, decoded."""
        return [decode_raw(raw) for raw in self.raw_logs]

    @property
    def raw_logs(self) -> list[bytes]:
        """The logs in insertion order, as they are served."""
        with self.lock:
            return [entry.raw for entry in self._entries.values()]

    def window(self, start: datetime, end: datetime, timestamp_field: str = "logged_at") -> list[bytes]:
        """Return the logs of ``[start, end)`` as they are served, in ascending (timestamp, id).

        This is the expected result of a complete read: it uses neither the listing nor the faults.
        """
        if timestamp_field not in TIMESTAMPS:
            raise ValueError(f"timestamp_field must be one of {', '.join(TIMESTAMPS)}, not {timestamp_field!r}")
        first, after = microseconds_of(start) * 1000, microseconds_of(end) * 1000
        with self.lock:
            found = [
                (getattr(entry, timestamp_field), entry.id, entry.raw)
                for entry in self._entries.values()
                if first <= getattr(entry, timestamp_field) < after
            ]
        return [raw for _, _, raw in sorted(found)]

    def add_log(self, *, raw: bytes | str | None = None, **fields: Any) -> dict[str, Any]:
        """Add a log and return it decoded; missing fields are invented.

        :param raw: serve exactly these bytes (a JSON object). The log is sorted by its own fields; a missing id or
            timestamp is taken from ``fields``, or invented.
        :param fields: fields of the reference, timestamps as text or aware datetimes. Default of ``logged_at`` is
            now, of ``created_at`` and ``updated_at`` 0.2 s later. A ``version_history_id`` extends that version, or
            creates it.
        :raises msgspec.ValidationError: a field does not exist or has a wrong type.
        :raises ValueError: the id exists, or ``raw`` is not a JSON object.
        """
        with self.lock:
            entry, document = self._make_entry(raw=raw, **fields)
            self._insert(entry)
            return document

    def add_version(self, resource_id: str, **fields: Any) -> dict[str, Any]:
        """Add a version of a resource and return it as it is served.

        :param fields: fields of the reference. ``activity_logs`` are the arguments of :meth:`add_log` for
            each of its edits; by default one edit at ``latest_activity_logged_at``, or now. They are audit
            logs, too.
        :raises msgspec.ValidationError: a field does not exist or has a wrong type.
        :raises ValueError: the id exists.
        """
        with self.lock:
            version = Version.from_fields(resource_id, fields, random_id(self.random))
            if any(version.id in history.versions for history in self.histories.values()):
                raise ValueError(f"a version with id {version.id} exists")
            edits = fields.get("activity_logs")
            if edits is None:
                latest = fields.get("latest_activity_logged_at")
                edits = [{} if latest is None else {"logged_at": latest}]
            own = {"resource_id": resource_id, "version_history_id": version.id}
            entries = [self._make_entry(**own, **log)[0] for log in edits]
            self.histories.setdefault(resource_id, History()).versions[version.id] = version
            for entry in entries:
                self._insert(entry)
            version.set_fields(fields)
            document: dict[str, Any] = decode_raw(msgspec.json.encode(version.document(datetime.now(UTC))))
            return document

    def versions(self, resource_id: str) -> list[dict[str, Any]]:
        """Return the versions of a resource as they are served, in insertion order."""
        with self.lock:
            history, now = self.histories.get(resource_id, History()), datetime.now(UTC)
            return [decode_raw(msgspec.json.encode(version.document(now))) for version in history.versions.values()]

    def expire(self, n: int = 1) -> None:
        """Remove the ``n`` logs with the oldest ``logged_at``; versions keep their logs."""
        with self.lock:
            index = self.index(None, None, _NEWEST_FIRST)
            for entry in index.rows[: -n - 1 : -1] if n > 0 else []:
                del self._entries[entry.id]
                if entry.resource_id is not None and entry.version_history_id is None:
                    self.histories[entry.resource_id].logs.remove(entry)
                self._changed(False, entry)

    def newest(self) -> datetime:
        """Return the time just after the newest ``logged_at``, or now if that is later."""
        with self.lock:
            rows = self.index(None, None, _NEWEST_FIRST).rows
            last = rows[0].logged_at // 1000 + 1 if rows else 0
        return max(datetime_of(last), datetime.now(UTC))

    def time_at(self, fraction: float) -> datetime:
        """Return the time at a fraction of the span from the oldest ``logged_at`` to the newest."""
        with self.lock:
            rows = self.index(None, None, _NEWEST_FIRST).rows
            if not rows:
                return datetime.now(UTC)
            first, last = rows[-1].logged_at, rows[0].logged_at
        return datetime_of((first + (last - first) * fraction) / 1000)

    def index(self, key: Hashable, matches: Callable[[Entry], bool] | None, order: Order) -> Index:
        """Return the sorted index of the logs that match. Hold :attr:`lock` while using it.

        :param key: identifies ``matches`` in the cache of indexes.
        """
        with self.lock:
            index = self._indexes.get((key, order))
            if index is None:
                index = self._indexes[key, order] = Index(self._entries.values(), order, matches)
                if len(self._indexes) > _MAX_INDEXES:
                    self._indexes.popitem(last=False)
            self._indexes.move_to_end((key, order))
            return index

    def _insert(self, entry: Entry) -> None:
        """Add an entry to the logs and to the history of its resource.

        :raises ValueError: the id exists.
        """
        if entry.id in self._entries:
            raise ValueError(f"a log with id {entry.id} exists")
        self._serial += 1
        entry.serial = self._serial
        self._entries[entry.id] = entry
        if entry.resource_id is not None:
            self.histories.setdefault(entry.resource_id, History()).add(entry)
        self._changed(True, entry)

    def _make_entry(self, *, raw: bytes | str | None = None, **fields: Any) -> tuple[Entry, dict[str, Any]]:
        """Return an entry, not yet inserted, and its document."""
        if raw is None:
            document = found = msgspec.to_builtins(complete_log(fields, self.random, self.directory))
            data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        else:
            data = raw.encode() if isinstance(raw, str) else raw
            document = decode_raw(data)
            if not isinstance(document, dict):
                raise ValueError("raw is not a JSON object")
            found = index_fields(document, fields, self.random, self.directory)
        kept = {name: found.get(name) for name in KEPT_FIELDS}
        kept |= {name: parse_nanoseconds(found[name]) for name in TIMESTAMPS}
        return Entry(raw=data, **kept), document

    def _changed(self, added: bool, entry: Entry) -> None:
        self.changes.append((added, entry))
        for index in self._indexes.values():
            (index.add if added else index.discard)(entry)
