"""What a wait for a resource's version is about: arguments, checked; errors, named; what was found, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import check_match, check_text, parse_datetime
from airflow_provider_secoda._storable import storable
from airflow_provider_secoda.client._api.timestamps import to_instant
from airflow_provider_secoda.client._versions.history import Baseline, VersionEntry
from airflow_provider_secoda.client.errors import (
    SecodaConfigurationError,
    SecodaError,
    SecodaFatalError,
    SecodaNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class WaitSpec:
    """A wait for a resource's version, its arguments checked."""

    secoda_conn_id: str
    resource_id: str
    baseline: Baseline
    wait_for_resource: bool = False

    @classmethod
    def of(
        cls,
        secoda_conn_id: str,
        resource_id: str,
        since: Any,
        since_version_id: str | None,
        match: str,
        wait_for_resource: bool = False,
    ) -> WaitSpec:
        """Return the wait that arguments mean, after templates were rendered.

        :param since: the moment, which with ``since_version_id`` counts for growth only
        :raises SecodaConfigurationError: naming the argument
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
            )
        except ValueError as error:
            raise SecodaConfigurationError(" ".join(str(error).split())) from None

    def expects(self, error: SecodaError) -> bool:
        """Return whether an error is no failure: a resource that does not exist yet, and is waited for."""
        return self.wait_for_resource and isinstance(error, SecodaNotFoundError)

    def doubts_connection(self, error: SecodaError) -> bool:
        """Return whether to read the connection again before an error is final: its key may have been changed."""
        return isinstance(error, SecodaFatalError) and not self.expects(error)

    def add_context(self, error: SecodaError) -> None:
        """Let an error say what was waited for, as one look out of thousands may fail.

        And how long the server asked to be left alone: of an error in the triggerer only the text comes back.
        """
        what = f"resource {self.resource_id!r} by connection {self.secoda_conn_id!r}: "
        if error.args and not str(error.args[0]).startswith(what):
            asked = getattr(error, "retry_after", None)
            told = "" if asked is None else f" (Retry-After: {asked:.15g} s)"
            error.args = (f"{what}{error.args[0]}{told}", *error.args[1:])

    def describe(self, entries: Sequence[VersionEntry]) -> str:
        """Return in words what was found."""
        count = "a new version" if len(entries) == 1 else f"{len(entries)} new versions"
        if self.baseline.match == "any_activity":
            count = f"activity in {len(entries)} version{'s' if len(entries) > 1 else ''}"
        # Ids are a server's: one with control signs must not write lines of its own into a log.
        ids = [entry.id if entry.id.isprintable() else repr(entry.id) for entry in entries[:5]]
        return f"Resource {self.resource_id} has {count}: {', '.join(ids)}" + (", …" if len(entries) > len(ids) else "")


def summaries(entries: Sequence[VersionEntry]) -> list[dict[str, Any]]:
    """Return entries as they are handed on, in XComs and events alike: values that Airflow can store."""
    return [storable(entry.summary()) for entry in entries]


def read_event(event: Any) -> list[dict[str, Any]] | None:
    """Return the entries of a trigger's event, or None for a timeout.

    An event has crossed a database, perhaps between two versions of this provider, so it is not believed unseen.

    :raises ValueError: for anything that :class:`~.secoda.SecodaVersionHistoryTrigger` does not yield
    """
    if isinstance(event, dict) and event.get("status") == "timeout":
        return None
    entries = event.get("entries") if isinstance(event, dict) and event.get("status") == "success" else None
    if not isinstance(entries, list) or not entries or not all(_is_entry(entry) for entry in entries):
        raise ValueError(f"The trigger's event is none that this sensor knows: {event!r:.200}")
    return entries


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("id"), str) and isinstance(entry.get("record"), dict)
