"""The checks of the arguments of the operator that verifies files, before the task runs and when it starts.

DAG files import this module, so it imports nothing that takes long to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import (
    ArgumentError,
    check_bool,
    check_choice,
    check_count,
    check_text,
    check_texts,
    is_known,
    parse_datetime,
)
from airflow_provider_secoda.operators._arguments import check_signer
from airflow_provider_secoda.operators._output_path import check_placeholders
from airflow_provider_secoda.windows import resolve_window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ON_FINDING = ("fail", "supplement", "warn")
_SUFFIX = ".html"
#: Is replaced by the number of the report.
SEQUENCE = "{sequence}"


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Check arguments of the operator; those that are computed when the task runs are left out.

    :param arguments: all of them or, for a mapped operator, those of ``partial()``; names of others are ignored
    :raises ArgumentError: the message names the argument
    """
    for name, value in arguments.items():
        if name in _CHECKS and is_known(value):
            _CHECKS[name](value)
    edges = arguments.get("start"), arguments.get("end")
    if edges != (None, None) and arguments.get("last") is not None:
        raise ArgumentError("pass `start` and `end`, or `last`, not both")
    if "start" in arguments and "end" in arguments and edges != (None, None) and is_known(edges):
        resolve_window({}, start=edges[0], end=edges[1])
    if arguments.get("signing_conn_id") is not None and arguments.get("signer") is not None:
        raise ArgumentError("pass `signing_conn_id` or `signer`, not both")
    if arguments.get("on_finding") == "supplement" and arguments.get("against_source") is False:
        raise ArgumentError('`on_finding="supplement"` writes what the API shows: pass against_source=True')


def check_path(value: Any) -> list[str]:
    """Return ``path`` as a list.

    :raises ArgumentError: it is neither a non-empty string nor a list of them
    """
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, list | tuple) or not paths:
        raise ArgumentError(f"`path` must be a path, a URL, or a list of them, not {value!r:.80}")
    return [check_text("path", path) for path in paths]


def _check_report_path(value: Any) -> None:
    if value is None:
        return
    check_text("report_path", value)
    for part in value.split(SEQUENCE):
        check_placeholders(part, "report_path")
    if not value.endswith(_SUFFIX):
        raise ArgumentError(f"`report_path` must end in {_SUFFIX}, not {value!r:.80}")


def _or_none(check: Callable[[str, Any], object], name: str) -> Callable[[Any], object]:
    return lambda value: None if value is None else check(name, value)


_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "path": check_path,
    "start": _or_none(parse_datetime, "start"),
    "end": _or_none(parse_datetime, "end"),
    "last": _or_none(check_count, "last"),
    "against_source": lambda value: check_bool("against_source", value),
    "secoda_conn_id": _or_none(check_text, "secoda_conn_id"),
    "public_keys": lambda value: check_texts("public_keys", value),
    "on_finding": lambda value: check_choice("on_finding", value, _ON_FINDING),
    "report_path": _check_report_path,
    "signing_conn_id": _or_none(check_text, "signing_conn_id"),
    "signer": check_signer,
    "max_findings": lambda value: check_count("max_findings", value),
}
