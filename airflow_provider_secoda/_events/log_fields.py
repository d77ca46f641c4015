"""What watchers decide by: the few fields of a log that they read."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda.client._api.timestamps import parse_instant

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._api.timestamps import Instant


class LogFields(msgspec.Struct, dict=True):
    """What decisions need of a log; everything else stays the bytes that were sent."""

    activity_type: Any = None
    performer_type: Any = None
    performer_id: Any = None
    resource_type: Any = None
    resource_id: Any = None
    parent_id: Any = None
    related_resource_ids: Any = None
    version_history_id: Any = None
    logged_at: Any = None

    @cached_property
    def resources(self) -> set[str]:
        """All resources that the log names."""
        related = self.related_resource_ids if isinstance(self.related_resource_ids, list) else ()
        return {id_ for id_ in (self.resource_id, self.parent_id, *related) if isinstance(id_, str)}

    @cached_property
    def logged(self) -> Instant | None:
        """When it happened; None where that cannot be read."""
        try:
            return parse_instant(self.logged_at)
        except ValueError:
            return None


_decode = msgspec.json.Decoder(LogFields)


def read_log_fields(log: Log) -> LogFields:
    """Return what decisions need of a log; nothing where it cannot be read."""
    try:
        return _decode.decode(log.raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # half a surrogate pair somewhere, as a rule, which the decoder refuses and the slow way reads
    try:
        record = json.loads(log.raw)
        return LogFields(**{name: record.get(name) for name in LogFields.__struct_fields__})
    except (ValueError, RecursionError):
        return LogFields()
