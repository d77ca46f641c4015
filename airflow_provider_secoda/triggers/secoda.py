"""The trigger of the deferred sensor, and two triggers that fire assets (Airflow 3).

A DAG that is scheduled by an asset gets the events of an audit log like this::

    trigger = SecodaAuditLogEventTrigger(activity_types=["DELETE"])
    Asset("secoda_changes", watchers=[AssetWatcher(name="deletions", trigger=trigger)])
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_secoda._arguments import ArgumentError, check_match, check_seconds, check_text, check_texts
from airflow_provider_secoda._events.event_trigger import SecodaEventTrigger
from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.client.filters import Filter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import timedelta

    from airflow_provider_secoda._events.version_watcher import VersionWatcher
    from airflow_provider_secoda._events.watchers import LogWatcher
    from airflow_provider_secoda.client._versions.history import Match

__all__ = ["SecodaAuditLogEventTrigger", "SecodaVersionHistoryEventTrigger", "SecodaVersionHistoryTrigger"]


@dataclass(kw_only=True, eq=False, repr=False)
class SecodaVersionHistoryTrigger(BaseTrigger):
    """Wait in the triggerer until a resource has a new version history entry, or until a deadline.

    Yields one event, ``{"status": "success", "entries": […]}`` or ``{"status": "timeout"}``, which
    :func:`~.wait.read_event` reads. Raises errors that waiting cannot fix (401, 403, 404, a wrong connection or
    argument), and the last error after too many failed polls in a row. All arguments are plain JSON values without
    secrets.

    :param secoda_conn_id: the Airflow connection
    :param resource_id: the resource in Secoda
    :param since: ISO 8601; entries created at or after it are new
    :param since_from: where ``since`` came from, for messages
    :param since_version_id: instead: versions newer than this one are new
    :param match: ``new_version`` or ``any_activity``
    :param wait_for_resource: whether to wait for a resource that does not exist yet
    :param poke_interval: seconds between two polls, or a timedelta
    :param exponential_backoff: whether each pause is twice as long as the one before
    :param max_wait: the longest pause in seconds, or a timedelta
    :param max_consecutive_failures: consecutive failed polls that end the wait; None: no limit
    :param started_at: ISO 8601; when the wait began, from which the pauses are computed
    :param deadline: ISO 8601; when the wait ends
    :param first_poll_at: ISO 8601; when to poll first
    :param consecutive_failures: number of failed polls in a row before this trigger started
    :param last_error: class name of the last failure, which is already in the log
    :param page_order: the order of the history's pages that earlier polls detected
    :param end_task: yield the event that ends the task without a worker (Airflow 3.3)
    """

    secoda_conn_id: str
    resource_id: str
    since: str
    since_version_id: str | None = None
    match: Match = "new_version"
    wait_for_resource: bool = False
    poke_interval: timedelta | float = 60.0
    exponential_backoff: bool = False
    max_wait: timedelta | float | None = None
    max_consecutive_failures: int | None = 5
    started_at: str | None = None
    deadline: str | None = None
    first_poll_at: str | None = None
    consecutive_failures: int = 0
    last_error: str = ""
    page_order: dict[str, Any] | None = None
    since_from: str = "`since`"
    end_task: bool = False

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self.poke_interval = check_seconds("poke_interval", self.poke_interval, allow_zero=True)
        if self.max_wait is not None:
            self.max_wait = check_seconds("max_wait", self.max_wait, allow_zero=True)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and every argument."""
        arguments = {field.name: getattr(self, field.name) for field in fields(self)}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the wait ends; yield one event."""
        # Imported in a thread, as the import would block the event loop.
        module = await asyncio.to_thread(import_module, "airflow_provider_secoda._polling.trigger_loop")
        _, arguments = self.serialize()
        del arguments["end_task"]
        entries = await module.TriggerLoop(self.log, **arguments).run()
        if entries is None:
            yield TriggerEvent({"status": "timeout"})
        elif self.end_task:
            from airflow.triggers.base import TaskSuccessEvent  # noqa: PLC0415 - since Airflow 3

            yield TaskSuccessEvent()
        else:
            yield TriggerEvent({"status": "success", "entries": entries})


class SecodaAuditLogEventTrigger(SecodaEventTrigger):
    """Fire an asset for every audit log that matches.

    The payload of an event: ``kind`` (``audit_log``), ``id`` (of the log; it identifies repeats), ``logged_at``,
    ``created_at``, ``activity_type``, ``performer`` and ``resource`` (``id``, ``type``, ``name``), ``record`` (the log
    as sent). A log matches when each list that is given contains the log's value. If the key may not read audit logs
    (403), no event is fired; the trigger retries every 15 minutes, and the triggerer's log says so.

    :param secoda_conn_id: the Airflow connection
    :param activity_types: such as ``["DELETE", "EXPORT"]``
    :param performer_types: such as ``["USER"]``
    :param performer_ids: ids of users, keys or integrations
    :param resource_types: such as ``["SECODA_ENTITY"]``
    :param resource_ids: ids of resources, compared with the log's ``resource_id``
    :param filter: Secoda's own filter, as a mapping or as JSON text, applied by the server; watchers share a poll only
        with watchers that have the same filter
    :param poke_interval: seconds between two polls, or a timedelta; watchers share a poll only with watchers of the
        same interval
    :param lookback: seconds before the start, or a timedelta, from which on events are delivered if no cursor is saved
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
        poke_interval: timedelta | float = 60.0,
        lookback: timedelta | float = 0.0,
    ) -> None:
        super().__init__(secoda_conn_id, poke_interval, lookback)
        self._lists = {
            "activity_types": check_texts("activity_types", activity_types),
            "performer_types": check_texts("performer_types", performer_types),
            "performer_ids": check_texts("performer_ids", performer_ids),
            "resource_types": check_texts("resource_types", resource_types),
            "resource_ids": check_texts("resource_ids", resource_ids),
        }
        try:
            parsed = Filter.parse(filter)
        except SecodaConfigurationError as error:
            raise ArgumentError(str(error)) from None
        self.filter = None if parsed is None else parsed.text

    def _watch_arguments(self) -> dict[str, Any]:
        return {"secoda_conn_id": self.secoda_conn_id, **self._lists, "filter": self.filter}

    def _make_watcher(self) -> LogWatcher:
        from airflow_provider_secoda._events.watchers import LogWatcher  # noqa: PLC0415

        return LogWatcher(self._lists, self.lookback)


