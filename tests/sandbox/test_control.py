"""The control API, which other processes use."""

import pytest
import requests

from airflow_provider_secoda.sandbox import Workspace

from .conftest import AUDIT, RESOURCE, by, minutes


@pytest.fixture
def reader(serve):
    return serve(Workspace(minutes(3)))


def call(reader, method, path, **options):
    return requests.request(method, f"{reader.sandbox.url}/sandbox/{path}", timeout=10, **options)


def test_the_front_page(reader):
    """The front page says that the data is invented, and lists the calls."""
    page = call(reader, "GET", "").json()
    assert "invented" in page["what"]
    assert "PUT /sandbox/faults" in page["control"]


def test_the_versions_of_a_resource(reader):
    """The versions that were added are listed; an unknown resource has none."""
    added = [call(reader, "POST", "versions", json={"resource_id": "r/ö"}).json() for _ in range(2)]
    listed = call(reader, "GET", "versions", params={"resource_id": "r/ö"}).json()
    assert [version["id"] for version in listed] == [version["id"] for version in added]
    assert call(reader, "GET", "versions", params={"resource_id": "other"}).json() == []


def test_add_logs(reader):
    """One log, several logs, or an invented one can be added; the response is the complete log."""
    one = call(reader, "POST", "logs", json={"id": "X", "logged_at": "2026-10-14T13:00:00Z"})
    two = call(reader, "POST", "logs", json=[{"id": "Y"}, {"raw": '{"id": "Z", "n": 12345678901234567890}'}])
    assert (one.status_code, one.json()["performer_type"]) == (201, "USER")
    assert [log["id"] for log in two.json()] == ["Y", "Z"]
    assert call(reader, "POST", "logs").status_code == 201
    assert reader.page(sort=by())["count"] == 7


def test_add_a_version(reader):
    """A version can be added; the resource logs contain it as it was returned."""
    version = call(reader, "POST", "versions", json={"resource_id": "R", "id": "V"})
    assert version.status_code == 201
    assert reader.page(RESOURCE, resource_id="R")["version_histories"] == [version.json()]


def test_faults(reader):
    """PUT replaces all faults."""
    assert call(reader, "PUT", "faults", json={"cap": 2, "order": "reversed"}).json()["cap"] == 2
    assert reader.sandbox.faults.order == "reversed"
    assert call(reader, "PUT", "faults", json={"script": [["status", 429, {"Retry-After": "1"}], "cut"]}).ok
    assert (reader.sandbox.faults.cap, reader.sandbox.faults.order) == (None, "honoured")
    assert reader.get().headers["retry-after"] == "1"


def test_window(reader):
    """The window returns all its logs by either timestamp, also those that faults hide."""
    reader.sandbox.faults.hide = {"L001"}
    span = {"start": "2026-10-14T12:01:00Z", "end": "2026-10-14T12:02:00.1Z"}
    lines = call(reader, "GET", "window", params=span).content
    assert lines == b"".join(raw + b"\n" for raw in reader.sandbox.workspace.raw_logs[1:])
    created = call(reader, "GET", "window", params=span | {"timestamp_field": "created_at"}).content
    assert created == reader.sandbox.workspace.raw_logs[1] + b"\n"  # that of 12:02 was created 0.2 s later


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "logs", "x"),
        ("POST", "logs", "5"),
        ("POST", "logs", '{"ids": "X"}'),
        ("POST", "logs", '{"id": "L000"}'),
        ("POST", "versions", "{}"),
        ("PUT", "faults", '{"order": "x"}'),
        ("PUT", "faults", '{"orders": "reversed"}'),
        ("PUT", "faults", "[]"),
        ("PUT", "faults", '{"most_in_flight": 0}'),
        ("GET", "window", ""),
        ("GET", "window?start=2026-10-14&end=2026-10-15T00:00:00Z", ""),
    ],
)
def test_what_is_refused(reader, method, path, body):
    """An invalid body is 400 with the reason, and changes nothing."""
    answer = call(reader, method, path, data=body)
    assert answer.status_code == 400
    assert len(answer.json()["detail"]) > 5
    assert len(reader.sandbox.workspace) == 3


def test_stats(reader):
    """Requests are counted by path and status, without those of the control API; a reset clears them."""
    reader.get()
    reader.get(page=9)
    reader.get("/healthcheck")
    stats = call(reader, "GET", "stats").json()
    assert stats == {
        "requests": 3,
        "by_path": {AUDIT: {"200": 1, "404": 1}, "/healthcheck": {"200": 1}},
        "peak_in_flight": 1,
        "logs": 3,
    }
    call(reader, "POST", "reset-stats")
    assert call(reader, "GET", "stats").json()["requests"] == 0
