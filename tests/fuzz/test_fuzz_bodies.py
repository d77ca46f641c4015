"""Readers turn any body into pages whose records are the bytes that were sent, or into an error of the client."""

import json
import time
import tracemalloc
from datetime import datetime, timezone
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_secoda.client._api.audit_log_page import read_audit_logs
from airflow_provider_secoda.client._api.decoding import read_json
from airflow_provider_secoda.client._api.flow import Call, Emit, Request, Response, once
from airflow_provider_secoda.client._api.json_checks import load
from airflow_provider_secoda.client._api.resource_log_page import read_resource_logs
from airflow_provider_secoda.client._api.timestamps import to_instant
from airflow_provider_secoda.client._audit_logs.output import WindowReport
from airflow_provider_secoda.client._audit_logs.window import WindowQuery, read_window
from airflow_provider_secoda.client._http.exchange import exchange
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client._versions.history import Baseline
from airflow_provider_secoda.client._versions.pages import read_version_histories
from airflow_provider_secoda.client._versions.poll import poll_versions
from airflow_provider_secoda.client.errors import SecodaError, SecodaLimitError, SecodaResponseError
from tests.fuzz.fuzzing import AT, audit_pages, bodies, fuzzed, resource_pages, tried

START, END = (to_instant(datetime(2026, 10, day, tzinfo=timezone.utc)) for day in (14, 15))


def answer(body, status=200, headers=None):
    return Response(status, headers or {"content-type": "application/json"}, body, 1_760_000_000.0)


def ours(read, *arguments):
    """Return what a reader returns, or None if it raises an error of the client, which must be short and picklable."""
    try:
        return read(*arguments)
    except (SecodaResponseError, SecodaLimitError) as error:
        text = str(error)
    assert len(text) < 1_000
    assert text.isprintable()
    return None


def untouched(raws, body):
    """Check that records are in a body, one after the other, and are JSON objects that can be encoded again."""
    position = 0
    for raw in raws:
        position = body.index(raw, position) + len(raw)
        decoded = json.loads(raw, parse_int=str, parse_float=str)
        assert isinstance(decoded, dict)
        json.dumps(decoded)


@fuzzed(120)
@given(st.one_of(audit_pages, audit_pages, bodies), st.sampled_from(["logged_at", "created_at"]))
def test_pages_of_logs(body, field):
    """A page of logs: each accepted log is as it was sent, and says what every JSON reader reads in it."""
    page = ours(read_audit_logs, answer(tried(body)), 1, field)
    if page is not None:
        untouched([log.raw for log in page.logs], body)
        for log in page.logs:
            if find_spec("airflow"):
                from airflow_provider_secoda._events.watchers import log_payload

                json.dumps(log_payload(log.raw), allow_nan=False, ensure_ascii=False).encode()
            json.dumps(load(log.raw))
            pairs = json.loads(log.raw, object_pairs_hook=list, parse_int=str, parse_float=str)
            assert {value for name, value in pairs if name == "id"} in ({log.id}, {_mended(log.id)}, set(_all(pairs)))
            assert len({json.dumps(value) for name, value in pairs if name == field}) == 1
    whole = ours(read_json, answer(body))
    if whole is not None:
        assert page is None or whole["count"] == page.count
        json.dumps(whole)


def _mended(text):
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _all(pairs):
    return (value for name, value in pairs if name == "id")


@fuzzed(60)
@given(st.one_of(resource_pages, resource_pages, bodies))
def test_pages_of_versions(body):
    """Each accepted version history is as it was sent, and can be an event or an XCom."""
    page = ours(read_resource_logs, answer(tried(body)), 1)
    if page is not None:
        untouched([version.raw for version in page.versions], body)
        try:
            entries = Baseline(START).new_entries([page], START)
        except SecodaResponseError:
            return
        for entry in entries if find_spec("pendulum") else ():  # Airflow installs it, the client does not need it
            from airflow_provider_secoda._polling.wait import summaries

            (payload,) = summaries([entry])
            json.dumps(payload, allow_nan=False).encode()


