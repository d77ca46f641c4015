"""Event sources for DAGs that are scheduled by assets: what happens in Secoda fires an asset (Airflow 3).

::

    Asset(
        "secoda_changes",
        watchers=[AssetWatcher(name="deletions", trigger=SecodaAuditLogEventTrigger(activity_types=["DELETE"]))],
    )

From Airflow 3.3 on all watchers of a connection share one poll, and each keeps a cursor in the state store of its
asset, so that a triggerer that was down delivers what happened meanwhile: at least once, and ``id`` in the payload
tells repeats. Before, each watcher polls for itself, and begins at the present (or ``lookback`` seconds before it)
whenever the triggerer starts it.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_secoda._arguments import check_match, check_seconds, check_text
from airflow_provider_secoda._compat import BaseEventTrigger, asset_state_of
from airflow_provider_secoda._events.predicates import Predicates, check_filter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable, Mapping, Sequence

    from airflow_provider_secoda._events.cursors import CursorStore
    from airflow_provider_secoda._events.stream import Producer, Stream
    from airflow_provider_secoda._events.version_watcher import VersionWatcher
    from airflow_provider_secoda._events.watchers import LogWatcher, Watcher
    from airflow_provider_secoda.client._versions.history import Match

# What does the work is imported by the methods that work: DAG files are parsed often, and only make triggers.


class _SecodaEventTrigger(BaseEventTrigger):
    """What both event triggers have in common: the stream they belong to."""

    filter: str | None = None

    def __init__(self, secoda_conn_id: str, poke_interval: float, lookback: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.secoda_conn_id = check_text("secoda_conn_id", secoda_conn_id)
        self.poke_interval = check_seconds("poke_interval", poke_interval)
        self.lookback = check_seconds("lookback", lookback, allow_zero=True)

    def _arguments(self) -> dict[str, Any]:
        """Return what is watched, apart from when."""
        raise NotImplementedError

    def _watcher(self, shelf: CursorStore | None) -> Watcher:
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and every argument; the same arguments, the same trigger."""
        when = {"poke_interval": self.poke_interval, "lookback": self.lookback}
        return f"{type(self).__module__}.{type(self).__qualname__}", {**self._arguments(), **when}

    def shared_stream_key(self) -> Hashable | None:
        """Return what the watchers have in common that share one poll."""
        return ("secoda", self.secoda_conn_id, self.filter, self.poke_interval)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> Producer:
        """Return what polls for all watchers of a stream."""
        from airflow_provider_secoda._events.stream import Producer, shared_stream  # noqa: PLC0415

        return Producer(shared_stream(kwargs["secoda_conn_id"], kwargs.get("filter"), kwargs["poke_interval"]))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield what this watcher is owed, at every tick of its stream."""
        watcher = self._watcher(self._shelf())
        with _stream_of(self).joined(watcher):
            async for tick in shared_stream:
                for payload in watcher.take(tick):
                    yield TriggerEvent(payload)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll for this watcher alone, where Airflow shares no streams, and yield what happens."""
        from airflow_provider_secoda._events.stream import Stream  # noqa: PLC0415

        stream = Stream(self.secoda_conn_id, self.filter, self.poke_interval)
        watcher = self._watcher(None)
        with stream.joined(watcher):
            async with aclosing(stream.ticks()) as ticks:
                async for tick in ticks:
                    for payload in watcher.take(tick):
                        yield TriggerEvent(payload)
                    stream.acked(tick)

    def _shelf(self) -> CursorStore | None:
        """Return where the cursor is kept, if there is such a place."""
        from airflow_provider_secoda._events.cursors import CursorStore  # noqa: PLC0415

        shelf = CursorStore(asset_state_of(self), {"trigger": type(self).__qualname__, **self._arguments()})
        if not shelf:
            self.log.warning(
                "There is no state store to keep this watcher's cursor in: a restart begins at the present"
            )
        return shelf


def _stream_of(trigger: _SecodaEventTrigger) -> Stream:
    from airflow_provider_secoda._events.stream import shared_stream  # noqa: PLC0415

    return shared_stream(trigger.secoda_conn_id, trigger.filter, trigger.poke_interval)


