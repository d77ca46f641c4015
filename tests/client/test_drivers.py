"""Both drivers on real sockets have the same behaviour."""

import base64
import contextlib
import gzip
import json
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from airflow_provider_secoda.client._api.flow import Call, Emit, Request, once, several
from airflow_provider_secoda.client._audit_logs.listing import AUDIT_LOGS_PATH
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client._versions.pages import read_version_histories, resource_logs_call
from airflow_provider_secoda.client.errors import (
    SecodaAuthenticationError,
    SecodaConfigurationError,
    SecodaConnectionError,
    SecodaError,
    SecodaNotFoundError,
    SecodaPermissionError,
    SecodaRateLimitError,
    SecodaRedirectError,
    SecodaRequestError,
    SecodaResponseError,
    SecodaServerError,
    SecodaTimeoutError,
    SecodaTLSError,
)
from airflow_provider_secoda.sandbox import Workspace
from tests.client.drivers import (
    ALIVE,
    END,
    KEY,
    MONTH,
    ONCE,
    QUICK,
    START,
    KeepAlive,
    Loop,
    Threads,
    behind_a_proxy,
    log_everything,
    page,
    page_call,
    pieces,
    shown_by,
    window,
)
from tests.helpers.rude_servers import EMPTY_PAGE, RawServer, Tunnel, certificate, free_port, header, http

PASSWORD = "Cobalt5Heron8Marsh"


@pytest.fixture(params=[Threads, Loop], ids=["sync", "async"])
def driver(request):
    """Return one of the drivers, as a context manager."""
    return lambda *arguments, **options: contextlib.closing(request.param(*arguments, **options))


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def month(secoda_sandbox_factory):
    return secoda_sandbox_factory(Workspace.generate(**MONTH), page_size=20, member_key="member-key-member")


def fails(driver, url, kind, *, key=KEY, **options):
    """Read a page; return the error, which must be exactly of this class."""
    with pytest.raises(kind) as error, driver(key, url, **options) as client:
        client.value(page())
    assert type(error.value) in (kind if isinstance(kind, tuple) else (kind,))
    return error.value


def test_a_window(driver, month):
    """A window that is read over real sockets is exactly what the workspace contains."""
    with driver(month.api_key, month.url, policy=QUICK) as client:
        logs = [log for batch in client.emitted(window(4), concurrency=4) for log in batch]
    assert sorted(log.raw for log in logs) == sorted(month.workspace.window(START, END))


def test_values_emissions_and_parameters(driver, month):
    """A flow's value is returned, what it emits comes in order, and its requests arrive as specified."""
    for _ in range(30):
        month.workspace.add_version("R")

    def flow():
        yield Emit("before")
        for found in (yield from several([page_call(1), page_call(2), page_call(3)])):
            yield Emit(found["meta"]["page"])
        yield Emit("after")

    with driver(month.api_key, month.url) as client:
        assert client.emitted(flow(), concurrency=2) == ["before", 1, 2, 3, "after"]
        assert client.value(once(resource_logs_call("R", 2))).total_pages == 2
        assert len(client.value(read_version_histories("R"), concurrency=2)) == 30
        strange = Request(AUDIT_LOGS_PATH, (("page", "1"), ("q", "a b&c=d+é%/#?\n")))
        client.value(once(Call(strange, page_call().read)))
    assert month.requests[-1].params == {"page": "1", "q": "a b&c=d+é%/#?\n"}


@pytest.mark.parametrize("mishap", [429, 500, 502, 503, 504, "cut", "html", "reset", "json:{}", "json:"])
def test_an_error_that_occurs_once_is_retried(driver, month, mishap):
    """One bad response or one broken connection is retried, and the caller does not notice."""
    month.faults.script = [mishap]
    with driver(month.api_key, month.url, policy=QUICK) as client:
        assert client.value(page())["count"] == 900
        assert (client.client.stats.requests, client.client.stats.retries) == (2, 1)
    assert len(month.requests) == 2


