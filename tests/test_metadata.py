"""What the package index shows of the provider: version, changelog and addresses agree with each other."""

from __future__ import annotations

import re
from pathlib import Path

from airflow_provider_secoda import __version__
from airflow_provider_secoda.get_provider_info import get_provider_info

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text()


def urls():
    """Return the table `[project.urls]`; Python 3.10 has no parser of TOML."""
    return dict(
        re.findall(r'^(\w+) = "(.+)"$', PROJECT.partition("[project.urls]\n")[2].partition("\n[")[0], re.MULTILINE)
    )


def test_the_version_is_in_one_place():
    """Only get_provider_info.py states the version; the build and Airflow read it there."""
    assert 'dynamic = ["readme", "version"]' in PROJECT
    assert get_provider_info()["versions"] == [__version__]


def test_the_changelog_has_a_heading_for_the_version():
    """CHANGELOG.md begins with the version of the code; the released ones below it have a date."""
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert re.fullmatch(rf"{re.escape(__version__)} \((unreleased|\d{{4}}-\d\d-\d\d)\)", headings[0]), headings[0]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", heading) for heading in headings[1:])


def test_every_address_of_the_project_is_derived_from_the_repository():
    """The address of the repository is in pyproject.toml; every other address of the project begins like it."""
    owner, name = re.fullmatch(r"https://github\.com/([\w-]+)/([\w-]+)", urls()["Repository"]).groups()
    beginnings = (urls()["Repository"], f"https://{owner}.github.io/{name}/")
    assert urls()["Documentation"] == beginnings[1]
    assert [url for url in urls().values() if not url.startswith(beginnings)] == []


def test_every_file_that_an_address_names_exists():
    """The files in the addresses of `[project.urls]` are in the repository."""
    named = [url.partition("/blob/main/")[2] for url in urls().values() if "/blob/main/" in url]
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []
