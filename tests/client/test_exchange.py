"""Sending, retries, backoff and errors: the effect of each response, without a clock or a socket."""

import json
import pickle
import random
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from airflow_provider_secoda.client import errors
from airflow_provider_secoda.client._api.flow import Call, Emit, Request, Response, once, several
from airflow_provider_secoda.client._http.exchange import RequestStats, exchange
from airflow_provider_secoda.client._http.responses import retry_after
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client.errors import (
    SecodaAuthenticationError,
    SecodaConnectionError,
    SecodaError,
    SecodaFatalError,
    SecodaNotFoundError,
    SecodaPermissionError,
    SecodaRateLimitError,
    SecodaRedirectError,
    SecodaRequestError,
    SecodaResponseError,
    SecodaRetriableError,
    SecodaServerError,
    SecodaTimeoutError,
    SecodaTLSError,
)

BASE = "https://secoda.example.com"
PATH = "/api/v1/activity_log/audit_logs/"
NOW = datetime(2026, 10, 14, 12, tzinfo=timezone.utc)
EPOCH = int(NOW.timestamp())
OK = Response(200, {}, b"page")


def call(name="1"):
    return Call(Request(PATH, (("page", name),)), lambda response: response.body.decode(errors="replace"))


def begin(flow, **options):
    wire = exchange(flow, base_url=options.pop("base_url", BASE), **options)
    return wire, next(wire)


def first(base_url=BASE, **policy):
    """Start one call; return the wire and its first attempt."""
    wire, (attempt,) = begin(once(call()), policy=RetryPolicy(**policy), base_url=base_url)
    return wire, attempt


def outcome(wire, attempt, answer):
    """Send an answer that ends the exchange; return the value or the error."""
    try:
        wire.send((attempt, answer))
    except StopIteration as stop:
        return stop.value
    except SecodaError as error:
        return error
    raise AssertionError("the exchange goes on")


def again(wire, attempt, answer):
    """Send an answer that leads to one more attempt; return that."""
    (repeated,) = wire.send((attempt, answer))
    return repeated


def test_a_429_is_retried_after_its_retry_after():
    """The same request is sent again, after exactly the pause of ``Retry-After``."""
    wire, attempt = first()
    assert attempt.pause == 0
    repeated = again(wire, attempt, Response(429, {"retry-after": "7"}))
    assert (repeated.call, repeated.request, repeated.pause) == (attempt.call, attempt.request, 7.0)
    assert outcome(wire, repeated, OK) == "page"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, SecodaAuthenticationError),
        (403, SecodaPermissionError),
        (404, SecodaNotFoundError),
        *((status, SecodaRequestError) for status in (400, 402, 405, 406, 409, 410, 413, 414, 422, 431, 451, 499)),
    ],
)
def test_final_errors(status, kind):
    """401, 403, 404 and every other 4xx fail at once, each as its own error with the status."""
    wire, attempt = first()
    error = outcome(wire, attempt, Response(status, {"retry-after": "1"}, b'{"detail": "so \\n it is"}'))
    assert (type(error), error.status, error.retriable) == (kind, status, False)
    assert str(status) in str(error)
    assert PATH in str(error)
    assert "(so it is)" in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, SecodaRateLimitError),
        *((status, SecodaServerError) for status in (408, 500, 501, 502, 503, 504, 520, 599)),
        *((status, SecodaResponseError) for status in (100, 201, 204, 206, 226, 300, 304, 305)),
    ],
)
def test_errors_that_are_retried(status, kind):
    """429, 408, 5xx and invalid responses are retried; the last error is raised."""
    wire, attempt = first(attempts=3)
    for _ in range(2):
        attempt = again(wire, attempt, Response(status))
    error = outcome(wire, attempt, Response(status))
    assert (type(error), error.status, error.retriable) == (kind, status, True)


@pytest.mark.parametrize(
    "error",
    [
        SecodaConnectionError("x", reason="refused"),
        SecodaTimeoutError("x"),
        SecodaResponseError("x"),
    ],
)
def test_errors_of_the_driver_that_are_retried(error):
    """Connection errors are retried as well, and are raised unchanged."""
    wire, attempt = first(attempts=2)
    attempt = again(wire, attempt, error)
    assert outcome(wire, attempt, error) is error


