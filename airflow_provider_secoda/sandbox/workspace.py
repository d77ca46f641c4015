"""A workspace: its logs and versions, changeable while it is served."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from datetime import datetime
from random import Random
from threading import RLock
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda.sandbox import draft, generation
from airflow_provider_secoda.sandbox.cast import make_cast, random_id
from airflow_provider_secoda.sandbox.index import TIMESTAMPS, Entry, Index, Order
from airflow_provider_secoda.sandbox.timestamps import UTC, microseconds_of, moment_of, nanoseconds
from airflow_provider_secoda.sandbox.versions import History, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

_INDEXES_KEPT = 24
_CHANGES_KEPT = 64


class Workspace:
    """Logs and versions of an invented workspace.

    May be changed from any thread while a sandbox serves it; each change is whole before the next answer.

    :param logs: the logs to begin with, each as the arguments of :meth:`add_log`.
    :param seed: of the ids and names that are filled in.
    """

    def __init__(self, logs: Iterable[Mapping[str, Any]] = (), *, seed: int = 0, people: int = 12) -> None:
        self.lock = RLock()
        self.random = Random(seed)  # noqa: S311 - invented data
        self.cast = make_cast(self.random, people)
        self.histories: dict[str, History] = {}
        self.changes: deque[tuple[bool, Entry]] = deque(maxlen=_CHANGES_KEPT)
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
        """Return a workspace with a realistic past, the same for the same arguments.

        :param seed: another seed, other people, resources and activity.
        :param logs: how many logs.
        :param days: how far back they reach from ``until``.
        :param until: aware; all logs lie before it. Default: now, so that two calls differ.
        :param people: how many persons act, at most 500.
        :raises ValueError: ``until`` has no time zone, or a number is out of its range.
        """
        workspace = cls(seed=seed, people=people)
        generation.fill(workspace, logs, days, microseconds_of(until or datetime.now(UTC)))
        workspace.changes.clear()
        return workspace

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The logs in the order they were added, decoded."""
        return [json.loads(raw) for raw in self.raw_logs]

    @property
    def raw_logs(self) -> list[bytes]:
        """The logs in the order they were added, as they are served."""
        with self.lock:
            return [entry.raw for entry in self._entries.values()]

    def window(self, start: datetime, end: datetime, timestamp_field: str = "logged_at") -> list[bytes]:
        """Return what a complete read of ``[start, end)`` holds, as served, in ascending (timestamp, id).

        For tests: it looks at the logs themselves, through no listing and no fault.
        """
        if timestamp_field not in TIMESTAMPS:
            raise ValueError(f"{timestamp_field} is none of {', '.join(TIMESTAMPS)}")
        first, after = microseconds_of(start) * 1000, microseconds_of(end) * 1000
        with self.lock:
            found = [
                (getattr(entry, timestamp_field), entry.id, entry.raw)
                for entry in self._entries.values()
                if first <= getattr(entry, timestamp_field) < after
            ]
        return [raw for _, _, raw in sorted(found)]

    def add_log(self, *, raw: bytes | str | None = None, **fields: Any) -> dict[str, Any]:
        """Add a log and return it decoded; what is not given is filled in validly.

        :param raw: serve exactly these bytes instead (a JSON object, laid out however). It is sorted and
            filed by the fields it holds; an id or a timestamp that it lacks is taken from ``fields``, or
            invented.
        :param fields: fields of the reference, timestamps as text or aware datetimes. ``logged_at`` is now by
            default, ``created_at`` 0.2 s after it, ``updated_at`` the same. A ``version_history_id`` extends
            that version, or begins it.
        :raises msgspec.ValidationError: a field does not exist or is of the wrong kind.
        :raises ValueError: the id is taken, or ``raw`` is not a JSON object.
        """
        with self.lock:
            entry, document = self._draft(raw=raw, **fields)
            self.insert(entry)
            return document

    def add_version(self, resource_id: str, **fields: Any) -> dict[str, Any]:
        """Add a version of a resource and return it as it is served.

        :param fields: fields of the reference. ``activity_logs`` are the arguments of :meth:`add_log` for
            each of its edits; by default one edit at ``latest_activity_logged_at``, or now. They are audit
            logs, too.
        :raises msgspec.ValidationError: a field does not exist or is of the wrong kind.
        :raises ValueError: the id is taken.
        """
        with self.lock:
            version = Version.of(resource_id, fields, random_id(self.random))
            if any(version.id in history.versions for history in self.histories.values()):
                raise ValueError(f"there is a version {version.id} already")
            edits = fields.get("activity_logs")
            if edits is None:
                latest = fields.get("latest_activity_logged_at")
                edits = [{} if latest is None else {"logged_at": latest}]
            own = {"resource_id": resource_id, "version_history_id": version.id}
            entries = [self._draft(**own, **log)[0] for log in edits]
            self.histories.setdefault(resource_id, History()).versions[version.id] = version
            for entry in entries:
                self.insert(entry)
            version.pin(fields)
            document: dict[str, Any] = json.loads(msgspec.json.encode(version.document(datetime.now(UTC))))
            return document

    def expire(self, n: int = 1) -> None:
        """Drop the ``n`` logs with the oldest ``logged_at``; versions keep theirs."""
        with self.lock:
            oldest = self.index(None, None, Order((("logged_at", True),)))
            for entry in oldest.rows[: -n - 1 : -1] if n > 0 else []:
                del self._entries[entry.id]
                if entry.resource_id is not None and entry.version_history_id is None:
                    self.histories[entry.resource_id].logs.remove(entry)
                self._changed(False, entry)

    def newest(self) -> datetime:
        """Return the time of the newest ``logged_at``, or now if that is later or there is none."""
        with self.lock:
            rows = self.index(None, None, Order((("logged_at", True),))).rows
            last = rows[0].logged_at // 1000 + 1 if rows else 0
        return max(moment_of(last), datetime.now(UTC))

    def instant(self, fraction: float) -> datetime:
        """Return the time at a fraction of the way from the oldest ``logged_at`` to the newest."""
        with self.lock:
            rows = self.index(None, None, Order((("logged_at", True),))).rows
            if not rows:
                return datetime.now(UTC)
            first, last = rows[-1].logged_at, rows[0].logged_at
        return moment_of((first + (last - first) * fraction) / 1000)

    def index(self, key: Hashable, keep: Callable[[Entry], bool] | None, order: Order) -> Index:
        """Return the sorted listing of the logs that ``keep`` lets through; ``key`` stands for ``keep``.

        Hold :attr:`lock` while using it.
        """
        with self.lock:
            index = self._indexes.get((key, order))
            if index is None:
                index = self._indexes[key, order] = Index(self._entries.values(), order, keep)
                if len(self._indexes) > _INDEXES_KEPT:
                    self._indexes.popitem(last=False)
            self._indexes.move_to_end((key, order))
            return index

    def entry(self, raw: bytes, fields: Mapping[str, Any]) -> Entry:
        """Return an entry not yet inserted, with its fields kept apart for sorting."""
        entry = Entry()
        entry.raw = raw
        for name in Entry.__slots__:
            if name in TIMESTAMPS:
                setattr(entry, name, nanoseconds(fields[name]))
            elif name not in ("raw", "serial"):
                setattr(entry, name, fields.get(name))
        return entry

    def insert(self, entry: Entry) -> None:
        """Add an entry to the listing, and to the history of its resource.

        :raises ValueError: the id is taken.
        """
        if entry.id in self._entries:
            raise ValueError(f"there is a log {entry.id} already")
        self._serial += 1
        entry.serial = self._serial
        self._entries[entry.id] = entry
        if entry.resource_id is not None:
            self.histories.setdefault(entry.resource_id, History()).add(entry)
        self._changed(True, entry)

    def _draft(self, *, raw: bytes | str | None = None, **fields: Any) -> tuple[Entry, dict[str, Any]]:
        """Return a log not yet inserted, and what it says."""
        if raw is None:
            document = msgspec.to_builtins(draft.complete(self, fields))
            text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
            return self.entry(text.encode(), document), document
        data = raw.encode() if isinstance(raw, str) else raw
        document = json.loads(data)
        if not isinstance(document, dict):
            raise ValueError("raw is not a JSON object")  # noqa: TRY004 - its text is what is wrong
        return self.entry(data, draft.stand_in(self, document, fields)), document

    def _changed(self, added: bool, entry: Entry) -> None:
        self.changes.append((added, entry))
        for index in self._indexes.values():
            (index.add if added else index.discard)(entry)
