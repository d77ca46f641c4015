"""With any bytes from a socket, both clients end with a value or an error of theirs, and can still be used."""

import gzip
import time
import zlib
from functools import partial
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_secoda.client._api.decoding import read_json
from airflow_provider_secoda.client._api.endpoint import Limits
from airflow_provider_secoda.client._api.flow import Call, Request, Response, once
from airflow_provider_secoda.client._audit_logs.listing import AUDIT_LOGS_PATH
from airflow_provider_secoda.client._versions.pages import resource_logs_call
from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaError
from tests.client.drivers import KEY, Loop, Threads
from tests.fuzz.fuzzing import audit_pages, fuzzed, odd, tried
from tests.helpers.rude_servers import RawServer, http

LIMITS = Limits(body_bytes=100_000, decompressed_bytes=50_000, answer_seconds=10)


@pytest.fixture(scope="module")
def place():
    """Return a server that sends given bytes, and both clients, which keep their connections."""
    with RawServer() as server:
        clients = [kind(KEY, server.url, limits=LIMITS, timeout=5) for kind in (Threads, Loop)]
        yield server, clients
        for client in clients:
            client.close()


def outcomes_of(place, answer, call):
    """Make a call with both clients; return the value or the error of each, and check the time it took."""
    server, clients = place
    server.answer, outcomes = tried(answer), []
    for client in clients:
        begin = time.monotonic()
        try:
            outcomes.append(client.value(once(call)))
        except SecodaError as error:
            outcomes.append(error)
        assert time.monotonic() - begin < 20
    for outcome in outcomes:
        if isinstance(outcome, SecodaError):
            text = f"{outcome} {vars(outcome)}"
            assert (len(text) < 1_500, KEY[8:16] in text, outcome.__context__) == (True, False, None)
            assert str(outcome).isprintable()
    return outcomes


WORDS = st.sampled_from(
    [
        *[
            b"HTTP/1.1 200 OK",
            b"HTTP/1.1 503 ",
            b"HTTP/1.0 200",
            b"HTTP/2 200 OK",
            b"HTTP/1.1 99999 x",
            b"HTTP/1.1 -1 x",
        ],
        *[
            b"\r\n",
            b"\n",
            b"\r",
            b"\r\n\r\n",
            b" ",
            b": ",
            b"\0",
            b"\xff",
            b"\t",
            b"content-length: 10",
            b"content-length: -1",
        ],
        *[
            b"Content-Length: 5, 5",
            b"content-length: 99999999999999999999",
            b"content-length: \xd9\xa1",
            b"content-length: 1e3",
        ],
        *[
            b"transfer-encoding: chunked",
            b"transfer-encoding: gzip, chunked",
            b"content-encoding: gzip",
            b"Set-Cookie: a=b",
        ],
        *[
            b"location: /api/v1/x",
            b"retry-after: 1",
            b"x" * 3_000,
            b"a: b\r\n" * 150,
            b"ffffffffffffffff\r\n",
            b"-5\r\n",
            b"0\r\n",
        ],
        *[
            b"5;x=y\r\nabcde\r\n",
            b"{}",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\n\r\n",
            b"connection: upgrade",
        ],
    ]
)


@fuzzed(80, slow=True)
@given(st.lists(WORDS | st.binary(max_size=12), max_size=14).map(b"".join))
def test_any_bytes(place, answer):
    """Any bytes lead to an error of the client, or to a page that is in them."""
    for outcome in outcomes_of(place, answer, Call(Request(AUDIT_LOGS_PATH), read_json)):
        assert isinstance(outcome, SecodaError | dict)


HEADER_NAMES = st.sampled_from(
    ["content-type", "location", "retry-after", "date", "x", "content-encoding", "etag", "vary"]
)
HEADER_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60) | st.sampled_from(
    [
        "gzip",
        "deflate",
        "br",
        "gzip, gzip",
        "identity",
        "*",
        "zstd,",
        "application/json",
        "/api/v1/x?a=b",
        "//",
        f"Bearer {KEY}",
    ]
)


@fuzzed(80, slow=True)
@given(
    st.sampled_from(["200 OK", "204 No Content", "304 Same", "308 Moved", "401 No", "429 Slow", "500 \xff", "599 x"]),
    st.dictionaries(HEADER_NAMES, HEADER_VALUES, max_size=4),
    st.one_of(audit_pages, odd, st.just(b'{"detail": "' + KEY.encode() + b'"}')),
)
def test_any_headers_and_bodies(place, status, headers, body):
    """Both clients read a response with any headers in the same way, and no error contains the key."""
    answer = http(body, status, **headers)
    one, other = outcomes_of(place, answer, Call(Request(AUDIT_LOGS_PATH), read_json))
    if isinstance(one, SecodaError) and isinstance(other, SecodaError):
        assert type(one) is type(other)
    else:
        assert one == other


def _packed(kind, level, body):
    stream = zlib.compressobj(level, zlib.DEFLATED, kind)
    return stream.compress(body) + stream.flush()


