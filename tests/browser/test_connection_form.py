"""The form of a connection and the button that tests it, in a real browser."""

from __future__ import annotations

from airflow_provider_secoda.signing import PrivateKeySigner, generate_key, key_id
from tests.browser.where import DIALOG, field

NARROW = (584, 1400)  # its two parts are next to each other in a picture
FAILED, SUCCESSFUL = "Test Connection Failed", "Test Connection Successful"


def test_the_form_has_the_fields_of_secoda(page):
    """The form shows the fields of Secoda with the labels of Secoda, and no unused fields."""
    page.begin_connection("secoda_default", view=NARROW)
    page.fill_in(API_key="not a key, only dots")
    shown = page.read("Base URL (self-hosted only)", "API key", "Port", within=DIALOG)
    for hidden in ("Login", "Schema", "Password", "Host"):
        assert hidden not in shown
    assert page.find(field("API key")).get_attribute("type") == "password"
    standard = page.screenshot(DIALOG)
    page.unfold("Extra Fields")
    shown = page.read("Customer domain", "Link to a resource", "Timeout", "Verify TLS", "Proxy", within=DIALOG)
    assert page.find(field("Proxy")).get_attribute("type") == "password"
    assert "Where the workspace lives: us (also when left empty), eu, apac or on_premise" in shown
    page.click(field("Region"))
    page.until(lambda: len(page.all("//*[@role='option']")) > 1, "the regions")
    assert page.text("//*[@role='option']").split() == ["us", "eu", "apac", "on_premise"]
    page.choose("Region", "eu")
    page.picture_in_a_row("connection-form.png", standard, page.screenshot(DIALOG))


def test_the_right_key(page, saved, sandbox):
    """With the saved key, the button shows the URL and the number of logs."""
    said = page.test(saved)
    page.picture("connection-test.png", (1200, 420))
    assert SUCCESSFUL in said
    assert f"Connected to Secoda at {sandbox.url}: the workspace has {len(sandbox.workspace)} audit logs" in said


def test_a_wrong_key(page, sandbox):
    """An unknown key has its own message, with what to do."""
    page.begin_connection("wrong_key", sandbox)
    page.fill_in(API_key="not-the-key")
    page.save()
    said = page.test("wrong_key")
    page.picture("connection-test-failed.png", (1200, 480))
    assert FAILED in said
    assert "The API key is wrong: set a valid one." in said
    assert "401" in said


def test_a_key_of_a_member(page, sandbox):
    """A key without permission to read audit logs has a message of its own."""
    page.begin_connection("no_admin", sandbox)
    page.fill_in(API_key=sandbox.member_key)
    page.save()
    said = page.test("no_admin")
    assert FAILED in said
    assert "The API key is valid, but the user who created it is not a workspace admin: let an admin" in said
    assert "403" in said


def test_a_wrong_address(page, sandbox):
    """The message for an address without a server is about host and port, not about the key."""
    page.begin_connection("wrong_address", sandbox)
    page.fill_in(API_key=sandbox.api_key, Port="9")
    page.save()
    said = page.test("wrong_address")
    assert FAILED in said
    assert "No server listens at this address: check the host and its port." in said
    assert "http://127.0.0.1:9" in said


def test_on_premise(page):
    """Region and customer domain give the URL of an on-premise workspace; the request goes through the proxy."""
    page.begin_connection("on_premise")
    page.fill_in(API_key="a-key", Port="443")
    page.unfold("Extra Fields")
    page.choose("Region", "on_premise")
    page.fill_in(Customer_domain="acme", Proxy="http://127.0.0.1:9")  # so that nothing leaves this machine
    page.save()
    said = page.test("on_premise")
    assert FAILED in said
    assert "The proxy refuses or cannot be reached: check the extra `proxy`" in said
    assert "https://acme.secoda.co" in said


def test_the_key_is_not_shown_again(page, saved, sandbox):
    """The form of a saved connection does not contain its key, and saving keeps the key."""
    page.edit(saved)
    assert page.find(field("API key")).get_attribute("value") == "***"
    assert sandbox.api_key not in page.driver.page_source
    page.fill_in(Description="Audit logs of our workspace")
    page.save()
    assert sandbox.api_key not in page.driver.page_source
    assert SUCCESSFUL in page.test(saved)


def test_without_a_port(page, sandbox):
    """The button fails for a saved connection without a port, a bug of Airflow (#73298): so the form has a port."""
    page.begin_connection("no_port", sandbox)
    page.fill_in(**{"API_key": sandbox.api_key, "Base_URL_(self-hosted_only)": sandbox.url, "Port": ""})
    page.save()
    said = page.test("no_port")
    assert "Bad Request" in said, "Airflow has fixed the bug: remove the port from the form"


def test_a_private_key(page):
    """A private key that is pasted into the form signs, although the field drops its line breaks, and is not shown."""
    pem = generate_key("p256").decode()
    page.begin_connection("audit_key", kind="Secoda signing key")
    page.paste("Private key (PEM)", pem)
    page.fill_in(Port="443")
    shown = page.read("Private key (PEM)", "Port", within=DIALOG)
    assert not {"Login", "Schema", "Host"} & set(shown.split())
    assert page.find(field("Private key (PEM)")).get_attribute("type") == "password"
    page.save()
    said = page.test("audit_key")
    assert SUCCESSFUL in said
    assert key_id(PrivateKeySigner.from_pem(pem).public_key) in said
    page.edit("audit_key")
    assert not any(line in page.driver.page_source for line in pem.splitlines()[1:-1])
