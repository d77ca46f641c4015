"""The placeholders of ``output_path``: check them, and replace them by the start and the end of the window.

DAG files import this module, so it imports nothing that takes long to load.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import ArgumentError

if TYPE_CHECKING:
    from airflow_provider_secoda.windows import Window

#: A placeholder; or else, without groups, one that is unknown or not closed, or a single brace.
_PLACEHOLDER = re.compile(r"\{(start|end)(?::([^{}]*))?\}|\{[^{}/]*\}?|\}")
_DEFAULT_FORMAT = "%Y-%m-%dT%H-%M-%S"
# Those that Python documents, except %c, %x and %X, which contain a slash in some languages. A `-` leaves out zeros.
_DIRECTIVE = re.compile(r"%-?[aAbBdfFGHIjmMpsSuUVwWyYzZ]")
_TEMPLATE = re.compile(r"\{\{|\{%|\{#")
_KNOWN = (
    "Placeholders are {start} and {end}, the start and the end of the window in UTC, with a format of strftime or "
    "without: {start:%Y-%m-%d}"
)


def is_template(path: Any) -> bool:
    """Return whether a path is a template, or is not a string, so that it is not known before the task runs."""
    return not isinstance(path, str) or _TEMPLATE.search(path) is not None


def check_placeholders(path: str) -> None:
    """Check that each brace in a path belongs to a placeholder, and that the placeholders have a format with a time.

    :param path: without templates, or rendered
    :raises ArgumentError: it names the first placeholder that is unknown or not complete, and lists the known ones
    """
    for found in _PLACEHOLDER.finditer(path):
        if found[1] is None:
            raise ArgumentError(f"`output_path`: {found[0]!r} in {path!r} is not a placeholder. {_KNOWN}")
        form = (found[2] or _DEFAULT_FORMAT).replace("%%", "")
        if not _DIRECTIVE.search(form) or "%" in _DIRECTIVE.sub("", form):
            raise ArgumentError(f"`output_path`: {found[0]!r} in {path!r} does not have a valid format. {_KNOWN}")


def check_shared_path(path: Any, *, overwrite: Any) -> None:
    """Check the path that all instances of a mapped task share: it must be able to vary.

    :param path: the argument of ``partial()``; None if each instance has its own
    :raises ArgumentError: it has no placeholder and no template, or a placeholder is wrong
    """
    if path is None or is_template(path):
        return
    check_placeholders(path)
    if not overwrite and not _PLACEHOLDER.search(path):
        raise ArgumentError(
            f"`output_path`: all mapped tasks would write {path!r}. Add what differs between them to the path "
            "({start:%Y-%m-%d} if each has a window, otherwise {{ ti.map_index }}), or map output_path, too"
        )


def replace_placeholders(path: str, window: Window) -> str:
    """Replace ``{start}`` and ``{end}``, with or without a format, by the start and the end of the window in UTC.

    :raises ArgumentError: as :func:`check_placeholders`
    """
    check_placeholders(path)
    edges = {"start": window.start, "end": window.end}

    def value(found: re.Match[str]) -> str:
        return edges[found[1]].strftime(found[2] or _DEFAULT_FORMAT)

    return _PLACEHOLDER.sub(value, path)
