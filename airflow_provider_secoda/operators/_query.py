"""What a task reads: the logs of a window that match a filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda._windows.resolve import Window
    from airflow_provider_secoda.client._api.audit_log_page import TimestampField


@dataclass(frozen=True)
class AuditLogQuery:
    """Which audit logs a task reads.

    :ivar window: the window, half-open
    :ivar timestamp_field: the timestamp that decides whether a log is in the window
    :ivar filter: Secoda's filter grammar as plain data; None for all logs
    """

    window: Window
    timestamp_field: TimestampField
    filter: Mapping[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Return the query as manifests and lineage events contain it: JSON values."""
        return {
            **self.window.as_dict(),
            "timestamp_field": self.timestamp_field,
            "filter": self.filter,
        }
