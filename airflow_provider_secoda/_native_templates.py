"""Arguments of DAGs with ``render_template_as_native_obj=True``: what was text stays text.

With this setting Airflow evaluates the text of every templated argument as a Python literal, also of those without a
template: the id ``"20260301"`` becomes a number. In a filter that would be another question to the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_secoda._arguments import ArgumentError, is_known

#: What the text of a literal may be evaluated to, other than text.
_LITERALS = (int, float, complex, bytes, list, tuple, dict, set, type(None))
_SETTING = "the DAG has render_template_as_native_obj=True, which evaluates the text of a template"


def keep_texts(task: Any, given: Mapping[str, Any]) -> None:
    """Make the rendered arguments of a task text again where the DAG file has text, and it is clear which.

    Text without a template is as the DAG file has it. An integer that a template renders to is its digits, except in a
    filter, where a number may be meant. Objects such as datetimes and dicts are as they are.

    :param given: the templated arguments as the DAG file passes them
    :raises ArgumentError: a template rendered to a value that may or may not have been text
    """
    for name, value in given.items():
        rendered = vars(task)[name]
        kept = _keep(name, value, rendered, may_be_number=name == "filter")
        if kept is not rendered:
            setattr(task, name, kept)


def _keep(where: str, given: Any, rendered: Any, *, may_be_number: bool) -> Any:
    if isinstance(given, Mapping) and isinstance(rendered, Mapping) and given.keys() == rendered.keys():
        return {
            key: _keep(f"{where}.{key}", given[key], value, may_be_number=may_be_number)
            for key, value in rendered.items()
        }
    if isinstance(given, list | tuple) and isinstance(rendered, list | tuple) and len(given) == len(rendered):
        return [
            _keep(f"{where}[{index}]", one, value, may_be_number=may_be_number)
            for index, (one, value) in enumerate(zip(given, rendered, strict=True))
        ]
    if not isinstance(given, str) or not isinstance(rendered, _LITERALS):
        return rendered
    if is_known(given):
        return given
    is_number = isinstance(rendered, int | float) and not isinstance(rendered, bool)
    if is_number and may_be_number:
        raise ArgumentError(
            f"`{where}`: {given!r:.80} rendered to the number {rendered!r:.40}: {_SETTING}, so text of digits is not "
            "distinguished from a number. Pass the complete filter as JSON text, with the value in quotes if it is text"
        )
    if isinstance(rendered, int) and is_number:
        return str(rendered)
    if is_number or rendered is None or isinstance(rendered, bool):
        raise ArgumentError(f"`{where}`: {given!r:.80} rendered to {rendered!r:.40}, which is not text: {_SETTING}")
    return rendered
