"""The form of a connection and the button that tests it, in a real browser."""

from __future__ import annotations

from tests.browser.where import DIALOG, field

NARROW = (584, 1400)  # its two parts stand beside each other in a picture
FAILED, SUCCESSFUL = "Test Connection Failed", "Test Connection Successful"


def test_the_form_asks_for_what_secoda_needs(page):
    """The form shows Secoda's fields under Secoda's names, and none that mean nothing to it."""
    page.begin_connection("secoda_default", view=NARROW)
    page.fill_in(API_key="not a key, only dots")
    shown = page.read("Base URL (self-hosted only)", "API key", "Port", within=DIALOG)
    for hidden in ("Login", "Schema", "Password", "Host"):
        assert hidden not in shown
    assert page.find(field("API key")).get_attribute("type") == "password"
    standard = page.snap(DIALOG)
    page.unfold("Extra Fields")
    shown = page.read("Customer domain", "Link to a resource", "Timeout", "Verify TLS", "Proxy", within=DIALOG)
    assert "Where the workspace lives: us (also when left empty), eu, apac or on_premise" in shown
    page.click(field("Region"))
    page.until(lambda: len(page.all("//*[@role='option']")) > 1, "the regions")
    assert page.text("//*[@role='option']").split() == ["us", "eu", "apac", "on_premise"]
    page.choose("Region", "eu")
    page.beside("connection-form.png", standard, page.snap(DIALOG))


def test_the_right_key(page, saved, sandbox):
    """The button tells where it got to and how many logs there are, with the saved key."""
    said = page.test(saved)
    page.picture("connection-test.png", (1200, 420))
    assert SUCCESSFUL in said
    assert f"Connected to Secoda at {sandbox.url}: the workspace shows {len(sandbox.workspace)} audit logs" in said


def test_a_wrong_key(page, sandbox):
    """A key that is unknown is told from all else, with what to do."""
    page.begin_connection("wrong_key", sandbox)
    page.fill_in(API_key="not-the-key")
    page.save()
    said = page.test("wrong_key")
    page.picture("connection-test-failed.png", (1200, 480))
    assert FAILED in said
    assert "Wrong API key: put a valid one into the connection." in said
    assert "401" in said


def test_a_key_of_no_admin(page, sandbox):
    """A key that may not read audit logs is told from a wrong one."""
    page.begin_connection("no_admin", sandbox)
    page.fill_in(API_key=sandbox.member_key)
    page.save()
    said = page.test("no_admin")
    assert FAILED in said
    assert "The API key is valid, but the person who made it is no workspace admin: let an admin make one." in said
    assert "403" in said


def test_a_wrong_address(page, sandbox):
    """An address where nobody listens is no matter of the key."""
    page.begin_connection("wrong_address", sandbox)
    page.fill_in(API_key=sandbox.api_key, Port="9")
    page.save()
    said = page.test("wrong_address")
    assert FAILED in said
    assert "Nothing listens at this address: check the host and its port." in said
    assert "http://127.0.0.1:9" in said


def test_on_premise(page):
    """Region and customer domain make the address of a workspace on premise; the proxy is what it is reached by."""
    page.begin_connection("on_premise")
    page.fill_in(API_key="a-key", Port="443")
    page.unfold("Extra Fields")
    page.choose("Region", "on_premise")
    page.fill_in(Customer_domain="acme", Proxy="http://127.0.0.1:9")  # so that nothing leaves this machine
    page.save()
    said = page.test("on_premise")
    assert FAILED in said
    assert "The proxy does not let us through: check the extra `proxy`" in said
    assert "https://acme.secoda.co" in said


def test_the_key_is_not_shown_again(page, saved, sandbox):
    """Whoever edits a connection does not see its key, and may leave it as it is."""
    page.edit(saved)
    assert page.find(field("API key")).get_attribute("value") == "***"
    assert sandbox.api_key not in page.driver.page_source
    page.fill_in(Description="Audit logs of our workspace")
    page.save()
    assert sandbox.api_key not in page.driver.page_source
    assert SUCCESSFUL in page.test(saved)


def test_without_a_port(page, sandbox):
    """The button refuses a saved connection without a port: Airflow's fault (#73298), and why the form shows one."""
    page.begin_connection("no_port", sandbox)
    page.fill_in(**{"API_key": sandbox.api_key, "Base_URL_(self-hosted_only)": sandbox.url, "Port": ""})
    page.save()
    said = page.test("no_port")
    assert "Bad Request" in said, "Airflow has mended it: the form need not show the port any more"
