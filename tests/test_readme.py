"""The README is short, right, and complete on the package index; the table of tested features is complete."""

from __future__ import annotations

import ast
import re

import pytest

from tests.helpers.documents import ROOT, links, page

README = (ROOT / "README.md").read_text()
FEATURES = [
    row for row in page("contributing/tested_features.md").splitlines() if re.match(r"\| (?!feature )[^-]", row)
]


def test_the_readme_is_short():
    """A reader has seen the README after one or two screens."""
    assert len(README.splitlines()) <= 150


def test_the_two_commands():
    """The commands with which a reader begins are in the README, each in a block of its own."""
    for command in ("sh scripts/demo", "sh scripts/test"):
        assert f"\n```sh\n{command}\n```\n" in README


def on_the_index():
    """Return the README as pyproject.toml has it changed for the package index."""
    project = (ROOT / "pyproject.toml").read_text()
    text = README
    rules = re.findall(r"^pattern = '(.+)'\nreplacement = '(.+)'$", project, re.MULTILINE)
    assert len(rules) == 4
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text)
    return text


def test_links_on_the_package_index_are_absolute():
    """On the package index, pictures, pages and files have addresses of the version; no link is relative."""
    text = on_the_index()
    project = (ROOT / "pyproject.toml").read_text()
    urls = dict(re.findall(r'^(Repository|Documentation) = "(.+)"$', project, re.MULTILINE))
    assert len(links(README)) > 10
    assert [link for link in links(text) if not link.startswith("#")] == []
    raw = urls["Repository"].replace("github.com", "raw.githubusercontent.com")
    assert f"]({raw}/v$HFPR_VERSION/docs/images/result.png)" in text
    assert f"]({urls['Repository']}/blob/v$HFPR_VERSION/SECURITY.md)" in text
    assert f"]({urls['Documentation']}$HFPR_VERSION/)" in text
    assert f"]({urls['Documentation']}$HFPR_VERSION/tutorial/first_dag/)" in text
    assert f"]({urls['Documentation']}$HFPR_VERSION/how-to/)" in text


def test_there_are_features():
    """The table of features is found; the test below depends on it."""
    assert len(FEATURES) > 20


@pytest.mark.parametrize("row", FEATURES, ids=lambda row: row.split("|")[1].strip()[:40])
def test_every_feature_has_a_test(row):
    """Each row of the table of features names at least one test that exists."""
    proofs = re.findall(r"\[`(test_\w+)`\]\(\.\./\.\./(tests/[\w/]+\.py)\)", row.rsplit("|", 2)[1])
    assert proofs
    for name, file in proofs:
        assert name in {node.name for node in ast.parse((ROOT / file).read_text()).body if hasattr(node, "name")}
