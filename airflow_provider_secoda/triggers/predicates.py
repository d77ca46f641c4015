"""
Which logs a watcher is interested in, and its arguments, checked.

A wrong argument raises a :class:`ArgumentError`. It is a ValueError, and a TypeError, too: that is all that a
triggerer survives when it makes a trigger out of what another version of this provider has stored.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.client.filters import encode_filter, parse_filter
from airflow_provider_secoda.client.instants import parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda.client.schema import Instant, Log


class ArgumentError(ValueError, TypeError):
    """An argument of an event trigger is wrong; the text names it."""


class Facts(msgspec.Struct, dict=True):
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


_decode = msgspec.json.Decoder(Facts)


def read_facts(log: Log) -> Facts:
    """Return what decisions need of a log; nothing where it cannot be read."""
    try:
        return _decode.decode(log.raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # half a surrogate pair somewhere, as a rule, which the decoder refuses and the slow way reads
    try:
        record = json.loads(log.raw)
        return Facts(**{name: record.get(name) for name in Facts.__struct_fields__})
    except (ValueError, RecursionError):
        return Facts()


@dataclass(frozen=True)
class Predicates:
    """Which logs match: for each field that is given, the log's value is one of those listed."""

    activity_types: tuple[str, ...] | None = None
    performer_types: tuple[str, ...] | None = None
    performer_ids: tuple[str, ...] | None = None
    resource_types: tuple[str, ...] | None = None
    resource_ids: tuple[str, ...] | None = None

    def match(self, facts: Facts) -> bool:
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


def check_text(name: str, value: Any) -> str:
    """Return an argument that must be a text with something in it."""
    if not isinstance(value, str) or not value.strip():
        raise ArgumentError(f"`{name}` must be a text that is not empty, not {value!r:.80}")
    return value.strip()


def check_seconds(name: str, value: Any, *, zero: bool = False) -> float:
    """Return an argument that must be a finite number of seconds above 0, or 0 where that is allowed."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise ArgumentError(
            f"`{name}` must be a number of seconds {'not below' if zero else 'above'} 0, not {value!r:.80}"
        )
    return float(value)


def check_filter(value: Mapping[str, Any] | str | None) -> str | None:
    """Return a filter as JSON text, the same for the same filter."""
    try:
        return encode_filter(parse_filter(value))
    except SecodaConfigurationError as error:
        raise ArgumentError(str(error)) from None


def _texts(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset) or not value:
        raise ArgumentError(f"`{name}` must be a list of text that is not empty, or None, not {value!r:.80}")
    return tuple(sorted({check_text(name, one) for one in value}))
