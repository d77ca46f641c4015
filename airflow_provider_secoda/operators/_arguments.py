"""The checks of the operator's arguments, before the task runs and when it starts.

DAG files import this module, so it imports nothing that takes long to load.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import (
    ArgumentError,
    check_bool,
    check_choice,
    check_count,
    check_duration,
    check_text,
    check_timestamp_field,
    is_known,
    parse_datetime,
)
from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.client.filters import Filter
from airflow_provider_secoda.operators._output_path import check_output_path
from airflow_provider_secoda.windows import resolve_window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Check arguments of the operator; those that are computed when the task runs are left out.

    :param arguments: all of them or, for a mapped operator, those of ``partial()``; names of others are ignored
    :raises ValueError: the message names the argument
    """
    for name, value in arguments.items():
        if name == "output_path" or (name in _CHECKS and is_known(value)):
            _CHECKS[name](value)
    _check_signing(arguments)
    _check_on_change(arguments)
    has_both = "start" in arguments and "end" in arguments
    if has_both and (edges := (arguments["start"], arguments["end"])) != (None, None) and is_known(edges):
        resolve_window({}, start=edges[0], end=edges[1])


def _check_signing(arguments: Mapping[str, Any]) -> None:
    given = [name for name in ("signing_conn_id", "signer") if arguments.get(name) is not None]
    if len(given) > 1:
        raise ArgumentError("pass `signing_conn_id` or `signer`, not both")
    for name in given:
        if arguments.get("write_manifest") is False:
            raise ArgumentError(f"`{name}` signs the manifest, but write_manifest=False: remove one of them")
        if "output_path" in arguments and arguments["output_path"] is None:
            raise ArgumentError(f"`{name}` signs the manifest of a file: pass `output_path`, or remove `{name}`")


def _check_on_change(arguments: Mapping[str, Any]) -> None:
    if arguments.get("on_change") != "supplement":
        return
    text = 'on_change="supplement"'
    if arguments.get("overwrite") is True:
        raise ArgumentError(f"`on_change`: {text} never replaces a file, but overwrite=True: remove one of them")
    if arguments.get("write_manifest") is False:
        raise ArgumentError(f"`on_change`: {text} needs manifests, but write_manifest=False: remove one of them")
    if arguments.get("skip_if_empty") is True:
        raise ArgumentError(
            f"`on_change`: {text} begins with a file of each window, also of an empty one, but skip_if_empty=True: "
            "remove one of them"
        )
    if "output_path" in arguments and arguments["output_path"] is None:
        raise ArgumentError(f"`on_change`: {text} writes files: pass `output_path`, or remove `on_change`")


def check_signer(value: Any) -> None:
    """Check the dotted path of a function that returns a signer; None: there is none."""
    if value is not None and (not isinstance(value, str) or not _DOTTED.fullmatch(value)):
        raise ArgumentError(
            f"`signer` must be the dotted path of a function that returns a signer, such as "
            f"'my_company.keys.kms_signer', not {value!r:.80}"
        )


def _check_edge(name: str) -> Callable[[Any], object]:
    return lambda value: None if value is None else parse_datetime(name, value)


def _check_filter(value: Any) -> None:
    try:
        Filter.parse(value)
    except SecodaConfigurationError as error:
        raise ArgumentError(str(error)) from None


_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "secoda_conn_id": lambda value: check_text("secoda_conn_id", value),
    "start": _check_edge("start"),
    "end": _check_edge("end"),
    "filter": _check_filter,
    "timestamp_field": check_timestamp_field,
    "output_path": check_output_path,
    "on_change": lambda value: check_choice("on_change", value, ("replace", "supplement")),
    "overwrite": lambda value: check_bool("overwrite", value),
    "settle": lambda value: check_duration("settle", value, allow_zero=True),
    "concurrency": lambda value: check_count("concurrency", value),
    "skip_if_empty": lambda value: check_bool("skip_if_empty", value),
    "require_history": lambda value: check_bool("require_history", value),
    "xcom_limit_bytes": lambda value: check_count("xcom_limit_bytes", value),
    "write_manifest": lambda value: check_bool("write_manifest", value),
    "signing_conn_id": lambda value: None if value is None else check_text("signing_conn_id", value),
    "signer": check_signer,
    "deferrable": lambda value: check_bool("deferrable", value),
}