@pytest.mark.parametrize(
    ("mishap", "kind"),
    [
        (429, SecodaRateLimitError),
        (503, SecodaServerError),
        ("cut", SecodaConnectionError),
        ("reset", SecodaConnectionError),
        ("html", SecodaResponseError),
        ("json:[]", SecodaResponseError),
        ("json:", SecodaResponseError),
        (400, SecodaRequestError),
        (403, SecodaPermissionError),
        (404, SecodaNotFoundError),
        ("redirect:https://evil.example/", SecodaRedirectError),
    ],
)
def test_an_error_that_persists_is_raised(driver, month, mishap, kind):
    """An error that persists is raised after all attempts, a final error after the first one, each with the address."""
    month.faults.script = [mishap] * 3
    error = fails(driver, month.url, kind, key=month.api_key, policy=QUICK)
    assert getattr(error, "status", None) == (mishap if isinstance(mishap, int) else getattr(error, "status", None))
    assert len(month.requests) == (3 if error.retriable else 1)
    assert str(error).count(month.url) == 1


def test_the_policy_of_one_run(driver, month):
    """A run can have a policy of its own; the next one has the client's again."""
    month.faults.script = [500] * 4
    with driver(month.api_key, month.url, policy=QUICK) as client:
        with pytest.raises(SecodaServerError):
            client.value(page(), policy=ONCE)
        assert client.client.stats.requests == 1
        with pytest.raises(SecodaServerError):
            client.value(page())
        assert client.client.stats.requests == 4


def test_keys(driver, month):
    """A wrong key is 401; the key of a user who is not an admin is 403 for audit logs."""
    assert fails(driver, month.url, SecodaAuthenticationError).status == 401
    assert fails(driver, month.url, SecodaPermissionError, key=month.member_key).status == 403


@pytest.mark.parametrize("key", ["", "  ", None, "two words", "tab\tkey", "line\nbreak", "schlüssel", "\x00"])
def test_an_invalid_key(driver, key):
    """A key that would break a header is refused before anything is sent, and is not repeated."""
    error = fails(driver, None, SecodaConfigurationError, key=key)
    assert "`password`" in str(error)
    assert not key or not key.strip() or key not in shown_by(error)


def test_no_server_listens(driver):
    """A refused connection is reported as such, by address and by name."""
    for host in ("127.0.0.1", "localhost"):
        error = fails(driver, f"http://{host}:{free_port()}", SecodaConnectionError)
        assert (error.reason, "refused" in str(error)) == ("refused", True)


def test_no_server_at_any_address(driver, monkeypatch):
    """A host with several addresses, none of which answers, is reported like one with a single address."""
    found = socket.getaddrinfo

    def both(host, *rest, **options):
        if host not in ("two.test", b"two.test"):
            return found(host, *rest, **options)
        return [each for address in ("127.0.0.1", "127.0.0.2") for each in found(address, *rest, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert fails(driver, f"https://two.test:{free_port()}", SecodaConnectionError).reason == "refused"


def test_there_is_no_such_host(driver):
    """A host name that does not exist is reported as such."""
    error = fails(driver, "https://secoda.invalid", SecodaConnectionError)
    assert (error.reason, "could not be resolved" in str(error)) == ("dns", True)


def test_no_such_proxy(driver):
    """A proxy that cannot be reached is reported as the cause, for its name as for its port."""
    for proxy in (f"http://127.0.0.1:{free_port()}", "http://proxy.invalid:3128"):
        assert fails(driver, "https://secoda.invalid", SecodaConnectionError, proxy=proxy).reason == "proxy"


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 80\r\n\r\n{"]
)
def test_a_server_that_stops_in_a_response(driver, hold, answer):
    """A response that stops in the middle is a timeout if the connection stays open, otherwise a broken connection."""
    with RawServer(answer, hold=hold) as server:
        begin = time.monotonic()
        error = fails(driver, server.url, SecodaTimeoutError if hold else SecodaConnectionError, timeout=0.2)
    assert time.monotonic() - begin < 10
    assert "0.2 s" in str(error) if hold else error.reason == "broken"


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        http(b"not gzip", content_encoding="gzip"),
        http(b"{}", content_encoding="br"),
        http(gzip.compress(b'{"results":[],"count":0,"total_pages":1}', mtime=0)[:-12], content_encoding="gzip"),
        http(b"\x00\xff" * 50),
        http(b"", status="204 No Content"),
    ],
)
def test_responses_that_are_not_http(driver, answer):
    """Any bytes from the server lead to a retriable error of this client."""
    with RawServer(answer) as server, driver(KEY, server.url, policy=QUICK) as client:
        with pytest.raises((SecodaConnectionError, SecodaResponseError)):
            client.value(page())
    assert len(server.requests) == 3


_HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload; as=style\r\nx-hint: 1\r\n\r\n"


@pytest.mark.parametrize(
    "before",
    [
        _HINTS,
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 199 \r\n\r\n",
        _HINTS * 3 + b"HTTP/1.1 100 Continue\r\n\r\n" + _HINTS,
    ],
    ids=["103", "100", "102", "199", "several"],
)
def test_interim_responses_are_skipped(driver, before):
    """Any number of interim responses (1xx) can come before the response, which is read as without them."""
    with RawServer(before + http()) as server, driver(KEY, server.url) as client:
        answer = client.value(once(Call(Request("/x"), lambda response: response)))
    assert (answer.status, answer.body, "x-hint" in answer.headers) == (200, EMPTY_PAGE, False)


def test_a_connection_is_kept_after_an_interim_response(driver):
    """The next request on a connection whose response had an interim one gets its own response."""
    with KeepAlive(_HINTS + ALIVE) as server, driver(KEY, server.url) as client:
        assert [client.value(page())["count"] for _ in range(3)] == [0, 0, 0]
    assert (server.made, len(server.requests)) == (1, 3)


def test_an_interim_response_of_a_proxy(driver, elsewhere):
    """A proxy can send interim responses before it has connected."""
    _, proxy, ca = elsewhere
    proxy.before = _HINTS * 2
    with driver(KEY, "https://secoda.example.test", proxy=proxy.url, verify=ca) as client:
        assert client.value(page())["count"] == 0


@pytest.mark.parametrize("status", ["101 Switching Protocols", "099 Too Low"])
def test_a_change_of_the_protocol(driver, status):
    """A server that changes the protocol, or sends an invalid status, is an error."""
    with RawServer(http(b"", status=status)) as server:
        fails(driver, server.url, (SecodaResponseError, SecodaConnectionError))


def test_gzip(driver, month):
    """Compressed responses are requested and read."""
    month.faults.gzip = True
    with driver(month.api_key, month.url) as client:
        assert client.value(page())["count"] == 900
    assert "gzip" in month.requests[0].headers["accept-encoding"]


def test_request_headers(driver, month):
    """Requests have a user agent and accept JSON."""
    with driver(month.api_key, month.url, user_agent="me/1.0") as client:
        client.value(page())
    headers = month.requests[0].headers
    assert (headers["user-agent"], headers["accept"]) == ("me/1.0", "application/json")


def test_header_names_are_in_lower_case(driver):
    """Names of response headers are in lower case, in any spelling of the server."""
    with RawServer(b"HTTP/1.1 200 OK\r\nX-LOUD: Yes\r\ncontent-length: 2\r\n\r\nok") as server:
        with driver(KEY, server.url) as client:
            answer = client.value(once(Call(Request("/x"), lambda response: response)))
    assert (answer.headers["x-loud"], answer.body, abs(answer.received_at - time.time()) < 5) == ("Yes", b"ok", True)


@pytest.mark.parametrize(
    ("location", "status"),
    [("https://evil.example/x", 308), ("//127.0.0.1:1/x", 302), ("http://localhost:{port}/x", 307)],
)
def test_the_key_does_not_follow_a_redirect(driver, location, status):
    """A redirect to another origin gets no request, not even to the same machine with another name."""
    with RawServer() as server:
        server.answer = http(b"", status=f"{status} Moved", location=location.format(port=server.port))
        fails(driver, server.url, SecodaRedirectError, policy=QUICK)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "location", ["/api/v1/activity_log/audit_logs/", "/api/v1/activity_log/../activity_log/audit_logs/"]
)
def test_a_redirect_within_the_origin_is_followed(driver, month, location):
    """A redirect within the origin is followed with the key and the page."""
    month.faults.script = [f"redirect:{location}"]
    with driver(month.api_key, month.url) as client:
        assert client.value(page(3))["meta"]["page"] == 3
    assert [record.authorized for record in month.requests] == [True, True]


def test_a_redirect_to_an_invalid_address(driver):
    """A redirect to an invalid address is an error of this client, too."""
    with RawServer() as server, driver(KEY, server.url) as client:
        server.answer = http(b"", status="302 Found", location=f"{server.url}/a\x00b\x7f[")
        with pytest.raises(SecodaError):
            client.value(page())


