"""Retries are logged: why, what is requested again, and when; the first of a kind and then one line in 30 seconds."""

import contextlib
import logging
import re
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_secoda.client._api.flow import Call, Request, Response, once
from airflow_provider_secoda.client._http import retry_log
from airflow_provider_secoda.client._http.exchange import Attempt, exchange
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client._http.retry_log import RetryLog
from airflow_provider_secoda.client.errors import SecodaConnectionError, SecodaRateLimitError, SecodaServerError
from airflow_provider_secoda.sandbox import Workspace
from tests.client.drivers import KEY, MONTH, QUICK, Loop, Threads, page, pieces
from tests.helpers.rude_servers import RawServer, free_port, header, http

LOGGER = "airflow_provider_secoda.client._http.retry_log"


@pytest.fixture(params=[Threads, Loop], ids=["sync", "async"])
def driver(request):
    """Return one of the drivers, as a context manager."""
    return lambda *arguments, **options: contextlib.closing(request.param(*arguments, **options))


@pytest.fixture
def month(secoda_sandbox_factory):
    return secoda_sandbox_factory(Workspace.generate(**MONTH), page_size=20)


@pytest.fixture
def lines(caplog):
    """Return a function that returns the lines about retries so far."""
    caplog.set_level(logging.INFO, logger=LOGGER)
    return lambda: [record.getMessage() for record in caplog.records if record.name == LOGGER]


def test_a_retry_is_logged(driver, month, lines):
    """The line of a retry has the error with the host, the page, the pause and its end, and the number of attempts."""
    month.faults.script = [503]
    with driver(month.api_key, month.url, policy=RetryPolicy(base=0.2)) as client:
        begin = datetime.now(timezone.utc)
        client.value(page(7))
    (line,) = lines()
    found = re.fullmatch(
        rf"Secoda answered 503 to {month.url}/api/v1/activity_log/audit_logs/.*; "
        r"waiting (0\.[12]) s, until (.*)Z, to request page 7 again \(attempt 2 of 8\)",
        line,
    )
    assert found, line
    end = datetime.fromisoformat(found[2]).replace(tzinfo=timezone.utc)
    assert timedelta(seconds=-1) < end - begin < timedelta(seconds=5)


def test_a_pause_after_a_429_is_logged(driver, month, lines):
    """A server that limits requests is named with the time for which it is left alone."""
    month.faults.script = [("status", 429, {"retry-after": "1"})]
    with driver(month.api_key, month.url) as client:
        client.value(page(), policy=RetryPolicy())
    (line,) = lines()
    assert "answered 429" in line
    assert "too many requests" in line
    assert "waiting 1.0 s, until " in line


def test_each_kind_of_error_is_logged_once(driver, month, lines):
    """The first retry of each kind is logged, and further ones within 30 seconds are not, in any number of reads."""
    month.faults.script = [503, 503, 503, 429, "cut", "html", 500, 503, 429]
    with driver(month.api_key, month.url, policy=RetryPolicy(attempts=10, base=0.001)) as client:
        client.value(page())
        month.faults.script = [503, 429, "cut"]
        client.value(page())
    assert [re.search(r"answered (\d+)|connection broke|text/html", line)[0] for line in lines()] == [
        *("answered 503", "answered 429", "connection broke", "text/html", "answered 500"),
    ]
    assert [line.count(month.url) for line in lines()] == [1] * 5
    assert [line for line in lines() if "2 more retries since the last line" in line] == lines()[1:2]


def test_a_record_that_cannot_be_read_is_requested_twice(driver, lines):
    """The line says how often the request is sent at most, which depends on the error."""
    log = b'{"results":[{"id":"a","logged_at":"soon"}],"count":1,"total_pages":1,"meta":{"page":1}}'

    def read(response):
        from airflow_provider_secoda.client._api.audit_log_page import read_audit_logs

        return read_audit_logs(response, 1, "logged_at")

    with RawServer(http(log)) as server, driver(KEY, server.url, policy=QUICK) as client:
        with pytest.raises(Exception, match="a"):
            client.value(once(Call(Request("/x"), read)))
    assert ["(attempt 2 of 2)" in line for line in lines()] == [True]
    assert len(server.requests) == 2


