"""The filter and sort grammar of Secoda's listings.

A filter argument is plain data, which Airflow can render as a template and serialize. The builders here return it::

    all_of(exact("performer_type", "USER"), one_of("activity_type", ["DELETE", "EXPORT"]))

:class:`Filter` is the same filter, checked and encoded for a request.

Source: the vendor's API reference, "Audit Logs" and "Catalog" (``exact``, ``contains``, ``in``, ``and`` are
documented; ``is_set``, ``or``, ``not`` are known from third parties).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from airflow_provider_secoda.client.errors import SecodaConfigurationError

__all__ = ["Filter", "Sort", "all_of", "any_of", "contains", "exact", "is_set", "none_of", "one_of"]


def exact(field: str, value: Any) -> dict[str, Any]:
    """Match logs whose field equals the value."""
    return {"operator": "exact", "field": field, "value": value}


def contains(field: str, value: Any) -> dict[str, Any]:
    """Match logs whose field contains the value."""
    return {"operator": "contains", "field": field, "value": value}


def one_of(field: str, values: Iterable[Any]) -> dict[str, Any]:
    """Match logs whose field is one of the values (the operator ``in``)."""
    return {"operator": "in", "field": field, "value": list(values)}


def is_set(field: str, value: bool = True) -> dict[str, Any]:
    """Match logs whose field has a value; with ``value=False``, logs whose field has none."""
    return {"operator": "is_set", "field": field, "value": value}


def all_of(*operands: Mapping[str, Any]) -> dict[str, Any]:
    """Match logs that match every operand (the operator ``and``)."""
    return {"operator": "and", "operands": [dict(operand) for operand in operands]}


def any_of(*operands: Mapping[str, Any]) -> dict[str, Any]:
    """Match logs that match at least one operand (the operator ``or``)."""
    return {"operator": "or", "operands": [dict(operand) for operand in operands]}


def none_of(*operands: Mapping[str, Any]) -> dict[str, Any]:
    """Match logs that match no operand (the operator ``not``)."""
    # It is not known how ``not`` treats several operands; with one operand it has only one meaning.
    only = dict(operands[0]) if len(operands) == 1 else any_of(*operands)
    return {"operator": "not", "operands": [only]}


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was checked and encoded once; made by :meth:`parse`.

    :ivar text: the JSON text that is sent as the parameter ``filter``
    """

    text: str

    @classmethod
    def parse(cls, value: Mapping[str, Any] | str | None) -> Filter | None:
        """Parse a filter given as a mapping or as JSON text; return None for ``None`` or blank text.

        :raises SecodaConfigurationError: if it is not a JSON object with an ``operator``, at any depth
        """
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        try:
            text = _encode(_plain(json.loads(value) if isinstance(value, str) else value, "filter"))
            text.encode()  # refuses half surrogate pairs
        except RecursionError:
            raise SecodaConfigurationError("`filter` is nested too deeply") from None
        except (TypeError, ValueError) as exc:
            hint = ""
            if isinstance(value, str) and value.lstrip().startswith("{'"):
                hint = ". It looks like a Python dict; a template writes a dict as JSON with {{ … | tojson }}"
            raise SecodaConfigurationError(f"`filter` is not valid JSON: {exc}{hint}") from None
        return cls(text)

    def as_dict(self) -> dict[str, Any]:
        """Return the filter as plain data."""
        tree: dict[str, Any] = json.loads(self.text)
        return tree


@dataclasses.dataclass(frozen=True, slots=True)
class Sort:
    """The order of a listing, encoded once.

    :param field: the field to sort by
    :param order: ``asc`` or ``desc``
    :param tie_breaker: whether to sort logs of one timestamp by id; documented for the catalog only, so a server may
        refuse it
    :ivar text: the JSON text that is sent as the parameter ``sort``
    """

    field: str
    order: Literal["asc", "desc"]
    tie_breaker: bool = False
    text: str = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sort: dict[str, Any] = {"field": self.field, "order": self.order}
        if self.tie_breaker:
            sort["tie_breaker"] = {"field": "id", "order": self.order}
        object.__setattr__(self, "text", _encode(sort))


def encode_sort(sort: Sort | Mapping[str, Any]) -> str:
    """Return the JSON text of a sort, which may also be given as a mapping."""
    return sort.text if isinstance(sort, Sort) else _encode(dict(sort))


def _plain(value: Any, where: str) -> dict[str, Any]:
    """Return a filter as plain dicts and lists; check it on the way."""
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
        raise SecodaConfigurationError(f"`{where}.operands` must be a non-empty list")
    inner = [_plain(operand, f"{where}.operands[{index}]") for index, operand in enumerate(operands)]
    return {**value, "operands": inner}


def _encode(tree: Any) -> str:
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
