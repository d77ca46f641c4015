"""The specification of a wait, as a value, and the values that a wait returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import check_match, check_text, parse_datetime
from airflow_provider_secoda._polling.pauses import PollInterval
from airflow_provider_secoda._storable import storable
from airflow_provider_secoda.client._api.timestamps import to_instant
from airflow_provider_secoda.client._versions.history import Baseline, VersionEntry
from airflow_provider_secoda.client.errors import SecodaConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class WaitSpec:
    """What to wait for, and how: the arguments of the sensor and of its trigger, checked.

    :param interval: the pauses between polls
    :param max_consecutive_failures: the failed poll in a row that ends the wait; None: no number of failed polls does
    """

    secoda_conn_id: str
    resource_id: str
    baseline: Baseline
    wait_for_resource: bool = False
    interval: PollInterval = field(default_factory=PollInterval)
    max_consecutive_failures: int | None = 5

    @classmethod
    def parse(
        cls,
        *,
        secoda_conn_id: str,
        resource_id: str,
        since: Any,
        since_version_id: str | None,
        match: str,
        wait_for_resource: bool,
        poke_interval: float,
        exponential_backoff: bool,
        max_wait: float | None,
        max_consecutive_failures: int | None,
    ) -> WaitSpec:
        """Return the specification that rendered arguments give.

        :param since: with ``since_version_id`` it is used for ``match="any_activity"`` only
        :raises SecodaConfigurationError: when an argument is wrong; the message names it
        """
        try:
            return cls(
                check_text("secoda_conn_id", secoda_conn_id),
                check_text("resource_id", resource_id),
                Baseline(
                    to_instant(parse_datetime("since", since)),
                    None if since_version_id is None else check_text("since_version_id", since_version_id),
                    check_match(match),
                ),
                bool(wait_for_resource),
                PollInterval(poke_interval, exponential_backoff, max_wait),
                max_consecutive_failures,
            )
        except ValueError as error:
            raise SecodaConfigurationError(" ".join(str(error).split())) from None

    def describe(self, entries: Sequence[VersionEntry]) -> str:
        """Return a log line about new entries."""
        count = "a new version" if len(entries) == 1 else f"{len(entries)} new versions"
        if self.baseline.match == "any_activity":
            count = f"activity in {len(entries)} version{'s' if len(entries) > 1 else ''}"
        # Ids come from the server: control characters in an id must not add lines to the log.
        ids = [entry.id if entry.id.isprintable() else repr(entry.id) for entry in entries[:5]]
        return f"Resource {self.resource_id} has {count}: {', '.join(ids)}" + (", …" if len(entries) > len(ids) else "")


def summaries(entries: Sequence[VersionEntry]) -> list[dict[str, Any]]:
    """Return entries in the form of XComs and events: values that Airflow can store."""
    return [storable(entry.summary()) for entry in entries]


def read_event(event: Any) -> list[dict[str, Any]] | None:
    """Return the entries of a trigger's event, or None for a timeout.

    An event was stored in a database, and another version of this provider may have written it, so it is checked.

    :raises ValueError: for anything that :class:`~.secoda.SecodaVersionHistoryTrigger` does not yield
    """
    if isinstance(event, dict) and event.get("status") == "timeout":
        return None
    entries = event.get("entries") if isinstance(event, dict) and event.get("status") == "success" else None
    if not isinstance(entries, list) or not entries or not all(_is_entry(entry) for entry in entries):
        raise ValueError(f"Unknown event from the trigger (was it written by another version?): {event!r:.200}")
    return entries


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("id"), str) and isinstance(entry.get("record"), dict)
