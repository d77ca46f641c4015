"""Text of a server is harmless in a log: no terminal escapes, no additional lines, no endless text."""

import json
import logging
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from tests.helpers.rude_servers import RawServer, http

pytest.importorskip("airflow")

from airflow_provider_secoda._polling.wait import describe
from airflow_provider_secoda.client._api.timestamps import to_instant
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client._versions.history import Baseline
from airflow_provider_secoda.client.sync import SecodaClient
from airflow_provider_secoda.hooks.secoda import SecodaHook

UTC = timezone.utc
START, END = datetime(2026, 9, 5, tzinfo=UTC), datetime(2026, 9, 20, tzinfo=UTC)
#: Clears a terminal, sets its title, adds a line, writes from right to left, uses a C1 control character.
EVIL = "\x1b[2J\x1b]0;pwned\x07\rroot: all is well\x08\x9b31m\x7f\u202eevil\u2066\u200b\u2028line"
HARMFUL = set(EVIL) - set(" 0123456789JabcdefghijklmnopqrstuvwxyzP:;[]")


def harm(text):
    """Return the control characters of a string; line breaks are allowed in a long one."""
    return {char for char in text if not char.isprintable() and char != "\n"}


def test_the_search_finds_control_characters():
    """The search that the tests below use finds all of the characters."""
    assert harm(EVIL) == HARMFUL
    assert not harm("plain: Zoë 🦆")


def page(**record):
    record = {"id": "a", "logged_at": "2026-09-06T00:00:00Z", "created_at": "2026-09-06T00:00:00Z"} | record
    meta = {"page": 1, "count": 1, "total_pages": 1}
    return json.dumps({"results": [record], "count": 1, "total_pages": 1, "meta": meta}).encode()


def versions(**record):
    record = {"id": "a", "created_at": "2026-09-06T00:00:00Z", "resource_id": "R"} | record
    meta = {"page": 1, "count": 1, "total_pages": 1}
    return json.dumps(
        {"version_histories": [record], "non_versioned_logs": [], "count": 1, "total_pages": 1, "meta": meta}
    ).encode()


LATIN = EVIL.encode().decode("latin-1")
HEADER = LATIN.replace("\r", "")
ANSWERS = {
    "detail": http(json.dumps({"detail": EVIL}).encode(), status="401 Unauthorized"),
    "detail of a failing server": http(json.dumps({"detail": EVIL}).encode(), status="500 Oh"),
    "detail that is not a string": http(json.dumps({"detail": {EVIL: [EVIL]}}).encode(), status="400 Bad"),
    "reason": http(status=f"403 {HEADER}"),
    "content type": http(b"<html>", content_type=f"text/{HEADER}"),
    "location": http(status="302 Found", location=f"https://evil.example/{HEADER}"),
    "location on its own": http(status="302 Found", location=HEADER),
    "location of a port": http(status="302 Found", location=f"http://127.0.0.1:{HEADER}/"),
    "status line": LATIN.encode("latin-1") + b"\r\n\r\n",
    "status": f"HTTP/1.1 {HEADER} OK\r\n\r\n".encode("latin-1"),
    "length": http(content_length=HEADER),
    "encoding": http(content_encoding=HEADER),
    "chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + HEADER.encode("latin-1") + b"\r\n",
    "retry after": http(status="429 Slow", retry_after=HEADER),
    "timestamp": http(page(logged_at=EVIL)),
    "id": http(page(id=EVIL, logged_at="2026-09-06T00:00:00Z")),
    "id that is not a string": http(page(id=[EVIL])),
    "name of a field": http(json.dumps({EVIL: 1}).encode()),
    "id of a version": http(versions(id=EVIL)),
    "id of a version that is not a string": http(versions(id={EVIL: 1})),
}  # fmt: skip
USES = {
    "page": lambda hook: hook.list_audit_logs(),
    "window": lambda hook: list(hook.iter_audit_logs(START, END)),
    "versions": lambda hook: hook.poll_versions("R", Baseline(to_instant(START))),
    "test": lambda hook: hook.test_connection(),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("answer", ANSWERS)
def test_what_a_server_says(monkeypatch, caplog, answer, use):
    """Control characters of a server get into no error, no log and no message of a connection test."""
    for name in (None, "airflow", "airflow_provider_secoda"):
        caplog.set_level(logging.INFO, logger=name)
    with RawServer(ANSWERS[answer]) as server:
        fields = {"conn_type": "secoda", "password": "key-0123456789", "host": server.url}
        monkeypatch.setenv("AIRFLOW_CONN_MY_CONN", json.dumps(fields))
        hook = SecodaHook("my_conn")
        endpoint = replace(hook.settings.endpoint, timeout=2.0)
        hook._client = hook._poller = SecodaClient.from_endpoint(endpoint, RetryPolicy(attempts=1))
        said = ""
        try:
            found = USES[use](hook)
            said = found[1] if use == "test" else ""
        except Exception as error:  # noqa: BLE001 - any error
            said = str(error)
        assert server.requests
    text = said + "".join(record.getMessage() for record in caplog.records)
    assert harm(text) == set()
    assert len(text) < 3_000


def test_the_line_about_what_was_found(monkeypatch):
    """Any ids of versions are written to the task's log as plain text."""
    fields = {"conn_type": "secoda", "password": "key-0123456789"}
    with RawServer(ANSWERS["id of a version"]) as server:
        monkeypatch.setenv("AIRFLOW_CONN_MY_CONN", json.dumps(fields | {"host": server.url}))
        poll = SecodaHook("my_conn").poll_versions("R", Baseline(to_instant(START)))
    line = describe("R", poll.entries, "new_version")
    assert [entry.id for entry in poll.entries] == [EVIL]
    assert harm(line) == set()
    assert "\n" not in line