@pytest.fixture
def secure(tmp_path):
    """Return an https server on loopback with a certificate of its own making, and the certificate's file."""
    file, context = certificate(tmp_path, "127.0.0.1")
    with RawServer(http(), context=context) as server:
        yield server, file


def test_untrusted_certificates(driver, secure, tmp_path):
    """A certificate of unknown origin or for another host is final, before any request or key is sent."""
    server, _ = secure
    assert fails(driver, server.url, SecodaTLSError, policy=QUICK).reason == "certificate"
    file, context = certificate(tmp_path, "secoda.example.test")
    with RawServer(http(), context=context) as other:
        assert fails(driver, other.url, SecodaTLSError, verify=str(file)).reason == "certificate"
        assert server.requests + other.requests == []


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("verify", ["file", "folder", False])
def test_certificates_that_are_accepted(driver, secure, tmp_path, verify):
    """A CA bundle, a file or a folder, is what the certificate is verified with; false does not verify."""
    server, file = secure
    folder = tmp_path / "trusted"
    folder.mkdir()
    (folder / f"{_subject_hash(file)}.0").write_bytes(file.read_bytes())
    given = {"file": str(file), "folder": str(folder), False: False}[verify]
    with driver(KEY, server.url, verify=given) as client:
        assert client.value(page())["count"] == 0
    assert header(server.requests[0], "Authorization") == f"Bearer {KEY}"


def _subject_hash(file):
    """Return the name under which OpenSSL looks for a certificate in a folder."""
    found = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", file], capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip("no openssl")
    return found.stdout.strip()


CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.mark.parametrize("name", CA_VARIABLES)
def test_the_ca_bundle_of_the_environment(driver, elsewhere, monkeypatch, tmp_path, name):
    """Each variable that names a CA bundle counts in both clients, after ``verify`` and the variables before it."""
    server, proxy, ca = elsewhere
    other, _ = certificate(tmp_path, "other.test")
    for later in CA_VARIABLES[CA_VARIABLES.index(name) + 1 :]:
        monkeypatch.setenv(later, str(other))
    monkeypatch.setenv(name, ca)
    with driver(KEY, "https://secoda.example.test", proxy=proxy.url) as client:
        assert client.value(page())["count"] == 0
    fails(driver, "https://secoda.example.test", SecodaTLSError, proxy=proxy.url, verify=str(other))
    monkeypatch.setenv(name, str(other))
    fails(driver, "https://secoda.example.test", SecodaTLSError, proxy=proxy.url)
    monkeypatch.setenv(name, "")
    for later in CA_VARIABLES:
        monkeypatch.delenv(later, raising=False)
    fails(driver, "https://secoda.example.test", SecodaTLSError, proxy=proxy.url)
    assert len(server.requests) == 1


