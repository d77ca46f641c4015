"""Text of a server or a template is harmless in a log, in a URL and in a program."""

import contextlib

import pytest

from airflow_provider_secoda.client._api.flow import Call, Request, once
from airflow_provider_secoda.client._api.text import printable_line
from airflow_provider_secoda.client._versions.pages import resource_logs_call
from airflow_provider_secoda.client.errors import (
    SecodaConfigurationError,
    SecodaConnectionError,
    SecodaError,
    SecodaRedirectError,
    SecodaRequestError,
    SecodaResponseError,
)
from tests.client.drivers import KEY, QUICK, Loop, Threads, page
from tests.helpers.rude_servers import RawServer, http

SIGNS = "\x1b[2J\x07\u202e"


@pytest.fixture(params=[Threads, Loop], ids=["sync", "async"])
def driver(request):
    """Return one of the drivers, as a context manager."""
    return lambda *arguments, **options: contextlib.closing(request.param(*arguments, **options))


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        (http(b"x", content_type="text/\x1b[2Jhtml"), (SecodaResponseError, SecodaConnectionError)),
        (http(b"x", content_type="t" * 5_000), (SecodaResponseError,)),
        (b"HTTP/1.1 \x1b[2J\x07 200 OK\r\n\r\n", (SecodaConnectionError,)),
        (b"\x1b[2J" * 5_000 + b"\r\n\r\n", (SecodaConnectionError,)),
        (http(b"", "308 Go", location="/api/v1/\x1b[2J"), (SecodaRedirectError, SecodaConnectionError)),
        (http(b"", "308 Go", location="/api/v1/" + "x" * 5_000), (SecodaRedirectError,)),
        (http(b"", "308 Go", location="//\x1b[2J/" + "x" * 5_000), (SecodaRedirectError, SecodaConnectionError)),
        (http(b'{"detail": "\\u001b[2J\\u202e' + b"x" * 5_000 + b'"}', "400 No"), (SecodaRequestError,)),
        (http(b"x", content_encoding="\x1b[2J" + "x" * 5_000), (SecodaResponseError, SecodaConnectionError)),
    ],
)
def test_text_of_a_server_is_harmless_in_a_log(driver, answer, kinds):
    """Errors are short lines without control characters, wherever in a response those are."""
    with RawServer(answer) as server, driver(KEY, server.url) as client, pytest.raises(SecodaError) as error:
        client.value(page())
    assert isinstance(error.value, kinds)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 600


def test_printable_line():
    """The result is one line of at most that many printable characters."""
    assert printable_line(f" a\r\n\tb{SIGNS}c\0 ") == "a b[2Jc"
    assert printable_line("x" * 10**7, 40) == "x" * 40


@pytest.mark.parametrize("call", [resource_logs_call("R\ud83e", 1), Call(Request("/x", (("filter", "\udfff"),)), str)])
def test_half_a_character_cannot_be_sent(driver, call):
    """Text truncated in the middle of an emoji is not valid Unicode and cannot be sent; a retry cannot fix it."""
    with RawServer(http()) as server, driver(KEY, server.url, policy=QUICK) as client:
        with pytest.raises(SecodaConfigurationError, match="surrogates"):
            client.value(once(call))
        assert client.client.stats.requests == 1
    assert server.requests == []
