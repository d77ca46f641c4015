"""The connection form of Airflow 2, in a real browser: Airflow 3 has another one, which tests/browser tests."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

import pytest

from tests.helpers import airflow_runs


@pytest.fixture
def page(standalone):
    """Return a browser window on the form for a new connection, with the type Secoda."""
    if airflow_runs.version() >= (3,):
        pytest.skip("Airflow 3 has another form")
    missing = [program for program in ("chromium", "chromedriver") if shutil.which(program) is None]
    if missing or find_spec("selenium") is None:
        message = f"needs selenium, {', '.join(missing)} (on Debian: apt-get install chromium chromium-driver)"
        (pytest.fail if os.environ.get("SECODA_BROWSER") == "required" else pytest.skip)(message)
    from tests.browser.page import Page, chromium

    standalone.start()
    with chromium() as driver:
        page = Page(driver, standalone.url)
        page.open("/connection/add", (1200, 2000))
        page.find("//*[@id='conn_id']")
        driver.execute_script("$('#conn_type').val('secoda').trigger('change')")
        yield page


def test_the_form_and_its_test(page, standalone):
    """The form has the fields of Secoda and no others; its button tests what was entered, before it is saved."""
    shown = page.read("API key", "Base URL (self-hosted only)", "Region", "Customer domain", "Verify TLS", "Proxy")
    assert not {"Login", "Schema", "Password", "Host"} & set(shown.splitlines())
    for field in ("password", "extra__secoda__proxy"):
        assert page.find(f"//*[@id='{field}']").get_attribute("type") == "password"
    page.write("//*[@id='conn_id']", "from_the_form")
    page.write("//*[@id='host']", standalone.sandbox.url)
    page.write("//*[@id='password']", "not-the-key")
    page.click("//*[@id='test-connection']")
    page.read("The API key is wrong: set a valid one.")
    page.write("//*[@id='password']", standalone.sandbox.api_key)
    page.click("//*[@id='test-connection']")
    page.read(f"Connected to Secoda at {standalone.sandbox.url}")
