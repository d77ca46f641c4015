"""The placeholders of ``output_path``: check them, and replace them by the start and the end of the window.

DAG files import this module, so it imports nothing that takes long to load.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import ArgumentError, check_text, is_known
from airflow_provider_secoda._storage.formats import check_suffix

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from airflow_provider_secoda.windows import Window

#: A placeholder; or else, without groups, one that is unknown or not closed, or a single brace.
_PLACEHOLDER = re.compile(r"\{(start|end)(_local)?(?::([^{}]*))?\}|\{[^{}/]*\}?|\}")
_DEFAULT_FORMAT = "%Y-%m-%dT%H-%M-%S"
_DEFAULT_LOCAL_FORMAT = f"{_DEFAULT_FORMAT}%z"  # an hour occurs twice where clocks are set back
# Those that Python documents, except %c, %x and %X, which contain a slash in some languages. A `-` leaves out zeros.
_DIRECTIVE = re.compile(r"%-?[aAbBdfFGHIjmMpsSuUVwWyYzZ]")
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
#: Names in templates whose values belong to the run, and not to the window.
_RUN_NAME = re.compile(
    r"""(?<![.'"\w])(ds|ts|(ds|ts)_nodash\w*|logical_date|execution_date|data_interval_(start|end)|run_id|run_after"""
    r"""|dag_run(?!\.conf)|(prev|next|yesterday|tomorrow)_\w+|task_instance_key_str)\b"""
)
RUN_NAMES_MESSAGE = (
    "`output_path` contains values of the run, such as its logical date, but not the window: a file can have the name "
    "of another day than that of its logs."
)
_CLOUD = re.compile(r"(?!(?:file|local):)[A-Za-z][A-Za-z0-9+.-]+:/", re.IGNORECASE)
_TEMPLATE_END = re.compile(r"\}\}|%\}|#\}")
_KNOWN = (
    "Placeholders are {start} and {end}, the start and the end of the window in UTC, and {start_local} and "
    "{end_local}, the same in the time zone of the schedule; each with a format of strftime or without: "
    "{start:%Y-%m-%d}"
)


def check_output_path(path: Any) -> None:
    """Check what is known of a path before the task runs: its placeholders, and its suffix also behind a template.

    :raises ArgumentError: a placeholder is unknown, or no value of the template leads to a path with a known suffix
    """
    if path is None or (not isinstance(path, str) and not is_known(path)):
        return
    check_text("output_path", path)
    if is_known(path):
        check_placeholders(path)
    try:
        check_suffix(_TEMPLATE_END.split(path)[-1])
    except ValueError as exc:
        raise ArgumentError(f"`output_path`: {exc}") from None


def check_placeholders(path: str, argument: str = "output_path") -> None:
    """Check that each brace in a path belongs to a placeholder, and that the placeholders have a format with a time.

    :param path: without templates, or rendered
    :param argument: the name of the argument
    :raises ArgumentError: it names the first placeholder that is unknown or not complete, and lists the known ones
    """
    for found in _PLACEHOLDER.finditer(path):
        if found[1] is None:
            raise ArgumentError(f"`{argument}`: {found[0]!r} in {path!r} is not a placeholder. {_KNOWN}")
        form = (found[3] or _DEFAULT_FORMAT).replace("%%", "")
        if not _DIRECTIVE.search(form) or "%" in _DIRECTIVE.sub("", form):
            raise ArgumentError(f"`{argument}`: {found[0]!r} in {path!r} does not have a valid format. {_KNOWN}")


def may_have_console(path: Any) -> bool:
    """Return whether a web page may show the file, as the consoles of clouds do; a local file has none."""
    if path is None:
        return False
    return not isinstance(path, str) or not is_known(path) or _CLOUD.match(path) is not None


def warn_of_run_names(path: Any) -> str | None:
    """Warn of a path that contains what templates know of a run, and not the window; return the path to write instead.

    The two differ: with ``@daily``, Airflow 3 runs at the end of the day that is read, and runs that are triggered by
    hand have the time at which they were triggered.

    :param path: the argument ``output_path``; None of it, or without such names: None is returned
    """
    if not isinstance(path, str) or any(found[1] for found in _PLACEHOLDER.finditer(_EXPRESSION.sub("", path))):
        return None
    suggested = _EXPRESSION.sub(_window_name, path)
    if suggested == path:
        return None
    warnings.warn(f"{RUN_NAMES_MESSAGE} Write output_path={suggested!r}", stacklevel=4)
    return suggested


def _window_name(found: re.Match[str]) -> str:
    """Return the placeholder that corresponds to an expression of a template; other expressions stay."""
    expression = found[1]
    if not _RUN_NAME.search(expression):
        return found[0]
    edge = "end" if "data_interval_end" in expression else "start"
    if given := re.search(r"""strftime\(\s*["']([^"'{}]+)["']""", expression):
        return f"{{{edge}:{given[1]}}}"
    form = "%Y-%m-%dT%H-%M" if re.search(r"\bts|run_id", expression) else "%Y-%m-%d"
    return f"{{{edge}:{form.replace('-', '') if 'nodash' in expression else form}}}"


def check_shared_path(path: Any, *, overwrite: Any) -> None:
    """Check the path that all instances of a mapped task share: it must be able to vary.

    :param path: the argument of ``partial()``; None if each instance has its own
    :raises ArgumentError: it has no placeholder and no template, or a placeholder is wrong
    """
    check_output_path(path)
    if path is None or not is_known(path):
        return
    if not overwrite and not _PLACEHOLDER.search(path):
        raise ArgumentError(
            f"`output_path`: all mapped tasks would write {path!r}. Add what differs between them to the path "
            "({start:%Y-%m-%d} if each has a window, otherwise {{ ti.map_index }}), or map output_path, too"
        )


def replace_placeholders(
    path: str, window: Window, zone: Callable[[], tzinfo] | None = None, argument: str = "output_path"
) -> str:
    """Replace the placeholders by the start and the end of the window.

    :param zone: returns the time zone of ``{start_local}`` and ``{end_local}``; called only for these. None: it is not
        known
    :param argument: the name of the argument
    :raises ArgumentError: as :func:`check_placeholders`; or a time zone is needed
    """
    check_placeholders(path, argument)
    edges = {"start": window.start, "end": window.end}

    def value(found: re.Match[str]) -> str:
        moment = edges[found[1]]
        if found[2]:
            if zone is None:
                raise ArgumentError(f"`{argument}`: {found[0]!r} needs the time zone of a schedule; use {{{found[1]}}}")
            return moment.astimezone(zone()).strftime(found[3] or _DEFAULT_LOCAL_FORMAT)
        return moment.strftime(found[3] or _DEFAULT_FORMAT)

    return _PLACEHOLDER.sub(value, path)
