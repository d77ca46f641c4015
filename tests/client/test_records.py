"""Records that are odd or cannot be used, over real sockets: both clients read them, or name them at once."""

import contextlib
import json
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_secoda.client._api.timestamps import format_instant, to_instant
from airflow_provider_secoda.client._audit_logs.output import WindowReport
from airflow_provider_secoda.client._audit_logs.window import WindowQuery, read_window
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client._versions.pages import read_version_histories
from airflow_provider_secoda.client.errors import SecodaPermissionError, SecodaResponseError
from airflow_provider_secoda.sandbox import Workspace
from tests.client.drivers import KEY, QUICK, Loop, Threads, page
from tests.helpers.rude_servers import RawServer, http

MARK = b"\xef\xbb\xbf"
#: As often as by default, but without the pauses.
PATIENT = RetryPolicy(base=0.001, cap=0.002)
LEAP = datetime(2017, 1, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)


@pytest.fixture(params=[Threads, Loop], ids=["sync", "async"])
def driver(request):
    """Return one of the drivers, as a context manager."""
    return lambda *arguments, **options: contextlib.closing(request.param(*arguments, **options))


def window(start, end):
    """Return the flow that reads a window."""
    return read_window(WindowQuery(to_instant(start), to_instant(end), "logged_at", None, 2), WindowReport())


def logs_of(client, start, end):
    """Return the logs of a window."""
    return [log for batch in client.emitted(window(start, end), concurrency=2) for log in batch]


@pytest.mark.parametrize("late", ["2016-12-31T23:59:60Z", "2016-12-31T23:59:60.75Z", "2017-01-01 05:29:60 +05:30"])
def test_a_leap_second_is_in_one_window(driver, secoda_sandbox_factory, late):
    """A leap second is in the day that it names, and not in the next one; both days are read without a retry."""
    workspace = Workspace()
    times = ["2016-12-31T23:59:59.9Z", late, late, "2017-01-01T00:00:00Z", "2017-01-01T00:00:00.25Z"]
    for number, at in enumerate(["2016-12-30T12:00:00Z", *times, "2017-01-02T12:00:00Z"]):
        workspace.add_log(id=f"log-{number}", logged_at=at)
    sandbox = secoda_sandbox_factory(workspace, page_size=3)
    with driver(sandbox.api_key, sandbox.url, policy=QUICK) as client:
        days = [logs_of(client, LEAP + number * DAY, LEAP + (number + 1) * DAY) for number in (-1, 0)]
        assert client.client.stats.retries == 0
    assert [sorted(log.id for log in day) for day in days] == [["log-1", "log-2", "log-3"], ["log-4", "log-5"]]
    assert {format_instant(log.at) for log in days[0]} == {"2016-12-31T23:59:59.900000Z", "2016-12-31T23:59:59.999999Z"}
    assert all(late in log.raw.decode() for log in days[0] if log.id != "log-1")


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ('"id": "log-7", "logged_at": "soon"', ("'log-7'", "page 1", "`logged_at`", "soon")),
        ('"id": "log-7"', ("'log-7'", "page 1", "`logged_at`", "missing")),
        ('"id": 7, "logged_at": "2017-01-01T00:00:00Z"', ("without an id", "page 1", "$.results[0].id")),
    ],
)
def test_a_log_that_cannot_be_read(driver, fields, names):
    """The read fails after one repetition: the third response would have the same log. The error names it."""
    body = f'{{"results": [{{{fields}}}], "count": 1, "total_pages": 1}}'.encode()
    with RawServer(http(body)) as server, driver(KEY, server.url, policy=PATIENT) as client:
        with pytest.raises(SecodaResponseError) as error:
            logs_of(client, LEAP, LEAP + DAY)
        assert client.client.stats.retries <= 2  # once for each end of the listing
    assert all(name in str(error.value) for name in names)


def test_a_log_that_can_be_read_the_second_time(driver):
    """A value that a server has not written yet may be there a moment later."""
    bad, good = (
        json.dumps({"results": [{"id": "a", "logged_at": at}], "count": 1, "total_pages": 1}).encode()
        for at in (None, "2017-01-01T00:00:00Z")
    )
    bodies = [bad, good]
    with (
        RawServer(lambda _: http(bodies.pop(0) if len(bodies) > 1 else good)) as server,
        driver(KEY, server.url, policy=PATIENT) as client,
    ):
        assert [log.id for log in logs_of(client, LEAP, LEAP + DAY)] == ["a"]


def test_an_incomplete_response_is_retried_as_before(driver):
    """A response that is not a page, or ends early, may be another one later: all attempts are made."""
    for body in (b'{"results": [{"id": "a"', b"<html>", b'{"detail": "busy"}'):
        with RawServer(http(body)) as server, driver(KEY, server.url, policy=QUICK) as client:
            with pytest.raises(SecodaResponseError):
                client.value(page())
            assert client.client.stats.requests == QUICK.attempts


def test_a_byte_order_mark(driver):
    """A byte-order mark before JSON is ignored: pages of logs, of versions, and the text of errors."""
    log = b'{"id": "a", "logged_at": "2017-01-01T00:00:00Z"}'
    logs = MARK + b'{"results": [' + log + b'], "count": 1, "total_pages": 1}'
    version = b'{"id": "v", "created_at": "2017-01-01T00:00:00Z"}'
    versions = MARK + b'{"version_histories": [' + version + b'], "non_versioned_logs": [], '
    versions += b'"count": 1, "total_pages": 1}'
    with RawServer(http(logs)) as server, driver(KEY, server.url) as client:
        assert [found.raw for found in logs_of(client, LEAP, LEAP + DAY)] == [log]
        assert client.value(page())["count"] == 1
    with RawServer(http(versions)) as server, driver(KEY, server.url) as client:
        assert client.value(read_version_histories("R")) == [version]
    refusal = http(MARK + b'{"detail": "You shall not pass"}', "403 Forbidden")
    with RawServer(refusal) as server, driver(KEY, server.url) as client:
        with pytest.raises(SecodaPermissionError, match="You shall not pass"):
            client.value(page())