class SecodaVersionHistoryEventTrigger(SecodaEventTrigger):
    """Fire an asset for every new version history entry of a resource.

    An audit log that names the resource and a version makes the trigger read the resource's own logs; these decide what
    is new. The payload of an event: ``kind`` (``version``) and the keys of an entry in the sensor's XCom: ``id`` (it
    identifies repeats; with ``any_activity`` together with ``latest_activity_logged_at``), ``resource_id``, the times,
    ``performers``, ``activity_types``, the differences, ``record``. If the key may not read audit logs (403), each
    watcher polls its own resource every interval instead.

    :param resource_id: the resource in Secoda
    :param secoda_conn_id: the Airflow connection
    :param match: ``new_version``, or ``any_activity`` to fire also when an existing version is extended
    :param poke_interval: seconds between two polls, or a timedelta; watchers share a poll only with watchers of the
        same interval
    :param lookback: seconds before the start, or a timedelta, from which on events are delivered if no cursor is saved
    :raises ValueError: naming the argument that is wrong
    """

    def __init__(
        self,
        resource_id: str,
        secoda_conn_id: str = "secoda_default",
        match: Match = "new_version",
        poke_interval: timedelta | float = 60.0,
        lookback: timedelta | float = 0.0,
    ) -> None:
        super().__init__(secoda_conn_id, poke_interval, lookback)
        self.resource_id = check_text("resource_id", resource_id)
        self.match = check_match(match)

    def _watch_arguments(self) -> dict[str, Any]:
        return {"resource_id": self.resource_id, "secoda_conn_id": self.secoda_conn_id, "match": self.match}

    def _make_watcher(self) -> VersionWatcher:
        from airflow_provider_secoda._events.version_watcher import VersionWatcher  # noqa: PLC0415

        return VersionWatcher(self.resource_id, self.match, self.lookback)
