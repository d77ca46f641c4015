"""Which logs a watcher is interested in, and its arguments, checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import ArgumentError, check_text
from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.client.filters import Filter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda._events.log_fields import LogFields


@dataclass(frozen=True)
class Predicates:
    """Which logs match: for each field that is given, the log's value is one of those listed."""

    activity_types: tuple[str, ...] | None = None
    performer_types: tuple[str, ...] | None = None
    performer_ids: tuple[str, ...] | None = None
    resource_types: tuple[str, ...] | None = None
    resource_ids: tuple[str, ...] | None = None

    def match(self, facts: LogFields) -> bool:
        """Return whether a log matches."""
        return (
            (self.activity_types is None or facts.activity_type in self.activity_types)
            and (self.performer_types is None or facts.performer_type in self.performer_types)
            and (self.performer_ids is None or facts.performer_id in self.performer_ids)
            and (self.resource_types is None or facts.resource_type in self.resource_types)
            and (self.resource_ids is None or facts.resource_id in self.resource_ids)
        )

    @classmethod
    def of(cls, **arguments: Any) -> Predicates:
        """Return predicates out of a trigger's arguments, checked."""
        return cls(**{field.name: _texts(field.name, arguments[field.name]) for field in fields(cls)})

    def arguments(self) -> dict[str, list[str] | None]:
        """Return the arguments as plain lists, in one order whatever the order in which they were given."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: None if value is None else list(value) for name, value in values.items()}


def check_filter(value: Mapping[str, Any] | str | None) -> str | None:
    """Return a filter as JSON text, the same for the same filter."""
    try:
        parsed = Filter.parse(value)
    except SecodaConfigurationError as error:
        raise ArgumentError(str(error)) from None
    return None if parsed is None else parsed.text


def _texts(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset) or not value:
        raise ArgumentError(f"`{name}` must be a list of non-empty strings, or None, not {value!r:.80}")
    return tuple(sorted({check_text(name, one) for one in value}))