def test_a_server_that_is_down_is_logged(driver, lines):
    """A server that does not respond leaves lines before the error is raised."""
    with driver(KEY, f"http://127.0.0.1:{free_port()}", policy=QUICK) as client:
        with pytest.raises(SecodaConnectionError):
            client.value(page())
    assert ("the connection was refused" in lines()[0], "(attempt 2 of 3)" in lines()[0]) == (True, True)


def test_what_is_not_retried_is_not_logged(driver, month, lines):
    """A read without retries, and an error that is raised at once, leave no line."""
    with driver(month.api_key, month.url, policy=QUICK) as client:
        client.value(page())
        month.faults.script = [404]
        with pytest.raises(Exception, match="404"):
            client.value(page())
    assert lines() == []


@pytest.mark.parametrize("status", [200, 429, 500])
def test_the_key_is_not_logged(driver, lines, status):
    """A server that repeats the key in a response that leads to a retry does not get it into the log."""

    def answer(request):
        sent = header(request, "Authorization")
        body = (
            f'{{"results": [{{"id": "a", "logged_at": "{sent}"}}], "count": 1, "total_pages": 1, "detail": "{sent}"}}'
        )
        return http(body.encode(), status=f"{status} {sent}")

    def read(response):
        from airflow_provider_secoda.client._api.audit_log_page import read_audit_logs

        return read_audit_logs(response, 1, "logged_at")

    with RawServer(answer) as server, driver(KEY, server.url, policy=QUICK) as client:
        with pytest.raises(Exception, match=r"\*\*\*"):
            client.value(once(Call(Request("/x"), read)))
    assert len(lines()) > 0
    assert pieces("".join(lines())) == []


class Clock:
    """The time of the log, which only the test moves on."""

    def __init__(self, monkeypatch):
        self.now = 1_000.0
        monkeypatch.setattr(retry_log.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.mark.parametrize("outcome", [Response(503), Response(429), SecodaConnectionError("x", reason="refused")])
def test_a_long_failure_is_never_silent_for_long(clock, lines, outcome):
    """While a server fails for as long as it is retried, each pause has ended 30 s after one that was logged."""
    call = Call(Request("/x", (("page", "4"),)), lambda response: response)
    wire = exchange(once(call), base_url="https://x.test", policy=RetryPolicy(), retry_log=RetryLog(str))
    (attempt,) = next(wire)
    announced, logged = 0.0, 0
    with pytest.raises((SecodaServerError, SecodaRateLimitError, SecodaConnectionError)):
        while True:
            (attempt,) = wire.send((attempt, outcome))
            if len(lines()) > logged:
                logged, announced = len(lines()), clock.now + attempt.pause
            clock.now += attempt.pause
            assert clock.now <= announced + 30
    assert 2 <= len(lines()) <= 4
    assert all("to request page 4 again" in line for line in lines())


def test_frequent_retries_are_one_line_in_30_seconds(clock, lines):
    """Many retries of one kind leave a line every 30 seconds, with their number."""
    log, error = RetryLog(str), SecodaServerError("500", status=500)
    attempt = Attempt(Call(Request("/x"), str), Request("/x"), pause=0.5, failures=1)
    for _ in range(700):
        log.record(attempt, error, 8)
        clock.now += 0.125
    assert len(lines()) == 3
    assert [line.rpartition("; ")[2] for line in lines()[1:]] == ["239 more retries since the last line"] * 2


def test_a_long_pause_is_always_logged(clock, lines):
    """A pause that ends long after what was logged is logged, also right after another line of the same kind."""
    log, error = RetryLog(str), SecodaRateLimitError("429", status=429)
    attempt = Attempt(Call(Request("/x"), str), Request("/x"), pause=5.0, failures=1)
    for pause in (5.0, 6.0, 900.0, 900.0, 901.0):
        log.record(Attempt(attempt.call, attempt.request, pause, failures=1), error, 8)
        clock.now += 0.2
    assert [re.search(r"waiting (\S+) s", line)[1] for line in lines()] == ["5.0", "900.0"]
