"""The ``filter`` and ``sort`` parameters: their JSON grammar, read strictly.

Documented are ``and`` with ``exact``, ``contains``, ``in``, and a sort by one field; ``or``, ``not``,
``is_set`` and ``tie_breaker`` are what third parties use. Anything else is refused, so that a misspelt filter
shows at once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_secoda.sandbox.index import SCALARS, TIMESTAMPS, Entry, Order
from airflow_provider_secoda.sandbox.timestamps import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Predicate: TypeAlias = Callable[[Entry], bool]

_FIELDS = SCALARS | {"related_resource_ids"}
_DEEPEST = 50
_DAY = 86_400_000_000_000
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "ge": lambda at, bound: at >= bound,
    "gt": lambda at, bound: at > bound,
    "le": lambda at, bound: at <= bound,
    "lt": lambda at, bound: at < bound,
    "ge_day": lambda at, bound: at // _DAY >= bound // _DAY,
    "lt_day": lambda at, bound: at // _DAY < bound // _DAY,
    "all": lambda _at, _bound: True,
    "none": lambda _at, _bound: False,
}


class BadQueryError(Exception):
    """The query cannot be understood; answered with 400."""


def parse_filter(text: str, date_operators: Mapping[str, str]) -> Predicate:
    """Return the test that a filter asks of each log.

    :param text: the parameter's JSON text.
    :param date_operators: see :attr:`Faults.date_operators`.
    :raises BadQueryError: with a sentence that says what is wrong with the text.
    """
    return _node(_json(text, "filter"), date_operators, _DEEPEST)


def parse_sort(text: str) -> Order:
    """Return the order that a sort asks for; its second key, when there is one, is the tie breaker.

    :raises BadQueryError: with a sentence that says what is wrong with the text.
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
    _expect_keys(node, {"field", "order"}, optional, "sort")
    if node["field"] not in sorted(SCALARS):
        raise BadQueryError(f"cannot sort by {node['field']!r}")
    if node["order"] not in ("asc", "desc"):
        raise BadQueryError(f"unknown sort order {node['order']!r}")
    return node["field"], node["order"] == "desc"


def _expect_keys(node: Any, required: set[str], optional: set[str], what: str) -> None:
    if not isinstance(node, dict):
        raise BadQueryError(f"{what} is not an object: {node!r}")
    if not required <= node.keys() <= required | optional:
        raise BadQueryError(f"{what} must have {sorted(required)}, not {sorted(node)}")


def _node(node: Any, date_operators: Mapping[str, str], depth: int) -> Predicate:
    if not isinstance(node, dict):
        raise BadQueryError(f"filter is not an object: {node!r}")
    operator = node.get("operator")
    if operator in ("and", "or", "not"):
        return _logical(node, date_operators, depth)
    _expect_keys(node, {"operator", "field", "value"}, set(), "filter")
    field, value = node["field"], node["value"]
    if not isinstance(field, str) or field not in _FIELDS:
        raise BadQueryError(f"cannot filter by {field!r}")
    if isinstance(operator, str) and operator in date_operators:
        return _date(date_operators[operator], field, value)
    return _field_test(operator, field, value)


def _field_test(operator: Any, field: str, value: Any) -> Predicate:
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


def _logical(node: dict[str, Any], date_operators: Mapping[str, str], depth: int) -> Predicate:
    _expect_keys(node, {"operator", "operands"}, set(), "filter")
    operands = node["operands"]
    if not isinstance(operands, list):
        raise BadQueryError("operands is not a list")
    if depth == 0:
        raise BadQueryError("the filter is nested too deeply")
    tests = [_node(operand, date_operators, depth - 1) for operand in operands]
    if node["operator"] == "and":
        return lambda entry: all(test(entry) for test in tests)
    if node["operator"] == "or" and tests:
        return lambda entry: any(test(entry) for test in tests)
    if node["operator"] == "not" and len(tests) == 1:
        return lambda entry: not tests[0](entry)
    raise BadQueryError(f"{node['operator']!r} cannot have {len(tests)} operands")


def _exact(field: str, value: Any) -> Predicate:
    if field in TIMESTAMPS:
        wanted = _instant(value)
        return lambda entry: bool(entry.value(field) == wanted)
    if field == "related_resource_ids":
        return lambda entry: value in (entry.value(field) or [])
    if not isinstance(value, bool if field == "is_legacy" else str | None):
        raise BadQueryError(f"{field} cannot be {value!r}")
    return lambda entry: bool(entry.value(field) == value)


def _contains(field: str, value: Any) -> Predicate:
    if not isinstance(value, str) or field in TIMESTAMPS or field == "is_legacy":
        raise BadQueryError(f"'contains' cannot look for {value!r} in {field}")
    return lambda entry: value in (entry.value(field) or "")


def _date(meaning: str, field: str, value: Any) -> Predicate:
    name, _, forced = meaning.partition(":")
    field = forced or field
    if field not in TIMESTAMPS:
        raise BadQueryError(f"{field} is not a date")
    compare, bound = _COMPARE[name], _instant(value)
    return lambda entry: compare(entry.value(field), bound)


def _instant(value: Any) -> int:
    if not isinstance(value, str):
        raise BadQueryError(f"{value!r} is not a date and time")
    try:
        return nanoseconds(value)
    except ValueError as error:
        raise BadQueryError(str(error)) from None
