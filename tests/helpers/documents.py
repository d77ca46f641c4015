"""The documents of the repository: their code blocks, headings and links."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PAGES, *sorted(ROOT.glob("benchmarks/*.md")), *ROOT.glob(".github/**/*.md")]


def name(document: Path) -> str:
    """Return the path of a document in the repository."""
    return document.relative_to(ROOT).as_posix()


def page(path: str) -> str:
    """Return the text of a page, by its path in ``docs``."""
    return (ROOT / "docs" / path).read_text()


def section(text: str, heading: str) -> str:
    """Return the text below a heading, until the next heading of the same level or a higher one."""
    level = heading.split(" ", maxsplit=1)[0]
    return re.split(rf"^#{{1,{len(level)}}} ", text.split(f"\n{heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language; one that is indented, as in a list, without its indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"(?m)^{indent}", "", code) for indent, code in found]


def prose(text: str) -> str:
    """Return what is not in a code block."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub and the site give to headings; a second heading has a number."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", heading)
        found.append(re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-"))
    return {f"{each}-{seen}" if (seen := found[:place].count(each)) else each for place, each in enumerate(found)}


def links(text: str) -> list[str]:
    """Return the targets of links and pictures that are not on another host."""
    return re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", prose(text))
