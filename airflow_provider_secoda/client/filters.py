"""The filter and sort grammar of Secoda's listings, as small values.

A filter is plain data (what Airflow can render and JSON can hold); the functions here only save typing::

    all_of(exact("performer_type", "USER"), one_of("activity_type", ["DELETE", "EXPORT"]))

Source: the vendor's API reference, "Audit Logs" and "Catalog" (``exact``, ``contains``, ``in``, ``and`` are
documented; ``is_set``, ``or``, ``not`` are known from third parties).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from airflow_provider_secoda.client.errors import SecodaConfigurationError

Filter: TypeAlias = "dict[str, Any]"


def exact(field: str, value: Any) -> Filter:
    """Match logs whose field equals the value."""
    return {"operator": "exact", "field": field, "value": value}


def contains(field: str, value: Any) -> Filter:
    """Match logs whose field contains the value."""
    return {"operator": "contains", "field": field, "value": value}


def one_of(field: str, values: Iterable[Any]) -> Filter:
    """Match logs whose field is one of the values (the operator ``in``)."""
    return {"operator": "in", "field": field, "value": list(values)}


def is_set(field: str, value: bool = True) -> Filter:
    """Match logs whose field has a value, or has none."""
    return {"operator": "is_set", "field": field, "value": value}


def all_of(*operands: Mapping[str, Any]) -> Filter:
    """Match logs that match every operand (the operator ``and``)."""
    return {"operator": "and", "operands": [dict(operand) for operand in operands]}


def any_of(*operands: Mapping[str, Any]) -> Filter:
    """Match logs that match at least one operand (the operator ``or``)."""
    return {"operator": "or", "operands": [dict(operand) for operand in operands]}


def none_of(*operands: Mapping[str, Any]) -> Filter:
    """Match logs that match no operand (the operator ``not``)."""
    # What ``not`` does to several operands is not known; to one it can mean one thing only.
    only = dict(operands[0]) if len(operands) == 1 else any_of(*operands)
    return {"operator": "not", "operands": [only]}


def parse_filter(value: Mapping[str, Any] | str | None) -> Filter | None:
    """Read a filter given as a mapping, as JSON text, or not at all (``None`` or blank text).

    :raises SecodaConfigurationError: when it is no JSON object with an ``operator``, at any depth.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        tree = _plain(json.loads(value) if isinstance(value, str) else value, "filter")
        json.dumps(tree, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise SecodaConfigurationError("`filter` is nested too deeply") from None
    except (TypeError, ValueError) as exc:
        raise SecodaConfigurationError(f"`filter` is no JSON: {exc}") from None
    return tree


def _plain(value: Any, where: str) -> Filter:
    """Return a filter as plain dicts and lists, checked on the way."""
    if not isinstance(value, Mapping) or not isinstance(value.get("operator"), str):
        raise SecodaConfigurationError(
            f"`{where}` must be an object with an `operator`, such as "
            '{"operator": "exact", "field": "performer_type", "value": "USER"}'
        )
    operands = value.get("operands")
    if operands is None:
        if not isinstance(value.get("field"), str):
            raise SecodaConfigurationError(f"`{where}` has neither `operands` nor a `field`")
        return dict(value)
    if not isinstance(operands, Sequence) or isinstance(operands, str) or not operands:
        raise SecodaConfigurationError(f"`{where}.operands` must be a list that is not empty")
    inner = [_plain(operand, f"{where}.operands[{index}]") for index, operand in enumerate(operands)]
    return {**value, "operands": inner}


def encode_filter(value: Filter | None) -> str | None:
    """Return the JSON text that goes into the ``filter`` parameter."""
    return None if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Sort:
    """The order of a listing; ``tie_breaker`` is documented for the catalog only, so servers may refuse it."""

    field: str
    order: Literal["asc", "desc"]
    tie_breaker: bool = False

    def encode(self) -> str:
        """Return the JSON text that goes into the ``sort`` parameter."""
        sort: dict[str, Any] = {"field": self.field, "order": self.order}
        if self.tie_breaker:
            sort["tie_breaker"] = {"field": "id", "order": self.order}
        return json.dumps(sort, separators=(",", ":"))
