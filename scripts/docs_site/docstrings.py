"""Read docstrings, which are written in reStructuredText, as the Markdown of the site."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from griffe import Alias, Class, Extension, Function, Object, load, load_extensions

ROOT = Path(__file__).resolve().parents[2]


def markdown(text: str) -> str:
    """Return a docstring with roles, links and literal blocks as Markdown writes them."""
    text = re.sub(r":(?:class|func|meth|mod|attr|data|exc):`[~.]*([^`]+)`", r"`\1`", text)
    text = re.sub(r"`([^`<]+?)\s*<(https?://[^>]+)>`__?", r"[\1](\2)", text)
    text = re.sub(r"(?m)^::$", "", text)
    text = re.sub(r"::(\n\n +)", r":\1", text)
    return re.sub(r"(?m)^(=+ +=+)\n((?:.+\n)+?)\1$", _table, text)


def _table(table: re.Match[str]) -> str:
    """Return a simple table of two columns as a table of Markdown."""
    width = table[1].index(" ")
    rows: list[list[str]] = []
    for line in table[2].splitlines():
        first, second = line[:width].strip(), line[width:].strip()
        if first:
            rows.append([first, second])
        else:
            rows[-1][1] += f" {second}"
    return "\n".join(["| name | meaning |", "|---|---|", *(f"| {first} | {second} |" for first, second in rows)])


class Docstrings(Extension):
    """Convert the docstring of each object."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Convert the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)


@cache
def _package() -> Object | Alias:
    return load("airflow_provider_secoda", search_paths=[ROOT], extensions=load_extensions(Docstrings))


def reference(page: str) -> str:
    """Return a page of the reference as Markdown, with the docstrings in place of the lines ``::: module``."""

    def describe(line: re.Match[str]) -> str:
        module = _package()[line[1].partition(".")[2]]
        only = re.search(r"members: \[(.+)\]", line[2])
        names = only[1].split(", ") if only else module.exports or []
        parts = [_described(module, ""), *(_with_methods(module[name], line[1]) for name in names)]
        return "\n\n".join(part for part in parts if part) + "\n"

    return re.sub(r"^::: ([\w.]+)\n((?:    .*\n)*)", describe, page, flags=re.MULTILINE)


def _with_methods(alias: Object | Alias, module: str) -> str:
    """Return a class or function with its public methods."""
    subject = alias.final_target if isinstance(alias, Alias) else alias
    heading = f"## `{module}.{alias.name}`"
    methods = [each for name, each in subject.members.items() if not name.startswith("_") and each.is_function]
    return "\n\n".join([_described(subject, heading), *(_described(each, f"### `{each.name}`") for each in methods)])


def _described(subject: Object | Alias, heading: str) -> str:
    """Return the heading, the signature and the docstring of an object."""
    parts = [heading]
    if isinstance(subject, Function | Class) and subject.parameters:
        parts.append(f"```python\n{subject.signature()}\n```")
    text = subject.docstring.value if subject.docstring else ""
    text = re.sub(r"(?m)^:(return|raises \w+): ", r"- \1: ", text)
    parts.append(re.sub(r"(?m)^:param (\w+): ", r"- `\1`: ", text))
    return "\n\n".join(part for part in parts if part)