def test_an_untrusted_certificate_is_final():
    """An untrusted certificate is not retried."""
    wire, attempt = first()
    assert isinstance(outcome(wire, attempt, SecodaTLSError("x")), SecodaTLSError)


def test_a_body_that_cannot_be_read_is_retried():
    """A truncated or foreign body is retried too."""

    def read(response):
        if response.body == b"cut":
            raise SecodaResponseError("cut", path="$.results[3]")
        return response.body

    wire, (attempt,) = begin(once(Call(Request(PATH), read)), policy=RetryPolicy(attempts=2))
    attempt = again(wire, attempt, Response(200, {}, b"cut"))
    assert outcome(wire, attempt, OK) == b"page"


@pytest.mark.parametrize(
    ("header", "date", "pause"),
    [
        ("0", None, 0),
        ("7", None, 7),
        ("7.25", None, 7.25),
        (" 120 ", None, 120),
        ("0000000000000000007", None, 7),
        (NOW + timedelta(seconds=90), NOW, 90),
        (NOW + timedelta(seconds=90), NOW + timedelta(seconds=60), 30),
        (NOW + timedelta(seconds=90), "garbage", 95),  # then the time of the answer counts
        (NOW + timedelta(seconds=90), None, 95),
        ("Wed Oct 14 12:01:30 2026", NOW, 90),  # the three forms of RFC 9110, section 5.6.7
        ("Wednesday, 14-Oct-26 12:01:30 GMT", NOW, 90),
        (NOW + timedelta(seconds=90), "Wed Oct 14 12:00:00 2026", 90),
        (EPOCH + 90, NOW, 90),  # as some servers send it
        (EPOCH + 90, None, 95),
        (f"{EPOCH + 90}.5", NOW, 90.5),
        (f"{EPOCH + 90}125", NOW, 90.125),  # milliseconds
    ],
)
def test_retry_after(header, date, pause, monkeypatch):
    """Retry-After is in seconds or a time, which is compared with the server's clock, in any local time zone."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    __import__("time").tzset()
    is_date = isinstance(header, datetime)
    headers = {"retry-after": format_datetime(header, usegmt=True) if is_date else str(header)}
    if date is not None:
        headers["date"] = date if isinstance(date, str) else format_datetime(date, usegmt=True)
    wire, attempt = first()
    received = (NOW - timedelta(seconds=5)).timestamp()
    assert again(wire, attempt, Response(503, headers, received_at=received)).pause == pause
    monkeypatch.undo()
    __import__("time").tzset()


@pytest.mark.parametrize(
    "text", ["", " ", "-5", "7s", "soon", "1e3", ".5", "5.", "٧", "Wed, 99 Oct 2026 12:00:00 GMT", "\x00", ",", "inf"]
)
def test_an_invalid_retry_after(text):
    """A Retry-After that is neither seconds nor a date is ignored: the backoff is used."""
    wire, attempt = first(base=4.0)
    assert 2.0 <= again(wire, attempt, Response(429, {"retry-after": text})).pause <= 4.0


@pytest.mark.parametrize(
    "header",
    [
        *(format_datetime(NOW - timedelta(seconds=seconds), usegmt=True) for seconds in (0, 1, 3_600)),
        *(str(EPOCH - seconds) for seconds in (0, 1, 3_600, EPOCH - 1_000_000_000)),
        f"{EPOCH - 1}000",
    ],
)
def test_a_retry_after_that_has_passed(header):
    """A server whose clock is wrong gets retries with backoff, and not all of them at once."""
    wire, attempt = first(base=4.0)
    for longest in (4, 8, 16):
        attempt = again(wire, attempt, Response(429, {"retry-after": header, "date": format_datetime(NOW)}))
        assert longest / 2 <= attempt.pause <= longest


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("901", 901),
        (format_datetime(NOW + timedelta(hours=1), usegmt=True), 3_600),
        (str(EPOCH + 3_600), 3_600),
        (f"{EPOCH + 3_600}000", 3_600),
        *((text, 86_400) for text in ("86401", "999999999", "9" * 26, "9" * 400, "4102444800", "6000000000000000")),
        (format_datetime(NOW + timedelta(days=400), usegmt=True), 86_400),
    ],
)
def test_a_retry_after_beyond_the_limit(header, seconds):
    """A longer ``Retry-After`` than the limit is raised at once, with its seconds, which are at most a day."""
    wire, attempt = first(max_retry_after=900)
    error = outcome(wire, attempt, Response(429, {"retry-after": header, "date": format_datetime(NOW)}))
    assert isinstance(error, SecodaRateLimitError)
    assert error.retry_after == seconds


@given(
    st.one_of(
        st.text(max_size=40),
        st.integers(-(10**9), 10**18).map(str),
        st.floats().map(str),
        st.datetimes(timezones=st.just(timezone.utc)).map(lambda moment: format_datetime(moment, usegmt=True)),
    ),
    st.sampled_from(["retry-after", "x-ratelimit-reset"]),
)
def test_any_retry_after(text, name):
    """Any value is ignored, or is a pause from 0 seconds to a day."""
    headers = {name: text, "x-ratelimit-remaining": "0", "date": format_datetime(NOW)}
    seconds = retry_after(Response(429, headers, received_at=NOW.timestamp()))
    assert seconds is None or 0 <= seconds <= 86_400


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "40"}, 40),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(EPOCH + 40)}, 40),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(EPOCH + 40), "retry-after": "7"}, 7),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "40", "retry-after": "soon"}, 40),
        (
            {"x-ratelimit-remaining": "3", "x-ratelimit-reset": "40"},
            None,
        ),  # of another quota than the one that is used up
        ({"x-ratelimit-reset": "40"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "-1"}, None),
    ],
)
def test_a_quota_that_is_used_up(headers, pause):
    """A 429 without Retry-After says in ``X-RateLimit-Reset`` when its quota is available again."""
    wire, attempt = first(base=4.0)
    again_after = again(wire, attempt, Response(429, {"date": format_datetime(NOW)} | headers)).pause
    assert again_after == pause if pause else 2 <= again_after <= 4
    wire, attempt = first(base=4.0)
    assert again(wire, attempt, Response(503, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "40"})).pause <= 4


def test_a_retry_after_at_the_limit():
    """A ``Retry-After`` equal to the limit is waited for."""
    wire, attempt = first(max_retry_after=900)
    assert again(wire, attempt, Response(429, {"retry-after": "900"})).pause == 900


@given(
    st.integers(1, 40),
    st.floats(0.01, 10),
    st.floats(0.01, 100),
    st.integers(),
)
def test_backoff_is_capped_and_jittered(failures, base, cap, seed):
    """The n-th pause is between half and all of ``base * 2^(n-1)``, or of the cap."""
    pause = RetryPolicy(41, base, cap).delay(SecodaServerError("500"), failures, random.Random(seed))
    whole = min(cap, base * 2 ** (failures - 1))
    assert whole / 2 <= pause <= whole


def test_backoff_grows_from_failure_to_failure():
    """Each further failure of one request doubles its pause, until the attempts are used up."""
    wire, attempt = first(attempts=6, base=1.0, cap=4.0)
    pauses = []
    for _ in range(5):
        attempt = again(wire, attempt, Response(500))
        pauses.append(attempt.pause)
    for pause, whole in zip(pauses, [1, 2, 4, 4, 4], strict=True):
        assert whole / 2 <= pause <= whole
    assert len(set(pauses)) == 5
    assert isinstance(outcome(wire, attempt, Response(500)), SecodaServerError)


def test_the_counts():
    """Requests, repeats, 429s and pages are counted."""
    stats = RequestStats()
    wire, (attempt,) = begin(once(call()), stats=stats)
    for answer in (Response(500), Response(429), SecodaTimeoutError("x")):
        attempt = again(wire, attempt, answer)
    assert outcome(wire, attempt, OK) == "page"
    assert stats == RequestStats(requests=4, retries=3, throttled=1, pages=1)


def test_the_counts_of_failed_requests():
    """A 429 is counted whether or not the request is retried, and is not counted as a page."""
    stats = RequestStats()
    wire, (attempt,) = begin(once(call()), stats=stats, policy=RetryPolicy(attempts=2))
    attempt = again(wire, attempt, Response(429))
    assert isinstance(outcome(wire, attempt, Response(429)), SecodaRateLimitError)
    assert stats == RequestStats(requests=2, retries=1, throttled=2, pages=0)


def test_concurrency_is_limited_and_in_order():
    """Calls start in order, at most ``concurrency`` at a time, and one more for each that ends."""
    calls = [call(str(number)) for number in range(6)]
    wire, admitted = begin(several(calls), concurrency=3)
    assert [attempt.call for attempt in admitted] == calls[:3]
    under_way = list(admitted)
    for expected in (calls[3:4], calls[4:5], calls[5:6], [], []):
        step = wire.send((under_way.pop(1 if len(under_way) > 1 else 0), OK))
        assert [attempt.call for attempt in step] == expected
        under_way += step
    assert outcome(wire, under_way.pop(), OK) == ["page"] * 6


def test_a_429_pauses_the_others_and_halves_the_concurrency():
    """After a 429 its call is retried alone when the others have ended; then half as many calls are in flight."""
    calls = [call(str(number)) for number in range(40)]
    wire, (a, b, c, d) = begin(several(calls), concurrency=4)
    assert wire.send((a, Response(429, {"retry-after": "7"}))) == []
    assert wire.send((b, OK)) == []
    (scout,) = wire.send((c, OK))
    assert (scout.call, scout.pause) == (a.call, 7.0)
    assert wire.send((d, OK)) == []  # one alone, although two may fly
    under_way = wire.send((scout, OK))
    assert len(under_way) == 2
    peaks = []
    while len(peaks) < 25:
        under_way += wire.send((under_way.pop(0), OK))
        peaks.append(len(under_way))
    assert peaks == sorted(peaks)
    assert (peaks[0], peaks[-1]) == (2, 4)  # and slowly back to the requested concurrency


def test_several_429s_at_once_halve_once():
    """Four 429 responses of one burst halve the concurrency once."""
    wire, under_way = begin(several([call(str(number)) for number in range(20)]), concurrency=8)
    steps = [wire.send((attempt, Response(429, {"retry-after": "1"}))) for attempt in under_way]
    (scout,) = [attempt for step in steps for attempt in step]
    assert len(wire.send((scout, OK))) == 4


def test_pauses_of_one_burst_pass_together():
    """Pauses start at their response: a call whose pause passed while another one waited does not wait again."""
    start = NOW.timestamp()
    wire, (a, b, c) = begin(several([call(name) for name in "abc"]), concurrency=3)
    refused = Response(429, {"retry-after": "60"}, received_at=start)
    steps = [wire.send((attempt, refused)) for attempt in (a, b)]
    steps.append(wire.send((c, Response(429, {"retry-after": "100"}, received_at=start + 1))))
    (scout,) = [attempt for step in steps for attempt in step]
    assert 59 <= scout.pause <= 60
    (second,) = wire.send((scout, Response(200, {}, b"page", received_at=start + 61)))
    (third,) = wire.send((second, Response(200, {}, b"page", received_at=start + 62)))
    assert sorted([(second.call.request.params[0][1], second.pause), (third.call.request.params[0][1], third.pause)]) \
        in ([("b", 0.0), ("c", 39.0)], [("b", 0.0), ("c", 40.0)])  # fmt: skip


def test_a_call_that_fails_for_good_does_not_block_the_others():
    """When the refused call fails, the others continue."""
    wire, (a, b) = begin(several([call(name) for name in "abc"]), concurrency=2, policy=RetryPolicy(attempts=1))
    (third,) = wire.send((a, Response(429)))
    assert wire.send((b, OK)) == []
    results = outcome(wire, third, OK)
    assert [type(result) for result in results] == [SecodaRateLimitError, str, str]


def test_what_a_flow_emits_reaches_the_driver():
    """An emitted value reaches the driver without a request."""

    def flow():
        yield Emit("before")
        value = yield from once(call())
        yield Emit(value)
        return "end"

    wire = exchange(flow(), base_url=BASE)
    assert next(wire) == Emit("before")
    (attempt,) = next(wire)
    assert wire.send((attempt, OK)) == Emit("page")
    with pytest.raises(StopIteration) as stop:
        next(wire)
    assert stop.value.value == "end"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "path"),
    [
        (f"{BASE}/elsewhere/?page=1", "/elsewhere/"),
        (f"{BASE}/elsewhere/?page=2", "/elsewhere/"),
        (PATH, PATH),
        ("../audit_logs2/#x", "/api/v1/activity_log/audit_logs2/"),
        ("HTTPS://SECODA.example.com:443/x", "/x"),
        ("//secoda.example.com/x", "/x"),
        ("https://evil.com\\@secoda.example.com/x", "/x"),  # only the path of it is used
        ("https://u:p@secoda.example.com/x", "/x"),  # the same
    ],
)
def test_a_redirect_within_the_origin_is_followed(status, location, path):
    """A redirect within the origin is followed at once, with the query of the original request."""
    wire, attempt = first()
    followed = again(wire, attempt, Response(status, {"location": location}))
    assert (followed.request, followed.pause) == (Request(path, (("page", "1"),)), 0.0)
    assert outcome(wire, followed, OK) == "page"


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.com/",
        "https://api.secoda.co/api/v1/",
        "https://secoda.example.com.evil.com/",
        "https://x.secoda.example.com/",
        "http://secoda.example.com/x",
        "https://secoda.example.com:8443/x",
        "http://secoda.example.com:443/x",
        "//evil.com/x",
        "https://secoda.example.com@evil.com/x",
        "https://secoda.example.com\\@evil.com/x",
        "https://secoda.example.com:443@evil.com/x",
        "https://secoda.example.com:x/",
        "https://secoda.example.com",
        "https://[::1/",
        "ftp://secoda.example.com/x",
        "javascript:alert(1)",
        "data:text/html,x",
        "",
        None,
    ],
)
@pytest.mark.parametrize("status", [302, 308])
def test_a_redirect_that_leaves_the_origin_is_refused(location, status):
    """No redirect sends the key to another host, scheme or port; the error is final."""
    wire, attempt = first()
    error = outcome(wire, attempt, Response(status, {} if location is None else {"location": location}))
    assert (type(error), error.status) == (SecodaRedirectError, status)


@pytest.mark.parametrize(
    "location", ["///evil.com/x", "////evil.com/x", "/\\evil.com/x", "\\\\evil.com/x", "/.//evil.com"]
)
def test_a_path_that_looks_like_a_host_stays_a_path(location):
    """A path that browsers may read as a host is sent to the same origin, if at all."""
    wire, attempt = first()
    try:
        followed = again(wire, attempt, Response(302, {"location": location}))
    except SecodaRedirectError:
        return
    sent = requests.Request("GET", BASE + followed.request.path).prepare().url
    assert parse_url(sent).host == "secoda.example.com"


def test_the_error_of_a_refused_redirect_has_no_secrets():
    """The error has the other address, without user, password and query."""
    wire, attempt = first()
    error = outcome(
        wire, attempt, Response(302, {"location": "https://u:hunter2@evil.com/login?token=hunter3#hunter4"})
    )
    assert "evil.com/login" in str(error)
    assert "hunter" not in str(error)


def test_a_redirect_below_a_prefix():
    """A base URL with a path keeps its path: a redirect may not leave it, and requests go below it once."""
    wire, attempt = first(base_url=f"{BASE}/tools/secoda")
    followed = again(wire, attempt, Response(308, {"location": "/tools/secoda/api/v2/"}))
    assert followed.request == Request("/api/v2/", (("page", "1"),))
    error = outcome(wire, followed, Response(302, {"location": "/login"}))
    assert isinstance(error, SecodaRedirectError)
    assert "'https://secoda.example.com/login'" in str(error)


def test_redirects_in_a_loop():
    """Redirects that never end are an error, not a loop."""
    wire, attempt = first()
    for _ in range(3):
        attempt = again(wire, attempt, Response(302, {"location": PATH}))
    error = outcome(wire, attempt, Response(302, {"location": PATH}))
    assert isinstance(error, SecodaRedirectError)
    assert "loop" in str(error)


def test_a_redirected_request_is_retried_at_the_new_address():
    """Retries go to the address of the redirect."""
    wire, attempt = first()
    attempt = again(wire, attempt, Response(307, {"location": "/x/"}))
    assert again(wire, attempt, Response(500)).request == Request("/x/", (("page", "1"),))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"3",
        b'{"detail": null}',
        b'{"error": "x"}',
        b"\xff",
        b'{"detail": "\\ud800"}',
        b'{"detail": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"detail": ' + b"[" * 100_000,
        b'{"detail": ' + b"9" * 4000 + b"}",
        json.dumps({"detail": "long " * 10_000}).encode(),
        json.dumps({"detail": "red \x1b[31m\x07 text\u202e"}).encode(),
    ],
)
def test_bodies_of_errors(body):
    """An error with any body is reported by its status, in one short printable line."""
    wire, attempt = first()
    error = outcome(wire, attempt, Response(400, {}, body))
    assert type(error) is SecodaRequestError
    assert len(str(error)) < 400
    assert str(error).isprintable()


_HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "location", "date", "content-type"]),
    st.one_of(
        st.text(),
        st.sampled_from(
            ["7", "https://evil.com", "/x", "//x", "?", "Wed, 14 Oct 2026 12:01:30 GMT", "0, 1", "1 1 1 1 1"]
        ),
    ),
)
_ANSWERS = st.builds(Response, st.integers(100, 599), _HEADERS, st.binary(max_size=60), st.floats(0, 2e9))


@settings(max_examples=300)
@given(st.lists(_ANSWERS, min_size=1, max_size=4), st.integers(1, 4))
def test_any_answer_of_a_server(answers, attempts):
    """Any sequence of answers ends after a bounded number of requests, in a value or one of our errors."""
    wire, attempt = first(attempts=attempts)
    for number in range(1, 200):
        assert 0 <= attempt.pause <= 900
        assert attempt.request.path.startswith("/")
        try:
            (attempt,) = wire.send((attempt, answers[number % len(answers)]))
        except (StopIteration, SecodaError):
            assert number <= attempts + 4
            return
    raise AssertionError("it never ends")


def _kinds(kind=SecodaError):
    return {kind}.union(*(_kinds(inner) for inner in kind.__subclasses__()))


@pytest.mark.parametrize("kind", sorted(_kinds(), key=lambda kind: kind.__name__))
def test_every_error_survives_pickling(kind):
    """An error that crosses a process keeps its type, its text and its attributes."""
    options = {}
    if issubclass(kind, SecodaFatalError | SecodaResponseError):
        options["status"] = 418
    elif issubclass(kind, SecodaRetriableError) and kind is not SecodaConnectionError:
        options |= {"status": 503, "retry_after": 7.5}
    if kind is SecodaResponseError:
        options["path"] = "$.results[3]"
    if kind in (SecodaConnectionError, SecodaTLSError):
        options["reason"] = "protocol"
    error = kind("what went wrong", **options)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.retriable) == (kind, "what went wrong", error.retriable)
    assert vars(copy) == vars(error)
    assert {name: getattr(copy, name) for name in options} == options


def test_the_docstring_has_the_tree_of_errors():
    """The docstring shows every error below its parent."""
    drawn, parents = {}, {-1: "SecodaError"}
    for line in errors.__doc__.splitlines():
        before, found, rest = line.partition("─ ")
        if found:
            position = len(before) // 4
            name = rest.split()[0]
            drawn[name] = parents[max(level for level in parents if level < position)]
            parents = {level: parent for level, parent in parents.items() if level < position} | {position: name}
    real = {kind.__name__: kind.__base__.__name__ for kind in _kinds() if kind is not SecodaError}
    assert drawn == real
