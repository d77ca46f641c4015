"""Decide which audit logs an event trigger delivers."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import ArgumentError, check_text
from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.client.filters import Filter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.client._api.timestamps import Instant


@dataclass(frozen=True)
class LogFields:
    """The fields of an audit log that watchers read, as the API sent them: any of them may be of another type."""

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
        """The ids of all resources that the log names."""
        related = self.related_resource_ids if isinstance(self.related_resource_ids, list) else ()
        return {id_ for id_ in (self.resource_id, self.parent_id, *related) if isinstance(id_, str)}

    @cached_property
    def logged(self) -> Instant | None:
        """The time of the activity, or None if the log has no valid one."""
        from airflow_provider_secoda.client._api.timestamps import parse_instant  # noqa: PLC0415 - not in DAG files

        try:
            return parse_instant(self.logged_at)
        except ValueError:
            return None


_NAMES = [field.name for field in fields(LogFields)]


def read_log_fields(log: Log) -> LogFields:
    """Return the fields of a log; none of them for a log that is not valid JSON."""
    try:
        # No field is an integer, and Python refuses to parse very long integers, but not to parse them as floats.
        record = json.loads(log.raw, parse_int=float)
    except (ValueError, RecursionError):
        return LogFields()
    return LogFields(**{name: record.get(name) for name in _NAMES})


class Predicates:
    """Match logs by the values of their fields.

    :param lists: arguments of the trigger; each name is the plural of a field's name. A log matches if its value is in
        the list, for each field that has a list
    :raises ArgumentError: naming the argument that is wrong
    """

    def __init__(self, **lists: Any) -> None:
        #: The arguments, sorted, so that equal predicates have equal lists.
        self.lists = {name: _check_texts(name, values) for name, values in lists.items()}
        self._allowed = [(name.removesuffix("s"), values) for name, values in self.lists.items() if values is not None]

    def match(self, log: LogFields) -> bool:
        """Return whether a log matches."""
        return all(getattr(log, name) in values for name, values in self._allowed)


def check_filter(value: Mapping[str, Any] | str | None) -> str | None:
    """Return a filter as JSON text; equal filters give equal text.

    :raises ArgumentError: when it is not a filter
    """
    try:
        parsed = Filter.parse(value)
    except SecodaConfigurationError as error:
        raise ArgumentError(str(error)) from None
    return None if parsed is None else parsed.text


def _check_texts(name: str, value: Any) -> list[str] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset) or not value:
        raise ArgumentError(f"`{name}` must be a list of non-empty strings, or None, not {value!r:.80}")
    return sorted({check_text(name, one) for one in value})