STATUSES = st.sampled_from([200, 200, 200, 200, 429, 500, 503, 404, 401, 400, 302, 308, 204, 100, 999])
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["application/json", "text/html; charset=x", "", ";", "\u0130/json"])
        | st.text(),
        "retry-after": st.sampled_from(["0", "1", "-1", "1e9", "\u0661", "99999999999999999999"]) | st.text(),
        "location": st.sampled_from(["/api/v1/x", "//[", "https://[::1", "\0", "?", "http://a@b/"]) | st.text(),
        "date": st.text(),
    },
)
RULES = {
    "page": lambda: once(Call(Request("/x"), read_json)),
    "window": lambda: read_window(WindowQuery(START, END, "logged_at", None, 2), WindowReport()),
    "stored": lambda: read_window(WindowQuery(START, END, "created_at", None, 2), WindowReport()),
    "versions": lambda: read_version_histories("R"),
    "poll": lambda: poll_versions("R", Baseline(START)),
}


@fuzzed(60)
@given(
    st.sampled_from(sorted(RULES)),
    st.lists(st.tuples(STATUSES, HEADERS, bodies), min_size=1, max_size=6),
    st.randoms(),
)
def test_the_complete_exchange(rule, answers, rng):
    """With any answers in any order, a flow ends with a value or an error of the client; pauses stay bounded."""
    policy = RetryPolicy(attempts=3)
    wire = exchange(RULES[rule](), base_url="https://api.secoda.co", policy=policy, concurrency=2, rng=rng)
    under_way, step = [], next(wire)
    try:
        for turn in range(60):
            if isinstance(step, Emit):
                untouched([log.raw for log in step.value], b"".join(log.raw for log in step.value))
                step = next(wire)
                continue
            under_way += step
            assert all(0 <= attempt.pause <= policy.max_retry_after for attempt in step)
            assert all("api.secoda.co" not in attempt.request.path for attempt in step)
            status, headers, body = answers[turn % len(answers)]
            attempt = under_way.pop(rng.randrange(len(under_way)))
            step = wire.send((attempt, answer(tried(body), status, headers)))
    except (StopIteration, SecodaError):
        pass
    finally:
        wire.close()


MIB = 1 << 20
LOG = b'{"id":"a","logged_at":' + AT + b',"x":%b}'
PAGE = b'{"results":[%b],"count":1,"total_pages":1}'


@pytest.mark.parametrize(
    "body",
    [
        PAGE % (LOG % (b'"' + b"y" * 10 * MIB + b'"')),
        PAGE % (LOG % (b'"' + b"\\ud83e" * (MIB // 8) + b'"')),
        PAGE % (LOG % (b'"' + b"\\\\" * 5 * MIB + b'"')),
        PAGE % (LOG % (b"9" * 10 * MIB)),
        PAGE % (LOG % (b"[" * 5 * MIB + b"]" * 5 * MIB)),
        PAGE % (LOG % (b"[" + b"[]," * 3 * MIB + b"[]]")),
        PAGE % (LOG % (b'"' + b'ed_at\\"' * MIB + b'"')),
        PAGE % b",".join([LOG % b"1"] * 8_000),
        PAGE % b" ,\n".join([LOG % b"1"] * 8_000),
        PAGE % b",".join([b'{"x":"\\ud83e","id":"a","logged_at":' + AT + b"}"] * 8_000),
        b'{"results":[],"count":' + b"9" * 10 * MIB + b',"total_pages":1}',
        b'{"results":[],"count":1,"total_pages":1' + b',"x":1' * MIB + b"}",
        b'{"' + b"\\" * 10 * MIB,
        b" " * 10 * MIB,
        b"\xff" * 10 * MIB,
        (PAGE % b"").ljust(10 * MIB),
    ],
    ids=[
        *["text", "half pairs", "backslashes", "digits", "deep", "wide", "names in text", "logs", "odd separators"],
        *["half a pair in each", "a count", "a name many times", "no end", "nothing", "no text", "nearly nothing"],
    ],
)
def test_megabytes(body):
    """Megabytes of anything are read or refused in seconds, in a few times their memory."""
    tried(body)
    tracemalloc.start()
    begin = time.process_time()
    try:
        page = ours(read_audit_logs, answer(body), 1, "logged_at")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - begin < 10
    assert peak < 16 * len(body)  # Python's objects are many times larger than their JSON
    if page is not None:
        assert all(log.raw in body for log in page.logs[:3])