class SecodaAuditLogEventTrigger(_SecodaEventTrigger):
    """Fire an asset for every audit log that matches.

    The payload of an event: ``kind`` (``audit_log``), ``id`` (the log's: by it repeats are told), ``logged_at``,
    ``created_at``, ``activity_type``, ``performer`` and ``resource`` (``id``, ``type``, ``name``), ``record`` (the log
    as sent). A log matches when for each list that is given its value is in it. A key that may not read audit logs
    (403) fires nothing; it is tried again every 15 minutes, and the triggerer's log says so.

    :param secoda_conn_id: the Airflow connection
    :param activity_types: such as ``["DELETE", "EXPORT"]``
    :param performer_types: such as ``["USER"]``
    :param performer_ids: ids of users, keys or integrations
    :param resource_types: such as ``["SECODA_ENTITY"]``
    :param resource_ids: ids of resources, compared with the log's ``resource_id``
    :param filter: Secoda's own filter, as a mapping or as JSON text, applied by the server; watchers with one poll for
        themselves, all those with the same filter together
    :param poke_interval: seconds between two polls; watchers with the same one share a poll
    :param lookback: seconds before its start from which on it delivers, when no cursor was kept
    :raises ValueError: naming the argument that is wrong
    """

    def __init__(
        self,
        secoda_conn_id: str = "secoda_default",
        activity_types: Sequence[str] | None = None,
        performer_types: Sequence[str] | None = None,
        performer_ids: Sequence[str] | None = None,
        resource_types: Sequence[str] | None = None,
        resource_ids: Sequence[str] | None = None,
        filter: Mapping[str, Any] | str | None = None,  # noqa: A002 - the API's name
        poke_interval: float = 60.0,
        lookback: float = 0.0,
    ) -> None:
        super().__init__(secoda_conn_id, poke_interval, lookback)
        self._predicates = Predicates.of(
            activity_types=activity_types,
            performer_types=performer_types,
            performer_ids=performer_ids,
            resource_types=resource_types,
            resource_ids=resource_ids,
        )
        self.filter = check_filter(filter)

    def _arguments(self) -> dict[str, Any]:
        return {"secoda_conn_id": self.secoda_conn_id, **self._predicates.arguments(), "filter": self.filter}

    def _watcher(self, shelf: CursorStore | None) -> LogWatcher:
        from airflow_provider_secoda._events.watchers import LogWatcher  # noqa: PLC0415

        return LogWatcher(self._predicates, shelf, self.lookback)


class SecodaVersionHistoryEventTrigger(_SecodaEventTrigger):
    """Fire an asset for every new version history entry of a resource.

    A log that names the resource and a version wakes the watcher up; what is new is decided by one look at the
    resource's own logs. The payload of an event: ``kind`` (``version``) and what the sensor's XCom has of an entry:
    ``id`` (by it repeats are told; with ``any_activity`` together with ``latest_activity_logged_at``),
    ``resource_id``, the times, ``performers``, ``activity_types``, the differences, ``record``. Where the key may not
    read audit logs (403) each watcher looks at its own resource every interval instead.

    :param resource_id: the resource in Secoda
    :param secoda_conn_id: the Airflow connection
    :param match: ``new_version``, or ``any_activity`` to be told of a version that grew, too
    :param poke_interval: seconds between two polls; watchers with the same one share a poll
    :param lookback: seconds before its start from which on it delivers, when no cursor was kept
    :raises ValueError: naming the argument that is wrong
    """

    def __init__(
        self,
        resource_id: str,
        secoda_conn_id: str = "secoda_default",
        match: Match = "new_version",
        poke_interval: float = 60.0,
        lookback: float = 0.0,
    ) -> None:
        super().__init__(secoda_conn_id, poke_interval, lookback)
        self.resource_id = check_text("resource_id", resource_id)
        self.match = check_match(match)

    def _arguments(self) -> dict[str, Any]:
        return {"resource_id": self.resource_id, "secoda_conn_id": self.secoda_conn_id, "match": self.match}

    def _watcher(self, shelf: CursorStore | None) -> VersionWatcher:
        from airflow_provider_secoda._events.version_watcher import VersionWatcher  # noqa: PLC0415

        return VersionWatcher(self.resource_id, self.match, shelf, self.lookback)
