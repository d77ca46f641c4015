"""The page that lists the installed providers, in a real browser."""

from __future__ import annotations

from airflow_provider_secoda import __version__
from tests.test_metadata import urls


def test_the_providers_page_describes_the_provider(page):
    """The row has the name with a link to the documentation, the version, and what the provider is for."""
    page.open("/providers")
    row = "//tr[.//*[normalize-space()='airflow-provider-secoda']]"
    page.read(__version__, "Audit logs and version histories of the data catalog Secoda", within=row)
    links = {link.text: link.get_attribute("href") for link in page.all(row + "//a")}
    assert links["airflow-provider-secoda"] == urls()["Documentation"]