ENCODERS = {
    "gzip": partial(_packed, 31),
    "deflate": partial(_packed, 15),
    "deflate ": partial(_packed, -15),
    "x-gzip": lambda level, body: gzip.compress(body[: level * 7], level) + gzip.compress(body[level * 7 :]),
}


@fuzzed(80, slow=True)
@given(
    st.sampled_from(sorted(ENCODERS)),
    st.integers(0, 9),
    st.binary(max_size=2_000) | st.integers(0, 60_000).map(lambda size: b" " * size),
    st.none() | st.tuples(st.integers(0, 400), st.binary(max_size=3)),
    st.integers(1, 500),
)
def test_any_compressed_body(place, encoding, level, body, damage, step):
    """A compressed body is decoded to the original in any chunks; a damaged one is an error."""
    content = ENCODERS[encoding](level, body)
    if damage is not None:
        at, extra = damage
        content = content[:at] + extra + content[at + 2 * len(extra) :]
    step = max(step, len(content) // 300)
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(piece), piece)
        for piece in (content[at : at + step] for at in range(0, len(content), step))
    )
    # The server closes the connection after each response: without this header a client may use it again.
    names = ("connection: close", f"content-encoding: {encoding}", "transfer-encoding: chunked")
    head = "\r\n".join(("HTTP/1.1 200 OK", *names, "", "")).encode()
    outcomes = outcomes_of(place, head + chunks + b"0\r\n\r\n", Call(Request("/x"), lambda answer: answer))
    if damage is None and len(body) <= LIMITS.decompressed_bytes:
        assert [outcome.body for outcome in outcomes] == [body, body]
    elif damage is None:
        assert [outcome.setting for outcome in outcomes] == ["max_decompressed_bytes"] * 2
    for outcome in outcomes:
        assert isinstance(outcome, SecodaError) or len(outcome.body) <= LIMITS.decompressed_bytes


ANY_TEXT = st.text(st.characters(), max_size=40)


@fuzzed(80, slow=True)
@given(ANY_TEXT, st.integers(-(10**30), 10**30))
@example("R&page=7#x", 1)
@example("../../x?resource_id=other", 1)
@example("a\r\nHost: evil.example\r\n\r\nGET / HTTP/1.1", 1)
@example("a\0b", 1)
@example("\ud800", 1)
@example("%00%0d%0a+ ", 1)
def test_any_resource_id(place, resource_id, number):
    """A resource's id arrives unchanged, and no part of it becomes another parameter, header or request."""
    server, _ = place
    server.requests.clear()
    outcomes = outcomes_of(place, http(b'{"detail": "no"}', "404 No"), resource_logs_call(resource_id, number))
    if any("\ud800" <= sign <= "\udfff" for sign in resource_id):
        assert [type(outcome) for outcome in outcomes] == [SecodaConfigurationError] * 2
        return
    assert len(server.requests) == 2
    for request in server.requests:
        line, *headers = request.decode("ascii").split("\r\n")
        method, target, version = line.split(" ")
        path, _, query = target.partition("?")
        assert (method, version, path) == ("GET", "HTTP/1.1", "/api/v1/activity_log/resource_logs/")
        assert parse_qsl(query, keep_blank_values=True) == [("resource_id", resource_id), ("page", str(number))]
        assert sum(header.lower().startswith("host:") for header in headers) == 1


def test_a_resource_id_of_a_megabyte(place):
    """An id that no server accepts is refused, by the client or by the server, with an error of the client."""
    for outcome in outcomes_of(place, http(b"", "414 Too long"), resource_logs_call("R" * (1 << 20), 1)):
        assert isinstance(outcome, SecodaError)
        assert not outcome.retriable


@fuzzed(60, slow=True)
@given(ANY_TEXT | st.sampled_from(["/api/v1/x", "?", "//", "/..", "http://127.0.0.1:{port}/api/v1/x"]))
def test_any_location(place, location):
    """A redirect is followed within the origin, or is an error of the client; no request goes to another origin."""
    server, _ = place
    server.requests.clear()
    target = location.replace("{port}", str(server.port)).encode("utf-8", "surrogatepass")
    target = target.replace(b"\r", b"").replace(b"\n", b"")
    answer = b"HTTP/1.1 307 Go\r\ncontent-length: 0\r\nconnection: close\r\nlocation: " + target + b"\r\n\r\n"
    for outcome in outcomes_of(place, answer, Call(Request(AUDIT_LOGS_PATH), read_json)):
        assert isinstance(outcome, SecodaError)
    assert 2 <= len(server.requests) <= 10
    assert all(request.startswith(b"GET /") and b"\r\nHost: 127.0.0.1:" in request for request in server.requests)


def test_the_clients_still_work(place):
    """After all other tests both clients read a page."""
    for outcome in outcomes_of(place, http(), Call(Request("/x"), lambda answer: answer)):
        assert isinstance(outcome, Response)
