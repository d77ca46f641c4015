"""The limits of a response: anything that a server sends costs bounded memory and time, in both clients."""

import asyncio
import contextlib
import gzip
import json
import os
import subprocess
import sys
import time
import tracemalloc
import zlib

import pytest

from airflow_provider_secoda.client._api.endpoint import Key, Limits
from airflow_provider_secoda.client._api.flow import Call, Request, once
from airflow_provider_secoda.client._http.body import Body
from airflow_provider_secoda.client.errors import (
    SecodaConfigurationError,
    SecodaConnectionError,
    SecodaLimitError,
    SecodaResponseError,
    SecodaServerError,
    SecodaTimeoutError,
)
from tests.client.drivers import KEY, QUICK, Loop, Threads, page
from tests.helpers.rude_servers import EMPTY_PAGE, RawServer, header, http

SMALL = Limits(body_bytes=2_000, decompressed_bytes=10_000, nesting=20, answer_seconds=5)
MIB = 1 << 20


@pytest.fixture(params=[Threads, Loop], ids=["sync", "async"])
def driver(request):
    """Return one of the drivers, as a context manager."""
    return lambda *arguments, **options: contextlib.closing(request.param(*arguments, **options))


def fetch(client, path="/x"):
    """Return the answer to a request, as it came."""
    return client.value(once(Call(Request(path), lambda response: response)))


def packed(body, kind=16 + zlib.MAX_WBITS):
    stream = zlib.compressobj(9, zlib.DEFLATED, kind)
    return stream.compress(body) + stream.flush()


