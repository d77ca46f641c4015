"""The private key of a connection: how it is stored, tested, shown in the form, and that it is in no log or error."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.get_provider_info import get_provider_info
from airflow_provider_secoda.hooks.signing_key import SecodaSigningKeyHook
from airflow_provider_secoda.signing import PrivateKeySigner, generate_key, key_id
from tests.hooks.test_key_stays import caught, everything_about, logged, pieces, redact  # noqa: F401 - a fixture

PEM = generate_key("p256").decode()
NAME = key_id(PrivateKeySigner.from_pem(PEM).public_key)
BODY = "".join(PEM.splitlines()[1:-1])


def store_uri(pem):
    return f"generic://:{quote(pem, safe='')}@"


def store_json(pem):
    return json.dumps({"conn_type": "secoda_signing_key", "password": pem})


STORED = {
    "JSON": store_json(PEM),
    "JSON, without line breaks": store_json(PEM.replace("\n", "")),
    "JSON, with blanks for line breaks": store_json(PEM.replace("\n", " ")),
    "JSON, escaped twice": store_json(PEM.replace("\n", "\\n")),
    "URI": store_uri(PEM),
    "URI, with the line breaks of Windows": store_uri(PEM.replace("\n", "\r\n")),
}


@pytest.mark.parametrize("value", STORED.values(), ids=STORED)
def test_a_key_is_read_as_it_is_stored(monkeypatch, value):
    """The key is read from a connection in JSON and in a URI, also if the line breaks were lost."""
    monkeypatch.setenv("AIRFLOW_CONN_MY_KEY", value)
    hook = SecodaSigningKeyHook("my_key")
    assert key_id(hook.get_conn().public_key) == NAME
    assert hook.get_conn() is hook.get_conn()


@pytest.mark.parametrize("value", STORED.values(), ids=STORED)
def test_the_key_is_masked_in_logs(monkeypatch, value):
    """No line of the key is logged, whether with line breaks or without; other text around it is."""
    monkeypatch.setenv("AIRFLOW_CONN_MY_KEY", value)
    SecodaSigningKeyHook("my_key").get_conn()
    for shown in (PEM, BODY, *PEM.splitlines(), PEM.replace("\n", "\\n"), PEM.replace("\n", " "), repr(PEM)):
        assert pieces(redact(f"before {shown} after"), BODY) == []
    assert redact("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


def test_the_test_of_a_connection(monkeypatch):
    """The test signs, and shows the id of the public key; for a wrong password it says what is wrong."""
    monkeypatch.setenv("AIRFLOW_CONN_MY_KEY", store_json(PEM))
    assert SecodaSigningKeyHook("my_key").test_connection() == (
        True,
        f"The private key signs. The id of its public key is {NAME}",
    )
    monkeypatch.setenv("AIRFLOW_CONN_MY_KEY", store_json(BODY))
    works, message = SecodaSigningKeyHook("my_key").test_connection()
    assert (works, message.startswith("`password`: the text is not PEM")) == (False, True)
    assert pieces(message, BODY) == []


def test_airflow_tests_the_connection_with_the_hook(airflow, monkeypatch):
    """Airflow finds the hook by the type of the connection."""
    from airflow.models.connection import Connection

    monkeypatch.setenv("AIRFLOW_CONN_MY_KEY", store_json(PEM))
    connection = Connection.from_json(store_json(PEM), conn_id="my_key")
    assert connection.test_connection() == SecodaSigningKeyHook("my_key").test_connection()


def test_the_form_hides_what_is_not_used():
    """The metadata and the method of Airflow before 3.2 describe the same form: a private key and a port."""
    (form,) = [
        form for form in get_provider_info()["connection-types"] if form["connection-type"] == "secoda_signing_key"
    ]
    shown = SecodaSigningKeyHook.get_ui_field_behaviour()
    assert shown["hidden_fields"] == form["ui-field-behaviour"]["hidden-fields"] == ["host", "login", "schema", "extra"]
    assert shown["relabeling"] == {"password": "Private key (PEM)"}
    assert shown["placeholders"].keys() == {"password", "port"}


@pytest.mark.parametrize(
    "password",
    [PEM[:-30], BODY, PEM.replace(BODY[:20], "x" * 20), PEM.replace("PRIVATE", "PUBLIC")],
    ids=["truncated", "without labels", "altered", "public"],
)
def test_no_error_shows_the_key(monkeypatch, logged, password):  # noqa: F811
    """An error about a damaged key has nothing of it: not in its text, nor in its traceback with local variables."""
    monkeypatch.setenv("AIRFLOW_CONN_MY_KEY", store_json(password))

    hook = SecodaSigningKeyHook("my_key")
    error = caught(hook.get_conn)
    assert isinstance(error, SecodaConfigurationError)
    for text in (everything_about(error), repr(hook), repr(vars(hook)), logged()):
        assert pieces(text, BODY) == []


def test_no_object_shows_the_key(monkeypatch, logged):  # noqa: F811
    """The hook and the signer show the id of the key only."""
    monkeypatch.setenv("AIRFLOW_CONN_MY_KEY", store_json(PEM))
    hook = SecodaSigningKeyHook("my_key")
    signer = hook.get_conn()
    for one in (hook, signer):
        assert pieces(f"{one!r} {one} {vars(one)!r}", BODY) == []
    assert NAME in repr(signer)
    assert pieces(logged(), BODY) == []
