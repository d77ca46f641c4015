"""The code and the tests that SECURITY.md lists for each threat exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "airflow_provider_secoda"
TEXT = (ROOT / "SECURITY.md").read_text()
QUOTED = set(re.findall(r"`([^`\n]+)`", TEXT))
TESTS = sorted(one for one in QUOTED if one.startswith("tests/"))
PLACES = sorted(one for one in QUOTED if re.match(r"(?!tests/)[a-z_/]+\.py\b", one))
ROWS = [line for line in TEXT.split("## Threats")[1].splitlines() if re.match(r"\| (?!threat )[^-]", line)]


@cache
def names(path):
    """Return the names of the top-level functions and classes of a module."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, kinds)}


def test_something_is_named():
    """Threats, code and tests are found in the document: otherwise the tests below check nothing."""
    assert (len(ROWS) > 35, len(TESTS) > 50, len(PLACES) > 20) == (True, True, True)


@pytest.mark.parametrize("test", TESTS)
def test_every_proof_exists(test):
    """Each test that the document names exists."""
    file, _, name = test.partition("::")
    assert (ROOT / file).is_file()
    assert name in names(ROOT / file)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_exists(place):
    """Each module that the document names exists, with the function or class."""
    file, _, name = place.partition("::")
    found = next((root / file for root in (PACKAGE, ROOT) if (root / file).is_file()), None)
    assert found, file
    assert not name or name in names(found)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_every_threat_has_a_place_and_a_proof(row):
    """Each threat in a table has code that handles it and a test."""
    _, threat, where, proof, _ = re.split(r"(?<!\\)\|", row)
    assert threat.strip()
    assert where.strip()
    assert re.findall(r"`tests/[^`]+::test_[^`]+`", proof)


def test_links_lead_somewhere():
    """Each link leads to a file of this repository, and there is no e-mail address."""
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (ROOT / link.split("#")[0]).exists(), link
    assert not re.search(r"[\w.]+@[\w-]+\.(com|org|io|net)", TEXT.replace("my_conn@bucket", ""))