def bomb(size, kind=16 + zlib.MAX_WBITS):
    """Return truncated data, a thousandth as long, that decompresses to this many zeros."""
    stream = zlib.compressobj(9, zlib.DEFLATED, kind)
    first = stream.compress(b"0" * MIB) + stream.flush(zlib.Z_FULL_FLUSH)
    again = stream.compress(b"0" * MIB) + stream.flush(zlib.Z_FULL_FLUSH)
    return first + again * (size // MIB - 1)


def too_much(driver, answer, setting, limits=SMALL):
    """Read a page; return the error, which must name the setting after one request."""
    with RawServer(answer) as server, driver(KEY, server.url, policy=QUICK, limits=limits) as client:
        with pytest.raises(SecodaLimitError) as error:
            client.value(page())
        assert len(server.requests) == 1, "an answer that is too large is as large the next time"
    assert (error.value.setting, error.value.retriable) == (setting, False)
    assert f"`{setting}`" in str(error.value)
    return str(error.value)


def chunked(*chunks, end=b"0\r\n\r\n", **headers):
    """Return an answer in chunks."""
    lines = {"transfer-encoding": "chunked", "connection": "close"} | headers
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body + end


def test_a_body_that_is_too_long(driver):
    """A body that is longer than allowed is not read further, with any framing."""
    body = b"0" * 2_001
    for answer in (
        http(body),
        chunked(body[:1_000], body[1_000:]),
        http(body)[: -len(body)].replace(b"content-length: 2001\r\n", b"") + body,
        http(os.urandom(2_001), content_encoding="gzip")[:-2_001] + gzip.compress(os.urandom(3_000), mtime=0),
    ):
        message = too_much(driver, answer, "max_body_bytes")
        assert "2,000 bytes" in message
    padded = EMPTY_PAGE + b" " * (2_000 - len(EMPTY_PAGE))
    with RawServer(http(padded)) as server, driver(KEY, server.url, limits=SMALL) as client:
        assert client.value(page())["count"] == 0


@pytest.mark.parametrize(("name", "kind"), [("gzip", 31), ("x-gzip", 31), ("deflate", 15), ("deflate", -15)])
def test_a_body_that_becomes_too_long(driver, name, kind):
    """A body that becomes longer than allowed by decompression is not decompressed further."""
    spaces = b" " * (10_000 - len(EMPTY_PAGE))
    with RawServer(http(packed(EMPTY_PAGE + spaces, kind), content_encoding=name)) as server:
        with driver(KEY, server.url, limits=SMALL) as client:
            assert client.value(page())["count"] == 0
            assert fetch(client).body == EMPTY_PAGE + spaces
    answer = http(packed(EMPTY_PAGE + spaces + b" ", kind), content_encoding=name)
    assert "10,000 bytes" in too_much(driver, answer, "max_decompressed_bytes")


def test_pieces_of_any_size_are_put_together(driver):
    """A compressed body is decoded completely, in chunks of one byte and in several members."""
    body = EMPTY_PAGE + b" " * 600_000
    limits = Limits(body_bytes=MIB)
    for content, name in (
        (packed(body), "gzip"),
        (packed(body, 15), "deflate"),
        (packed(body, -15), "deflate"),
        (packed(body[:50]) + packed(b"") + packed(body[50:]), "GZip"),
        (packed(body) + b"\0" * 512, "gzip"),
        (packed(body, 15) + b"what follows", "identity, deflate"),
        (body[:5_000], ""),
    ):
        wanted = body if name else body[:5_000]
        cut = [content[at : at + 1] for at in range(len(content))]
        for answer in (chunked(*cut, content_encoding=name), http(content, content_encoding=name)):
            with RawServer(answer) as server, driver(KEY, server.url, limits=limits) as client:
                assert fetch(client).body == wanted


@pytest.mark.parametrize("cut", [1, 5, 12, -12, -9, -8, -1])
@pytest.mark.parametrize(("name", "kind"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
def test_a_compressed_body_that_is_truncated(driver, name, kind, cut):
    """A truncated compressed body is a broken connection, even if all of its text is there."""
    content = packed(EMPTY_PAGE, kind)[:cut]
    if cut in (-8, -1) and kind == 15:
        content = packed(EMPTY_PAGE, kind)[:-1]
    with RawServer(http(content, content_encoding=name)) as server, driver(KEY, server.url) as client:
        with pytest.raises(SecodaConnectionError) as error:
            fetch(client)
    assert error.value.reason == "broken"


@pytest.mark.parametrize("name", ["br", "zstd", "compress", "gzip, gzip", "deflate, gzip", "x" * 200, "gzip;q=1"])
def test_an_encoding_that_was_not_requested(driver, name):
    """An encoding that was not requested is not decoded, because nothing bounds it."""
    content = gzip.compress(gzip.compress(EMPTY_PAGE))
    with RawServer(http(content, content_encoding=name)) as server, driver(KEY, server.url) as client:
        with pytest.raises(SecodaResponseError, match="not requested"):
            fetch(client)
    assert header(server.requests[0], "Accept-Encoding") == "gzip, deflate"


@pytest.mark.parametrize("body", [b"{}", b"0" * 100_000, gzip.compress(b"0" * MIB, mtime=0), b"\x1f\x8b broken"])
@pytest.mark.parametrize("name", ["", "gzip", "br", "gzip, gzip"])
def test_the_body_of_an_error(driver, name, body):
    """An error with any body is reported by its status; only a short part of the body is read."""
    with RawServer(http(body, "503 Busy", content_encoding=name)) as server:
        with driver(KEY, server.url, limits=SMALL) as client:
            with pytest.raises(SecodaServerError) as error:
                client.value(page())
    assert error.value.status == 503


def test_how_much_is_read_of_an_error():
    """Only a part of an error's body is read; of a page all of it, up to the limit."""
    body = Body("x", 503, "gzip", Limits())
    assert body.feed(bomb(MIB)) is False
    assert len(body.response([], Key(KEY)).body) < MIB
    body = Body("x", 200, "", Limits())
    assert [body.feed(b"0" * MIB) for _ in range(32)] == [True] * 32
    assert len(body.response([], Key(KEY)).body) == 32 * MIB


def test_what_an_error_says_is_read_compressed(driver):
    """The detail of an error is shown, compressed or not."""
    body = gzip.compress(json.dumps({"detail": "The index sleeps."}).encode())
    with RawServer(http(body, "500 No", content_encoding="gzip")) as server, driver(KEY, server.url) as client:
        with pytest.raises(SecodaServerError, match=r"\(The index sleeps\.\)"):
            client.value(page())


@pytest.mark.parametrize("listing", [True, False])
def test_json_that_is_nested_too_deeply(driver, listing):
    """A record is refused that is nested deeper than the limit, and one at the limit is not."""

    def record(levels):
        inner = '{"a":' * (levels - 3) + "[]" + "}" * (levels - 3)
        return f'{{"id": "a", "logged_at": "2026-10-14T12:00:00Z", "t": "]]]", "x": {inner}}}'

    def body(levels):
        text = f'{{"results": [{record(levels - 1)}], "count": 1, "total_pages": 1}}'
        return http(text.encode())

    flow = page if listing else page_of_logs
    with RawServer(body(20)) as server, driver(KEY, server.url, limits=SMALL) as client:
        client.value(flow())
    with RawServer(body(21)) as server, driver(KEY, server.url, limits=SMALL) as client:
        with pytest.raises(SecodaLimitError) as error:
            client.value(flow())
    assert error.value.setting == "max_nesting"
    assert "20 levels" in str(error.value)


def page_of_logs():
    from airflow_provider_secoda.client._api.audit_log_page import read_audit_logs

    return once(Call(Request("/x"), lambda response: read_audit_logs(response, 1, "logged_at")))


def test_one_piece_is_not_decompressed_at_once():
    """A received piece of any size is decompressed in steps that are not much larger than the limit."""
    piece, body = bomb(1 << 30), Body("x", 200, "gzip", Limits())
    tracemalloc.start()
    try:
        with pytest.raises(SecodaLimitError):
            body.feed(piece)
        assert tracemalloc.get_traced_memory()[1] < 100 * MIB
    finally:
        tracemalloc.stop()


class Drip(RawServer):
    """Send something at once, and then something else repeatedly."""

    def __init__(self, first, again, pause=0.05):
        super().__init__()
        self.first, self.again, self.pause = first, again, pause

    def talk(self, connection):
        self.requests.append(connection.recv(65536))
        connection.sendall(self.first)
        while not self._stopped.wait(self.pause):
            connection.sendall(self.again)


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"HTTP/1.1 200 O", b"K"),
        (OK, b"x"),
        (OK + b"content-length: 1000\r\n\r\n", b"0"),
        (OK + b"\r\n", b"0"),
        (OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n0\r\n"),
        (OK + b"transfer-encoding: chunked\r\n\r\n1", b"0"),
        (OK + b"transfer-encoding: chunked\r\n\r\n1\r\n0\r\n0\r\nx: ", b"y"),
        (OK + b"content-encoding: gzip\r\ncontent-length: 1000\r\n\r\n" + packed(b"")[:10], b"\0\0\0\xff\xff"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: ", b"x"),
    ],
    ids=[
        *("status", "header", "length", "endless", "chunks", "frame", "trailer", "empty blocks"),
        *("continue", "hints", "header of hints"),
    ],
)
def test_a_trickle(driver, first, again):
    """A server that sends a few bytes at a time, in any part of a response, is stopped by the time limit."""
    with Drip(first, again) as server, driver(KEY, server.url, limits=Limits(answer_seconds=0.3)) as client:
        begin = time.monotonic()
        with pytest.raises(SecodaTimeoutError, match=r"0\.3 s.*`max_answer_seconds`"):
            client.value(page())
        assert 0.25 < time.monotonic() - begin < 10


BYTES = OK + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\n0\r\n" * 1_000_000


def test_a_flood_of_tiny_chunks(driver):
    """A body in a million chunks of one byte is stopped by the time limit, too."""
    with RawServer(BYTES) as server, driver(KEY, server.url, limits=Limits(answer_seconds=0.3)) as client:
        begin = time.monotonic()
        with pytest.raises(SecodaTimeoutError, match="max_answer_seconds"):
            client.value(page())
        assert time.monotonic() - begin < 10


def test_a_flood_of_interim_responses(driver):
    """Interim responses without end are stopped by the time limit or by the size limit."""
    flood = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 1_000_000
    with RawServer(flood) as server, driver(KEY, server.url, limits=Limits(answer_seconds=0.3)) as client:
        begin = time.monotonic()
        with pytest.raises((SecodaTimeoutError, SecodaLimitError)):
            client.value(page())
        assert time.monotonic() - begin < 10


def test_a_flood_leaves_the_loop_to_others():
    """While such a body is read, other tasks of the event loop run."""
    gaps = []

    async def tick():
        while True:
            begin = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - begin)

    with RawServer(BYTES) as server:
        with contextlib.closing(Loop(KEY, server.url, limits=Limits(answer_seconds=1))) as client:
            ticking = client.loop.create_task(tick())
            with pytest.raises(SecodaTimeoutError):
                client.value(page())
            ticking.cancel()
            client.loop.run_until_complete(asyncio.gather(ticking, asyncio.sleep(0.05), return_exceptions=True))
    assert len(gaps) > 5
    assert max(gaps) < 0.8


def test_a_trickle_does_not_spoil_what_follows(driver):
    """After an endless response the next request is sent on a new connection, and answered."""
    with Drip(OK, b"x") as server, driver(KEY, server.url, limits=Limits(answer_seconds=0.2)) as client:
        with pytest.raises(SecodaTimeoutError):
            client.value(page())
        server.first, server.pause = http(), 60
        assert client.value(page())["count"] == 0


def test_a_silent_server(driver):
    """A silent server is reported by the timeout or by the limit, whichever is shorter."""
    with Drip(OK, b"", pause=60) as server:
        with driver(KEY, server.url, timeout=0.2) as client, pytest.raises(SecodaTimeoutError, match=r"within 0\.2 s"):
            client.value(page())
        with driver(KEY, server.url, limits=Limits(answer_seconds=0.2)) as client:
            with pytest.raises(SecodaTimeoutError, match="max_answer_seconds"):
                client.value(page())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("body_bytes", value) for value in (0, -1, 1.5, True, None, "1", float("nan"), 1 << 41)),
        *(("decompressed_bytes", value) for value in (0, 10.0)),
        *(("nesting", value) for value in (0, 501, False)),
        *(("answer_seconds", value) for value in (0, -0.5, float("nan"), float("inf"), 86_401, True)),
    ],
)
def test_invalid_limits(name, value):
    """An invalid limit is refused by the name of its setting."""
    with pytest.raises(SecodaConfigurationError, match=f"`max_{name}` must be"):
        Limits(**{name: value})


