"""Parse the parameters ``filter`` and ``sort`` strictly.

The reference documents ``and``, ``exact``, ``contains``, ``in``, and a sort by one field; third parties also use
``or``, ``not``, ``is_set`` and ``tie_breaker``. Everything else is an error, so that a misspelt filter is noticed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_secoda.sandbox._workspace.index import Entry, Order
from airflow_provider_secoda.sandbox._workspace.schema import SCALARS, TIMESTAMPS
from airflow_provider_secoda.sandbox._workspace.timestamps import parse_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    Predicate: TypeAlias = Callable[[Entry], bool]

_FIELDS = SCALARS | {"related_resource_ids"}
_MAX_DEPTH = 50


class BadQueryError(Exception):
    """The query is invalid; the response is 400."""


def parse_filter(text: str) -> Predicate:
    """Return a function that checks whether a log matches a filter.

    :param text: the parameter's JSON text.
    :raises BadQueryError: the text is not a valid filter.
    """
    return _node(_json(text, "filter"), _MAX_DEPTH)


def parse_sort(text: str) -> Order:
    """Return the order of a sort; the tie breaker, if given, is its second key.

    :raises BadQueryError: the text is not a valid sort.
    """
    node = _json(text, "sort")
    keys = [_sort_key(node, {"tie_breaker"})]
    if "tie_breaker" in node:
        keys.append(_sort_key(node["tie_breaker"], set()))
    return Order(tuple(keys))


def _json(text: str, parameter: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadQueryError(f"{parameter} is not JSON") from None


def _sort_key(node: Any, optional: set[str]) -> tuple[str, bool]:
    _check_keys(node, {"field", "order"}, optional, "sort")
    if node["field"] not in sorted(SCALARS):
        raise BadQueryError(f"cannot sort by {node['field']!r}")
    if node["order"] not in ("asc", "desc"):
        raise BadQueryError(f"unknown sort order {node['order']!r}")
    return node["field"], node["order"] == "desc"


def _check_keys(node: Any, required: set[str], optional: set[str], parameter: str) -> None:
    if not isinstance(node, dict):
        raise BadQueryError(f"{parameter} is not an object: {node!r}")
    if not required <= node.keys() <= required | optional:
        raise BadQueryError(f"{parameter} must have {sorted(required)}, not {sorted(node)}")


def _node(node: Any, depth: int) -> Predicate:
    if not isinstance(node, dict):
        raise BadQueryError(f"filter is not an object: {node!r}")
    operator = node.get("operator")
    if operator in ("and", "or", "not"):
        return _logical(node, depth)
    _check_keys(node, {"operator", "field", "value"}, set(), "filter")
    field, value = node["field"], node["value"]
    if not isinstance(field, str) or field not in _FIELDS:
        raise BadQueryError(f"cannot filter by {field!r}")
    return _comparison(operator, field, value)


def _comparison(operator: Any, field: str, value: Any) -> Predicate:
    if operator == "exact":
        return _exact(field, value)
    if operator == "in":
        if not isinstance(value, list):
            raise BadQueryError("the value of 'in' is not a list")
        tests = [_exact(field, one) for one in value]
        return lambda entry: any(test(entry) for test in tests)
    if operator == "contains":
        return _contains(field, value)
    if operator == "is_set":
        if not isinstance(value, bool):
            raise BadQueryError("the value of 'is_set' is not true or false")
        return lambda entry: (entry.value(field) not in (None, "", [])) is value
    raise BadQueryError(f"unknown operator {operator!r}")


def _logical(node: dict[str, Any], depth: int) -> Predicate:
    _check_keys(node, {"operator", "operands"}, set(), "filter")
    operands = node["operands"]
    if not isinstance(operands, list):
        raise BadQueryError("operands is not a list")
    if depth == 0:
        raise BadQueryError("the filter is nested too deeply")
    tests = [_node(operand, depth - 1) for operand in operands]
    if node["operator"] == "and":
        return lambda entry: all(test(entry) for test in tests)
    if node["operator"] == "or" and tests:
        return lambda entry: any(test(entry) for test in tests)
    if node["operator"] == "not" and len(tests) == 1:
        return lambda entry: not tests[0](entry)
    raise BadQueryError(f"{node['operator']!r} cannot have {len(tests)} operands")


def _exact(field: str, value: Any) -> Predicate:
    if field in TIMESTAMPS:
        wanted = _nanoseconds(value)
        return lambda entry: bool(entry.value(field) == wanted)
    if field == "related_resource_ids":
        return lambda entry: value in (entry.value(field) or [])
    if not isinstance(value, bool if field == "is_legacy" else str | None):
        raise BadQueryError(f"{field} cannot be {value!r}")
    return lambda entry: bool(entry.value(field) == value)


def _contains(field: str, value: Any) -> Predicate:
    if not isinstance(value, str) or field in TIMESTAMPS or field == "is_legacy":
        raise BadQueryError(f"'contains' cannot compare {field} with {value!r}")
    return lambda entry: value in (entry.value(field) or "")


def _nanoseconds(value: Any) -> int:
    if not isinstance(value, str):
        raise BadQueryError(f"{value!r} is not a date and time")
    try:
        return parse_nanoseconds(value)
    except ValueError as error:
        raise BadQueryError(str(error)) from None
