"""What the site adds to MkDocs: pages of documents outside of docs/, links to the repository, copies as Markdown."""

from __future__ import annotations

import itertools
import os
import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
from docstrings import reference

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "https://github.com/airflow-provider-secoda/airflow-provider-secoda"
#: Documents of the repository that are pages of the site, too.
DOCUMENTS = {
    "SECURITY.md": "explanation/security.md",
    "CONTRIBUTING.md": "contributing/index.md",
    "CHANGELOG.md": "changelog.md",
}
#: The Markdown of each page as it is published, by the path of its source.
published: dict[str, str] = {}


def on_config(config: MkDocsConfig) -> None:
    """Give the site the address of its version, and the list of versions, where several are published."""
    published.clear()
    version = os.environ.get("SECODA_DOCS_VERSION")
    if version:
        config.site_url = f"{config.site_url}{version}/"
        config.extra["version"] = {"provider": "mike"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents of the repository."""
    for document, page in DOCUMENTS.items():
        files.append(File.generated(config, page, content=(ROOT / document).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Point links that leave the site at the repository, and write diagrams as tables."""
    text = re.sub(r"```mermaid\n(.*?)```", _table, markdown, flags=re.DOTALL)
    text = re.sub(r"<!-- example: \S+ -->\n", "", text)
    text = re.sub(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)", lambda link: _target(link[1], page.file.src_uri), text)
    published[page.file.src_uri] = text
    return text


def _target(link: str, page: str) -> str:
    """Return the link of a page: within the site if the site has the file, otherwise in the repository."""
    documents = {target: source for source, target in DOCUMENTS.items()}
    source = documents.get(page, f"docs/{page}")
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if not (ROOT / file).exists():
        return link  # MkDocs reports it
    if file in DOCUMENTS:
        file = f"docs/{DOCUMENTS[file]}"
    if not file.startswith("docs/"):
        version = os.environ.get("SECODA_DOCS_VERSION", "dev")
        commit = "main" if version == "dev" else f"v{version}"
        return f"{REPOSITORY}/{'tree' if (ROOT / file).is_dir() else 'blob'}/{commit}/{file}"
    return posixpath.relpath(file, posixpath.dirname(f"docs/{page}"))


def _table(diagram: re.Match[str]) -> str:
    """Return a diagram of imports as a table: drawing it would need a script of another host."""
    rows: dict[str, list[str]] = {}
    for name, targets in re.findall(r"^ +(\w+) --> (.+)$", diagram[1], re.MULTILINE):
        rows.setdefault(name, []).extend(f"`{each}`" for each in targets.split(" & "))
    lines = [f"| `{name}` | {', '.join(targets)} |" for name, targets in rows.items()]
    return "\n".join(["| package | imports |", "|---|---|", *lines])


def on_page_content(html: str, **_: object) -> str:
    """Write the heading of its column into each cell: on a phone, the cells of a row are below each other."""
    return re.sub(r"<table>.*?</table>", _labelled, html, flags=re.DOTALL)


def _labelled(table: re.Match[str]) -> str:
    """Return a table whose cells have the headings of their columns as ``data-label``."""
    headings = [re.sub(r"<[^>]+>|\"", "", each) for each in re.findall(r"<th[^>]*>(.*?)</th>", table[0], re.DOTALL)]
    columns = itertools.cycle(headings)
    return re.sub(r"<td", lambda _: f'<td data-label="{next(columns)}"', table[0])


def on_post_build(config: MkDocsConfig) -> None:
    """Write each page as Markdown next to its folder, and llms.txt, which lists them."""
    site = Path(config.site_dir)
    for source, text in published.items():
        path = site / source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(reference(text) if "\n::: " in text else text, encoding="utf-8")
    loaded = re.compile(r'<(?:script|img|link rel="(?:stylesheet|icon)")[^>]* (?:src|href)="(https?:[^"]+)')
    foreign = {address for page in site.rglob("*.html") for address in loaded.findall(page.read_text("utf-8"))}
    if foreign:
        raise PluginError(f"pages load files from other hosts: {sorted(foreign)}")
    (site / "llms.txt").write_text(_overview(config), encoding="utf-8")


def _overview(config: MkDocsConfig) -> str:
    """Return the list of pages for programs that read documentation (llmstxt.org)."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    for source in _in_order(config.nav or []):
        if isinstance(source, str) and source.endswith(".md"):
            lines.append(_entry(f"{config.site_url}{source}", published[source]))
        else:
            lines += ["", f"## {source}", ""]
    return "\n".join(lines) + "\n"


def _entry(address: str, page: str) -> str:
    """Return a line of llms.txt: the title of a page, and its first sentence."""
    title = re.search(r"^# (.+)$", page, re.MULTILINE)
    first = re.search(r"\A# .+\n+((?![#|!<:-]|```|\d+\. ).+(?:\n.+)*)", page)
    plain = re.sub(r"\[([^\]]+)\]\([^)]*\)|\s+", lambda found: found[1] or " ", first[1]) if first else ""
    sentence = re.split(r"(?<=[.:]) ", plain.replace("**", ""))[0]
    return f"- [{title[1] if title else address}]({address})" + (f": {sentence}" if sentence else "")


def _in_order(entries: list[object]) -> list[str]:
    """Return the headings and pages of the navigation in the order of the site."""
    found: list[str] = []
    for entry in entries:
        if isinstance(entry, dict):
            for heading, inside in entry.items():
                found += [inside] if isinstance(inside, str) else [heading, *_in_order(inside)]
        else:
            found.append(str(entry))
    return found