_CHILD = """
import resource, sys, threading
from tests.client.drivers import KEY, Loop, Threads, page
from airflow_provider_secoda.client.errors import SecodaError
client = {driver}(KEY, sys.argv[1])
def read_page():
    try:
        print("read", client.value(page()))
    except SecodaError as error:
        print(type(error).__name__, getattr(error, "setting", ""))
read_page()  # of a harmless server: all modules are loaded
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(int(sys.argv[2])):
    read_page()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("name", ["Threads", "Loop"])
def test_a_bomb_costs_bounded_memory(name):
    """Ten compressed gigabytes, and an endless response, use no more memory than the limits allow."""
    line = OK + b"transfer-encoding: chunked\r\n\r\n1\r\n0\r\n0\r\nx: "
    answers = {
        "gzip": (http(bomb(10 << 30), content_encoding="gzip"), "SecodaLimitError max_decompressed_bytes"),
        "deflate": (http(bomb(10 << 30, 15), content_encoding="deflate"), "SecodaLimitError max_decompressed_bytes"),
        "raw": (http(bomb(10 << 30, -15), content_encoding="deflate"), "SecodaLimitError max_decompressed_bytes"),
        "twice": (http(gzip.compress(bomb(10 << 30)), content_encoding="gzip, gzip"), "SecodaResponseError "),
        "error": (http(bomb(10 << 30), "502 Bad", content_encoding="gzip"), "SecodaServerError "),
        "long": (http(b"0" * 100 * MIB), "SecodaLimitError max_body_bytes"),
        "headers": (OK + b"x: y\r\n" * (10 * MIB), "SecodaConnectionError "),
        "header": (OK + b"x: " + b"y" * 100 * MIB, "SecodaConnectionError "),
        "trailer": (line + b"y" * 100 * MIB, "SecodaConnectionError "),
    }
    sent = iter([http(), *(answer for answer, _ in answers.values())])
    with RawServer(lambda _: next(sent)) as server:
        script = _CHILD.format(driver=name)
        child = subprocess.run(
            [sys.executable, "-c", script, server.url, str(len(answers))],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    _, *message, grown = child.stdout.splitlines()
    assert dict(zip(answers, message, strict=True)) == {case: expected for case, (_, expected) in answers.items()}
    assert int(grown) * 1024 < 130 * MIB  # what one answer may be, and as much again while it is put together
