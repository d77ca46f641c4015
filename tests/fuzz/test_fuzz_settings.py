"""Any connection and any header lead to a value that can be used, or to an error that says why not."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_secoda.client._api.base_url import is_loopback
from airflow_provider_secoda.client._api.flow import Call, Request, Response, once
from airflow_provider_secoda.client._http.exchange import exchange
from airflow_provider_secoda.client._http.gate import Gate
from airflow_provider_secoda.client._http.responses import interpret
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client.aio import AsyncSecodaClient
from airflow_provider_secoda.client.errors import (
    SecodaConfigurationError,
    SecodaError,
    SecodaRateLimitError,
    SecodaServerError,
)
from airflow_provider_secoda.client.sync import SecodaClient
from airflow_provider_secoda.hooks._connection import KNOWN_EXTRAS, read_connection
from tests.fuzz.fuzzing import fuzzed, tried, values

NOW = 1_760_000_000.0
TEXT = st.text(st.characters(), max_size=60)
DATES = st.sampled_from(
    [
        *[
            "Wed, 21 Oct 2026 07:28:00 GMT",
            "Wednesday, 21-Oct-26 07:28:00 GMT",
            "Wed Oct 21 07:28:00 2026",
            "2026-10-21",
        ],
        *[
            "21 Oct 2026 07:28 +9999",
            "21 Oct 99999999 07:28:00 GMT",
            "Wed, 21 Oct 2026 07:28:60 GMT",
            "0 Jan 0 0:0:0 -0000",
        ],
        *[
            "Wed, 21 Oct 2026 07:28:00 +" + "9" * 5_000,
            "1 Jan 1 00:00:00 +2359",
            "31 Dec 9999 23:59:59 -2359",
            "," * 60_000,
        ],
    ]
)
SECONDS = st.sampled_from(
    ["0", "1", "-1", "+1", "1.5", "1e3", "007", "9" * 400, "\u0661\u0662", "\u00b2", " 3 ", "3, 4", "nan"]
)


@fuzzed(120)
@given(SECONDS | DATES | TEXT | st.integers().map(str), DATES | TEXT, st.sampled_from([429, 503, 408]))
@example("(" * 5_000, "", 429)
@example(" " * 60_000 + "x", "", 429)
def test_retry_after(text, date, status):
    """A ``Retry-After`` of any text is a finite pause, not negative, or none; too long a one is not waited."""
    headers = {"retry-after": tried(text), "date": date}
    response = Response(status, headers, b"", NOW)
    call = Call(Request("/x"), lambda answer: answer)
    error = interpret(call, call.request, response, "https://api.secoda.co", 0)
    assert isinstance(error, SecodaRateLimitError | SecodaServerError)
    wanted = error.retry_after
    assert wanted is None or (math.isfinite(wanted) and wanted >= 0)
    wire = exchange(once(call), base_url="https://api.secoda.co", policy=RetryPolicy(attempts=2))
    (attempt,) = next(wire)
    if wanted is not None and wanted > 900:
        with pytest.raises(SecodaError):
            wire.send((attempt, response))
    else:
        (again,) = wire.send((attempt, response))
        assert 0 <= again.pause <= 900


class Stored:
    """A connection as Airflow hands it over."""

    conn_id = "my_conn"

    def __init__(self, **fields):
        self.__dict__.update(dict.fromkeys(("host", "port", "schema", "password", "extra")), **fields)


HOSTS = TEXT | st.sampled_from(
    [
        *[
            "api.secoda.co",
            "https://secoda.example.com:8443/x/api/v1/",
            "user@host",
            "x.evil.com/",
            "[::1]",
            "::1",
            "127.1",
            "0x7f.1",
        ],
        *[
            "https://\u0455ecoda.co",
            "http://127.0.0.1:99999",
            "https://a..b",
            "https:///",
            "a" * 300,
            "http://localhost\t",
            "//x",
            "\0",
        ],
        *[
            "https://a\u2024b",
            "https://[fe80::1%25eth0]",
            "xn--",
            "https://1.2.3.4.5",
            "http://2130706433",
            "https://x:0",
            "a_b",
            "-a",
        ],
    ]
)
EXTRAS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(),
    TEXT, st.lists(TEXT, max_size=2), st.dictionaries(TEXT, TEXT, max_size=2),
    st.sampled_from(["eu", "us", "on_premise", "acme", "true", "1", "9" * 5_000, "1e400", "-0", "http://p:1", "http://u:p@h:0"]),
)  # fmt: skip


@fuzzed(120)
@given(
    HOSTS | st.none(),
    st.none() | st.integers() | st.sampled_from([0, 80, 443, 65_536]),
    st.none() | st.sampled_from(["http", "https", "HTTP", "file"]) | TEXT,
    st.none() | TEXT | st.sampled_from(["key\n", "\0key", "two words", "schl\u00fcssel", "k" * 5_000, "key", "\ud800"]),
    st.one_of(
        st.dictionaries(st.sampled_from(KNOWN_EXTRAS) | TEXT, EXTRAS, max_size=3).map(json.dumps),
        values.map(lambda value: value.decode("utf-8", "surrogateescape")),
        TEXT,
        st.none(),
    ),
)
def test_any_connection_makes_a_client_or_says_why_not(host, port, schema, password, extra):
    """Any connection leads to clients that send requests to one safe origin, or to an error that shows no key."""
    stored = Stored(host=host, port=port, schema=schema, password=password, extra=extra)
    tried(str(vars(stored)))
    try:
        settings = read_connection(stored)
        SecodaClient.from_endpoint(settings.endpoint)
        AsyncSecodaClient.from_endpoint(settings.endpoint, Gate(""), max_connections=1)
        for kind in (SecodaClient, AsyncSecodaClient):  # what a connection accepts, the constructors accept
            assert kind(password, settings.base_url).base_url == settings.base_url
    except SecodaConfigurationError as error:
        text = str(error)
    else:
        assert settings.base_url.startswith("https://") or is_loopback(settings.base_url)
        assert settings.base_url.isascii()
        assert settings.base_url.isprintable()
        assert "@" not in settings.base_url
        return
    assert len(text) < 1_000
    if password and len(password.strip()) > 7 and password.strip() not in f"{host} {schema} {extra}":
        assert password.strip() not in text
