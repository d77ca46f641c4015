"""Links and pictures of the documents lead somewhere, and every page can be reached."""

from __future__ import annotations

import re

import pytest

from tests.helpers.documents import DOCUMENTS, PAGES, ROOT, anchors, links, name

TEXTS = {document: document.read_text() for document in DOCUMENTS}
SITE = (ROOT / "mkdocs.yml").read_text()
#: Pages of the site that scripts/docs_site/hooks.py makes from documents of the repository.
MADE = {"explanation/security.md", "contributing/index.md", "changelog.md"}


def dead(document):
    """Return the links of a document to files and headings that do not exist."""
    found = []
    for link in links(TEXTS[document]):
        path, _, anchor = link.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            found.append(link)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document):
    """Every file that a document links to exists, and every heading."""
    assert dead(document) == []


def test_links_are_found():
    """The functions above find links, headings and what is dead; the other tests depend on it."""
    assert sum(len(links(text)) for text in TEXTS.values()) > 200
    assert links("[a](b.md#c) ![d](e.png) [f](https://g)\n```sh\n[h](i)\n```") == ["b.md#c", "e.png"]
    assert anchors("# A `b`, c\n## A b c\n```\n# no\n```\n# [x](y.md)") == {"a-b-c", "a-b-c-1", "x"}


def test_the_site_has_every_page():
    """The navigation of the site names each page once, and no other."""
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES]
    named = re.findall(r"^ +- (?:[^:\n]+: )?(\S+\.md)$", SITE.split("\nnav:\n")[1], re.MULTILINE)
    assert sorted(named) == sorted([*pages, *MADE])


def test_the_site_makes_these_pages_of_documents():
    """``MADE`` is what the hooks of the site add."""
    source = (ROOT / "scripts" / "docs_site" / "hooks.py").read_text()
    made = dict(re.findall(r'^    "(\w+\.md)": "([\w/.]+)",$', source, re.MULTILINE))
    assert set(made.values()) == MADE
    assert [document for document in made if not (ROOT / document).is_file()] == []


def test_pictures_are_made_by_the_tests_of_the_web_ui():
    """Each picture of the documents is one that scripts/screenshots takes, and each of these is shown."""
    stored = {path.name for path in (ROOT / "docs" / "images").iterdir()}
    taken = {
        each
        for test in (ROOT / "tests" / "browser").glob("*.py")
        for each in re.findall(r'"([\w-]+\.png)"', test.read_text())
    }
    shown = {
        link.rpartition("/")[2] for text in TEXTS.values() for link in links(text) if link.endswith((".png", ".svg"))
    }
    assert stored == taken == shown
    assert re.findall(r"!\[\s*\]", "".join(TEXTS.values())) == [], "a picture without a description"