def test_a_folder_of_the_environment_does_not_count(driver, elsewhere, monkeypatch, tmp_path):
    """``SSL_CERT_DIR`` counts in neither client."""
    server, proxy, ca = elsewhere
    (tmp_path / f"{_subject_hash(ca)}.0").write_bytes(Path(ca).read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    fails(driver, "https://secoda.example.test", SecodaTLSError, proxy=proxy.url)
    assert server.requests == []


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_ca_bundle_that_does_not_exist(driver, secure, tmp_path, monkeypatch, content):
    """A CA bundle that does not exist is refused at once, with its path and the setting that names it."""
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_bytes(content)
    error = fails(driver, secure[0].url, SecodaConfigurationError, verify=str(path))
    assert ("`verify`" in str(error), str(path) in str(error)) == (True, True)
    for name in reversed(CA_VARIABLES):
        monkeypatch.setenv(name, str(path))
        error = fails(driver, "https://secoda.invalid", SecodaConfigurationError)
        assert (f"`{name}`" in str(error), str(path) in str(error)) == (True, True)


def test_tls_that_breaks(driver):
    """An interrupted TLS handshake is a broken connection, which is retriable, and not a bad certificate."""
    with RawServer() as server:
        server._serve = lambda connection: (connection.recv(65536), connection.close())
        assert fails(driver, server.url.replace("http", "https"), SecodaConnectionError).reason == "broken"


def test_tls_that_never_comes(driver):
    """A TLS handshake without a response is a timeout, which is retriable."""
    with RawServer() as server:
        server._serve = lambda connection: (connection.recv(65536), server._stopped.wait(10), connection.close())
        assert fails(driver, server.url.replace("http", "https"), SecodaTimeoutError, timeout=0.2).retriable


def test_https_to_a_server_that_speaks_http(driver, month):
    """A server that does not use TLS is reported as such."""
    assert fails(driver, month.url.replace("http", "https"), SecodaTLSError).reason == "protocol"


@pytest.fixture
def elsewhere(tmp_path):
    """Return a server that is found through a proxy only, the proxy, and the CA's file."""
    with behind_a_proxy(tmp_path) as found:
        yield found


def test_a_proxy_sees_no_key(driver, elsewhere):
    """The proxy tunnels: it gets its own password and the host's name, never the key or the path."""
    server, proxy, ca = elsewhere
    address = proxy.url.replace("//", "//user:p%40ss@")
    with driver(KEY, "https://secoda.example.test", proxy=address, verify=ca) as client:
        assert client.value(page())["count"] == 0
    assert header(server.requests[0], "Authorization") == f"Bearer {KEY}"
    assert proxy.requests[0].startswith(b"CONNECT secoda.example.test:443 ")
    sent = base64.b64encode(b"user:p@ss").decode()
    assert header(proxy.requests[0], "Proxy-Authorization") == f"Basic {sent}"
    seen = proxy.requests[0] + proxy.seen
    assert (KEY.encode() in seen, b"activity_log" in seen) == (False, False)


@pytest.mark.parametrize(
    ("credentials", "sent"),
    [
        ("us%C3%A9r:p%C3%A4ss%20%E2%82%AC%E6%96%87", "usér:päss €文"),
        ("usér:päss€文", "usér:päss€文"),
        ("user:%E4%FF", b"user:\xe4\xff"),  # bytes that are not UTF-8 are sent as they are
        ("user", "user:"),
        (":p%3Aw%40", ":p:w@"),
        ("us%0D%0Aer:%00", "us\r\ner:\0"),
    ],
)
@pytest.mark.parametrize("where", ["argument", "environment"])
def test_the_credentials_of_a_proxy(driver, elsewhere, monkeypatch, credentials, sent, where):
    """A proxy's user name and password are sent in UTF-8 (RFC 7617, section 2.1), percent-encoded in the URL or not."""
    server, proxy, ca = elsewhere
    address = proxy.url.replace("//", f"//{credentials}@")
    monkeypatch.setenv("HTTPS_PROXY", address if where == "environment" else "http://proxy.invalid")
    given = address if where == "argument" else None
    with driver(KEY, "https://secoda.example.test", proxy=given, verify=ca) as client:
        assert client.value(page())["count"] == 0
    expected = base64.b64encode(sent if isinstance(sent, bytes) else sent.encode()).decode()
    assert header(proxy.requests[0], "Proxy-Authorization") == f"Basic {expected}"
    assert header(server.requests[0], "Proxy-Authorization") is None


def test_the_credentials_of_a_proxy_on_loopback(driver):
    """A request to loopback through a proxy, which is not tunneled, has the proxy's credentials, too."""
    with Tunnel(answer=http()) as proxy:
        address = proxy.url.replace("//", "//us%C3%A9r:p%C3%A4ss@")
        with driver(KEY, "http://127.0.0.1:9", proxy=address) as client:
            assert client.value(page())["count"] == 0
    expected = base64.b64encode("usér:päss".encode()).decode()
    assert header(proxy.requests[0], "Proxy-Authorization") == f"Basic {expected}"


def test_credentials_that_are_not_utf_8_in_the_environment(driver, elsewhere, monkeypatch):
    """Bytes of the environment that are not UTF-8 are sent as they are."""
    _, proxy, ca = elsewhere
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:p\udce4ss@"))
    with driver(KEY, "https://secoda.example.test", verify=ca) as client:
        assert client.value(page())["count"] == 0
    expected = base64.b64encode(b"user:p\xe4ss").decode()
    assert header(proxy.requests[0], "Proxy-Authorization") == f"Basic {expected}"


@pytest.mark.skipif(httpx.__version__ == "0.27.0", reason="does not hand on whom to trust as a proxy")
def test_a_proxy_that_speaks_tls(driver, elsewhere, tmp_path):
    """The connection to a proxy whose URL begins with https uses TLS, and is verified like the server."""
    server, _, ca = elsewhere
    file, context = certificate(tmp_path, "127.0.0.1")
    both = tmp_path / "both.pem"
    both.write_bytes(file.read_bytes() + Path(ca).read_bytes())
    with Tunnel(server) as proxy:
        proxy.context = context
        address = f"https://127.0.0.1:{proxy.port}"
        with driver(KEY, "https://secoda.example.test", proxy=address, verify=str(both)) as client:
            assert client.value(page())["count"] == 0
        fails(driver, "https://secoda.example.test", SecodaTLSError, proxy=address, verify=ca)
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_environment(driver, elsewhere, monkeypatch, name, scheme):
    """Off loopback the environment's proxy and CA bundle count, with the exceptions of NO_PROXY."""
    server, proxy, ca = elsewhere
    monkeypatch.setenv(name, f"{scheme}127.0.0.1:{proxy.port}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca)
    with driver(KEY, "https://secoda.example.test") as client:
        assert client.value(page())["count"] == 0
    monkeypatch.setenv("NO_PROXY", "other.test,.example.test")
    assert fails(driver, "https://secoda.example.test", SecodaConnectionError).reason == "dns"
    assert (len(server.requests), len(proxy.requests)) == (1, 1)


def test_the_connections_own_proxy_comes_first(driver, elsewhere, monkeypatch):
    """A proxy argument overrides the environment."""
    _, proxy, ca = elsewhere
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "*")
    with driver(KEY, "https://secoda.example.test", verify=ca, proxy=proxy.url) as client:
        assert client.value(page())["count"] == 0


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "gopher://127.0.0.1:1", "http://[127.0.0.1:1"])
def test_an_unsupported_proxy_of_the_environment(driver, monkeypatch, proxy):
    """An unsupported kind of proxy is an error of this client that does not show its password."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.replace("//", f"//user:{PASSWORD}@"))
    with pytest.raises((SecodaConfigurationError, SecodaConnectionError)) as error:
        with driver(KEY, "https://secoda.example.test") as client:
            client.value(page())
    assert pieces(str(error.value), PASSWORD) == []


def test_no_netrc(driver, elsewhere, tmp_path, monkeypatch):
    """A ~/.netrc that knows the host does not replace the key."""
    server, proxy, ca = elsewhere
    netrc = tmp_path / "netrc"
    netrc.write_text("machine secoda.example.test login me password other\ndefault login me password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with driver(KEY, "https://secoda.example.test", proxy=proxy.url, verify=ca) as client:
        client.value(page())
    assert header(server.requests[0], "Authorization") == f"Bearer {KEY}"


def test_a_certificate_is_verified_through_a_proxy_too(driver, elsewhere):
    """A proxy that responds instead of the host is detected."""
    server, proxy, _ = elsewhere
    fails(driver, "https://secoda.example.test", SecodaTLSError, proxy=proxy.url)
    assert server.requests == []


def test_a_proxy_for_a_server_on_loopback(driver):
    """A proxy argument is used for loopback too, if the proxy is on loopback itself."""
    with Tunnel(answer=http()) as proxy, driver(KEY, "http://127.0.0.1:9", proxy=proxy.url) as client:
        assert client.value(page())["count"] == 0
    assert proxy.requests[0].startswith(b"GET http://127.0.0.1:9/api/v1/activity_log/audit_logs/?page=1 ")
    assert "`proxy`" in str(fails(driver, "http://127.0.0.1:9", SecodaConfigurationError, proxy="http://p.test:1"))


def test_on_loopback_the_environment_is_ignored(driver, month, monkeypatch):
    """A proxy in the environment does not get to see the key of a server on this machine."""
    with Tunnel(answer=http(status="502 Bad Gateway")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        with driver(month.api_key, month.url) as client:
            assert client.value(page())["count"] == 900
        assert proxy.requests == []


@pytest.mark.parametrize("answer", [http(status="407 Proxy Authentication Required"), b"", b"garbage\r\n\r\n"])
def test_a_proxy_that_refuses(driver, answer, caplog):
    """A proxy that refuses is reported as the cause, without its password."""
    log_everything(caplog)
    with Tunnel(answer=answer) as proxy:
        address = proxy.url.replace("//", f"//user:{PASSWORD}@")
        error = fails(driver, "https://secoda.example.test", SecodaConnectionError, proxy=address)
    assert error.reason in (("proxy",) if b"407" in answer else ("proxy", "broken"))
    assert pieces(str(error) + caplog.text, PASSWORD) == []


def _echo(status):
    def answer(request):
        sent = header(request, "Authorization")
        body = json.dumps({"detail": f"{sent} is not right", "headers": {"Authorization": sent}}).encode()
        return http(body, status=f"{status} {sent}", x_echo=sent, set_cookie=sent, location=f"https://evil.test/{sent}")

    return answer


_ECHOES = {
    **{str(status): _echo(status) for status in (200, 302, 401, 429, 500)},
    "status line": lambda request: f"{header(request, 'Authorization')}\r\n\r\n".encode(),
    "Retry-After": lambda request: http(b"", status="429 x", retry_after=header(request, "Authorization")),
}


@pytest.mark.parametrize("where", _ECHOES)
def test_a_server_that_repeats_the_key(driver, where, caplog):
    """If a server repeats the key anywhere in a response, no error, log or variable of a frame contains it."""
    log_everything(caplog)
    with RawServer(_ECHOES[where]) as server, driver(KEY, server.url, policy=QUICK) as client:
        with pytest.raises(SecodaError) as error:
            client.value(page())
        inside = client.client
        shown = f"{inside!r} {vars(inside)} {vars(inside._transport)} {inside._transport!r}"
    assert header(server.requests[0], "Authorization") == f"Bearer {KEY}"
    assert pieces(shown_by(error.value) + shown + caplog.text) == []


def test_a_retry_after(driver, month):
    """A Retry-After of a second is waited for; one beyond the limit is raised at once, with its seconds."""
    month.faults.script = [("status", 503, {"retry-after": "1"})]
    with driver(month.api_key, month.url, policy=RetryPolicy()) as client:
        begin = time.monotonic()
        client.value(page())
        assert 1 <= time.monotonic() - begin < 10
        month.faults.script = [("status", 429, {"retry-after": "3600"})]
        with pytest.raises(SecodaRateLimitError) as error:
            client.value(page())
        assert (error.value.retry_after, time.monotonic() - begin < 10) == (3600, True)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_the_limit_of_concurrent_requests(driver, month, concurrency):
    """``concurrency`` is the most requests in flight, and it is used fully."""
    month.faults.latency = 0.01
    with driver(month.api_key, month.url) as client:
        read = sum(len(batch) for batch in client.emitted(window(concurrency), concurrency=concurrency))
    assert read == len(month.workspace.window(START, END))
    assert month.stats["peak_in_flight"] == concurrency


def test_a_rate_limit_is_obeyed(driver, month):
    """A server with a rate limit gets no more requests than it allows, and no log is lost."""
    month.faults.rate_limit = (20, 2)  # even a busy machine sends at least this many in that time
    with driver(month.api_key, month.url, policy=QUICK) as client:
        logs = [log.raw for batch in client.emitted(window(4), concurrency=4) for log in batch]
        assert 0 < client.client.stats.throttled <= 4
    assert sorted(logs) == sorted(month.workspace.window(START, END))


def test_responses_are_passed_on_in_order_of_arrival(driver, month):
    """A flow receives the response that arrives first, not that of the first call."""
    month.faults.script = ["slow:0.4"]
    calls = [page_call(number) for number in (1, 2, 3)]

    def flow():
        for start in (calls, (), ()):
            call, _ = yield start
            yield Emit(str(calls.index(call) + 1))

    with driver(month.api_key, month.url) as client:
        order = client.emitted(flow(), concurrency=3)
    assert sorted(order) == ["1", "2", "3"]
    assert order[-1] == month.requests[0].params["page"]


def test_a_closed_client_can_be_used_again(driver, month):
    """Closing closes the connections; the next request opens new ones."""
    with driver(month.api_key, month.url) as client:
        for _ in range(2):
            assert client.value(page())["count"] == 900
            if isinstance(client, Loop):
                client.loop.run_until_complete(client.client.aclose())
            else:
                client.client.close()
