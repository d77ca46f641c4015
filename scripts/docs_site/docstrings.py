"""Read docstrings, which are written in reStructuredText, as the Markdown of the site."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object


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
    return "\n".join(["| | |", "|---|---|", *(f"| {first} | {second} |" for first, second in rows)])


class Docstrings(Extension):
    """Convert the docstring of each object."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Convert the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)
