"""Where the key is sent: to one origin, which all parsers read from the URL, and below one path of it."""

import asyncio
import gzip
import posixpath
import tracemalloc
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

import httpx
import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from airflow_provider_secoda.client._api.base_url import check_proxy, resolve_base_url
from airflow_provider_secoda.client._api.decoding import read_json
from airflow_provider_secoda.client._api.flow import Call, Request, Response, once
from airflow_provider_secoda.client._audit_logs.listing import AUDIT_LOGS_PATH
from airflow_provider_secoda.client._http.responses import interpret
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client.aio import AsyncSecodaClient
from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaError, SecodaRedirectError
from airflow_provider_secoda.client.sync import SecodaClient
from tests.helpers.rude_servers import RawServer, header, http

KEY = "Zebra7Quartz-Falcon9Onyx-Willow3Umber"
QUERY = (("page", "1"),)
#: The maximum of bytes that a client may read of one response.
ENDLESS = 300 << 20


# --- hosts: what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *[
            "0177.0.0.1",
            "2130706433",
            "0x7f000001",
            "https://0x7f.1",
            "127.1",
            "0177.0.0.1",
            "1.2.3.4.5",
            "0",
            "evil.0x",
            "a.1",
        ],
        *["169.254.169.254", "https://169.254.170.2", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "fe80::1"],
        *["[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "2852039166", "0xA9FEA9FE", "0251.0376.0251.0376"],
        *["0.0.0.0", "::", "[::ffff:0.0.0.0]", "255.255.255.255", "224.0.0.1", "[ff02::1]"],
        *["169.254.169.254.", "169.254.169.254:443", "https://169.254.169.254/api/v1/"],
    ],
)
def test_an_address_without_a_workspace(host):
    """Metadata services, link-local, multicast and unspecified addresses are refused, in any spelling."""
    with pytest.raises(SecodaConfigurationError, match="no workspace can have this address"):
        resolve_base_url(host=host)


@pytest.mark.parametrize(
    "host",
    [
        *[
            "https://[2001:db8::2]evil.com",
            "https://[::1].evil.com",
            "https://[v1.x]",
            "https://[::1%25eth0]",
            "[::1%1]",
        ],
        *["https://evil.com\\.secoda.co", "https:\\\\evil.com", "https://evil.com\\@api.secoda.co"],
        *["https://api.secoda.co#@evil.com", "https://evil.com#.secoda.co", "https://evil.com?.secoda.co"],
        *["https://api.secoda.co%00.evil.com", "https://api.secoda.co%2eevil.com", "https://api.secoda.co%40evil.com"],
        *["https://api.secoda.co\t.evil.com", "https://api.secoda\n.co", "https://api.secoda.co\r\nHost: evil.com"],
        *["https://api.secoda.co\u3002evil.com", "https://api.secoda\uff0eco", "https://api.secoda.co\uff0f.evil.com"],
        *["https://\uff41pi.secoda.co", "https://api.secoda.co\u2044evil.com", "https://api.secoda.co\uff20evil.com"],
        *["https://\u0430pi.secoda.co", "https://api.secoda.co\u200b", "https://api\u00ad.secoda.co", "https://\u2100"],
        *["https://stra\u00dfe.example", "https://\u212aey.example", "https://api.\u017fecoda.co"],
        *["https://example.com/../other", "https://example.com/x/./y", "https://example.com/x/%2e%2e/y"],
        *["https://a_b.example", "https://api.secoda.co;evil.com", "https://api.secoda.co,evil.com", "https://$x"],
        *["https://example.com:80:443", "https://example.com:+443", "https://example.com:8_0", "https://a:\u0663"],
        *["https://evil.com:443@api.secoda.co", "https://:@api.secoda.co", "https://@", "javascript://api.secoda.co"],
    ],
)
def test_a_host_that_libraries_may_read_differently(host):
    """If two libraries could disagree about the host, no request is sent."""
    with pytest.raises(SecodaConfigurationError, match="`host`"):
        resolve_base_url(host=host)


@pytest.mark.parametrize(
    "domain", ["\u212aacme", "acme\u3002evil", "acme\uff0eevil", "acme\u200b", "ac\u00adme", "\u0130"]
)
def test_a_customer_domain_in_other_characters(domain):
    """A customer domain is plain ASCII as it is written, not only once it was made lower case."""
    with pytest.raises(SecodaConfigurationError, match="`customer_domain`"):
        resolve_base_url(customer_domain=domain)


@pytest.mark.parametrize(
    "proxy",
    [
        "http://evil.com\\@127.0.0.1:3128",
        "http://evil.com\t@127.0.0.1:3128",
        "http://127.0.0.1 evil.com:3128",
        "http://\uff11\uff12\uff17.0.0.1:3128",
        "http://127.0.0.1\u3002evil.com:3128",
    ],
)
def test_a_proxy_that_libraries_may_read_differently(proxy):
    """A proxy that is loopback for one library and another host for the next is refused."""
    with pytest.raises(SecodaConfigurationError, match="`proxy`"):
        check_proxy(proxy, "http://127.0.0.1:8000")


# --- hosts: what is accepted --------------------------------------------------------------------------------------

_PIECES = [
    *["https://", "http://", "//", "/", "\\", "@", ":", "?", "#", "%", ";", ".", ",", "-", "_", "[", "]", "\t"],
    *["\n", " ", "api.secoda.co", "evil.com", "evil.com.", "secoda.co", "localhost", "127.0.0.1", "127.1", "0x7f.1"],
    *["0177.0.0.1", "2130706433", "169.254.169.254", "::1", "[::1]", "[::ffff:127.0.0.1]", "[fe80::1%25eth0]"],
    *["xn--pple-43d.com", "xn--", "xn--zzzzzzzz", "user:pw@", "%2e", "%2f", "%40", "%00", "..", "/../", "/./"],
    *["/api/v1/", ":443", ":08443"],
    *["\u3002", "\uff0e", "\uff0f", "\uff20", "\uff1a", "\uff03", "\u2044", "\u2100", "\u212a", "\u00ad"],
    *["\u200b", "\u0430", "\u00df"],
]
_HOSTS = st.one_of(
    st.lists(st.sampled_from(_PIECES), min_size=1, max_size=6).map("".join),
    st.builds("https://{}{}".format, st.sampled_from(_PIECES[20:]), st.lists(st.sampled_from(_PIECES)).map("".join)),
    st.from_regex(r"\A(https?:)?(//)?[\[\]a-z0-9.:@\\-]{1,20}(/[a-z.%\\]{0,5})?\Z"),
)


def readers(url):
    """Return the scheme, host, port and user that each library reads from the URL."""
    default = {"https": 443, "http": 80}
    prepared = requests.Request("GET", url).prepare().url
    found = []
    for text in (url, prepared):
        parts, other = urlsplit(text), parse_url(text)
        found.append((parts.scheme, parts.hostname, parts.port or default[parts.scheme], parts.username))
        found.append((other.scheme, (other.host or "").strip("[]"), other.port or default[other.scheme], other.auth))
    for text in (url, prepared):
        modern = httpx.URL(text)
        name = modern.raw_host.decode("ascii").strip("[]")
        found.append((modern.scheme, name, modern.port or default[modern.scheme], modern.userinfo.decode() or None))
    return found


@settings(max_examples=800)
@given(host=_HOSTS, port=st.sampled_from([None, None, 8443]), scheme=st.sampled_from([None, "http", "https"]))
@example(host="https://[::ffff:7f00:1]:8443/x", port=None, scheme=None)
@example(host="https://[2001:DB8:0:0::1]", port=None, scheme=None)
@example(host="https://xn--zzzzzzzz", port=None, scheme=None)
@example(host="https://example.com.:0443", port=None, scheme=None)
@example(host="https://example.com/;/x'\"<>^`{|}", port=None, scheme=None)
def test_all_readers_of_a_base_url_agree(host, port, scheme):
    """For any text: an error, or a URL of which every library in use reads the same scheme, host and port, no user."""
    try:
        base = resolve_base_url(host=host, port=port, scheme=scheme)
    except SecodaConfigurationError:
        return
    (one,) = set(readers(base + AUDIT_LOGS_PATH))
    scheme, name, _, user = one
    assert user is None
    assert scheme == "https" or name == "localhost" or ip_address(name).is_loopback
    try:
        address = ip_address(name)
    except ValueError:
        assert not name.rpartition(".")[2].isdigit()
    else:
        assert not address.is_link_local
        assert not address.is_unspecified


_NAMES = ["api.secoda.co", "a.example.", "A-1.EXAMPLE.com", "10.1.2.3", "[::1]", "::1", "[2001:db8::1]", "xn--a"]
_LIKELY = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["https://", "", "//", "HTTPS://"]),
    st.one_of(st.sampled_from(_NAMES), st.from_regex(r"\A[a-z0-9-]{1,9}(\.[a-z0-9-]{1,5}){0,3}\Z")),
    st.sampled_from(["", ":443", ":08443", ":65535", ":"]),
    st.sampled_from(["", "/", "/api/v1/", "/x;y", "//evil.example/", "/x:y"]),
)


@settings(max_examples=50)
@given(host=_LIKELY)
@example(host="https://[2001:DB8:0:0::1]:8443/x")
@example(host="https://xn--pple-43d.com")
@example(host="example.com.:0443")
def test_both_libraries_connect_to_the_chosen_host(proxy, host):
    """Both clients request from a proxy exactly the host and port of the base URL."""
    try:
        base = resolve_base_url(host=host)
    except SecodaConfigurationError:
        return
    parts = urlsplit(base)
    port = parts.port or {"https": 443, "http": None}[parts.scheme]
    place = f"{parts.hostname}:{port}" if port else parts.hostname
    del proxy.requests[:]
    ask_both(base, proxy=proxy.url)
    sent = [request.decode("latin-1").split() for request in proxy.requests]
    assert 1 <= len(sent) <= 2  # one of them rejects invalid punycode
    for verb, target, *_ in sent:
        # Not every version of every library writes brackets around an address to a proxy.
        authority = target if parts.scheme == "https" else target.removeprefix("http://").split("/")[0]
        assert verb == ("CONNECT" if parts.scheme == "https" else "GET")
        assert authority.replace("[", "").replace("]", "") == place


@pytest.fixture(scope="module")
def proxy():
    """Return a proxy that refuses every request, and records them."""
    with RawServer(http(status="407 Proxy Authentication Required")) as server:
        yield server


def ask_both(base, **options):
    """Read one page with both clients; return how each one ended."""
    policy = RetryPolicy(attempts=1)
    flow = Request(AUDIT_LOGS_PATH, QUERY)

    async def ask():
        client = AsyncSecodaClient(KEY, base, policy=policy, timeout=5, **options)
        try:
            return await client.value(once(Call(flow, lambda response: read_json(response, "results"))))
        except SecodaError as error:
            return error
        finally:
            await client.aclose()

    with SecodaClient(KEY, base, policy=policy, timeout=5, **options) as client:
        try:
            first = client.list_audit_logs()
        except SecodaError as error:
            first = error
    return first, asyncio.run(ask())


# --- redirects ----------------------------------------------------------------------------------------------------

_STEPS = [
    *["/", "//", "\\", "..", ".", "%2e%2e", "%2E.", "%252e%252e", "%2f", "%5c", ";", "?", "#", "@", ":"],
    *["a", "other", "\t"],
    *["https://", "http://", "h.example", "h.example:443", "evil.example", "H.EXAMPLE", "user@"],
    *["\uff0e\uff0e", "\n", "/tools"],
    *["/tools/", "/tools/secoda/", "/tools/secoda", "/tools/secodax", "/api/v1/", "?page=9", "\u3002"],
    *["%00", " ", "&filter={}"],
]
_LOCATIONS = st.one_of(
    st.lists(st.sampled_from(_STEPS), min_size=1, max_size=7).map("".join),
    st.builds(
        "{}/tools/secoda/{}".format,
        st.sampled_from(["", "https://h.example", "//h.example", "https://h.example:443"]),
        st.lists(st.sampled_from(_STEPS), max_size=5).map("".join),
    ),
    st.text(max_size=30),
)


@settings(max_examples=800)
@given(
    location=_LOCATIONS,
    prefix=st.sampled_from(["", "/tools/secoda"]),
    status=st.sampled_from([301, 302, 303, 307, 308]),
)
@example(location="https://h.example/tools/secoda/../other/api/", prefix="/tools/secoda", status=302)
@example(location="/tools/secoda/%2e%2e/other", prefix="/tools/secoda", status=302)
@example(location="/tools/secoda/..;/other", prefix="/tools/secoda", status=302)
@example(location="/tools/secoda/..\\other", prefix="/tools/secoda", status=302)
@example(location="/tools/secoda/%252e%252e/other", prefix="/tools/secoda", status=302)
@example(location="//evil.example/tools/secoda/x", prefix="/tools/secoda", status=308)
@example(location="https:h.example/tools/secoda/x", prefix="/tools/secoda", status=308)
def test_no_redirect_leads_out(location, prefix, status):
    """For any `Location`: an error, or the same request to the same origin, below the same path for every library."""
    base = f"https://h.example{prefix}"
    request = Request(AUDIT_LOGS_PATH, QUERY)
    found = interpret(Call(request, str), request, Response(status, {"location": location}), base, 0)
    if isinstance(found, SecodaError):
        assert isinstance(found, SecodaRedirectError)
        return
    assert found.params == QUERY
    try:
        prepared = requests.Request("GET", base + found.path).prepare().url
        modern = str(httpx.URL(base + found.path))
    except (requests.RequestException, httpx.InvalidURL):
        return  # no request is sent
    for url in (base + found.path, prepared, modern):
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc) == ("https", "h.example")
        for path in (parts.path, unquote(parts.path), unquote(unquote(parts.path))):
            steps = path.replace("\\", "/").replace(";", "/").lstrip("/")
            assert (posixpath.normpath(f"/{steps}") + "/").startswith(prefix + "/")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["{other}/api/v1/", "//{place}/api/v1/", "{own}@{place}/", "{own}.evil.example/"])
def test_a_redirect_to_another_origin_is_not_followed(status, to):
    """Neither client sends anything to another origin because a server says so."""
    with RawServer(http()) as other, RawServer() as own:
        place = urlsplit(other.url).netloc
        own.answer = http(status=f"{status} Go", location=to.format(other=other.url, place=place, own=own.url))
        for error in ask_both(own.url):
            assert isinstance(error, SecodaRedirectError)
        assert len(own.requests) == 2
        assert other.requests == []


@pytest.mark.parametrize("to", ["https://evil.example/", "/api/v1/elsewhere/"])
def test_a_redirect_with_an_endless_body(to):
    """The body of a redirect counts against the limits like any other, so that it cannot fill the memory."""
    sent = []

    class Endless(RawServer):
        def talk(self, connection):
            connection.settimeout(5)
            connection.recv(65536)
            connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n".encode())
            piece = bytes(1 << 20)
            while sum(sent) < ENDLESS:
                connection.sendall(piece)
                sent.append(len(piece))

    with Endless() as server:
        for error in ask_both(server.url):
            assert isinstance(error, SecodaError)
            assert sum(sent) < ENDLESS
            del sent[:]


def test_a_redirect_with_a_bomb():
    """The body of a redirect is decompressed up to the same limit as any other."""
    bomb = gzip.compress(bytes(ENDLESS), 1)
    answer = http(bomb, status="302 Found", location="https://evil.example/", content_encoding="gzip")
    with RawServer(answer) as server:
        tracemalloc.start()
        try:
            for error in ask_both(server.url):
                assert isinstance(error, SecodaError)
            assert tracemalloc.get_traced_memory()[1] < ENDLESS / 3
        finally:
            tracemalloc.stop()


def test_the_key_is_sent_to_one_origin_only():
    """Each request names its own host, and carries the key once, in the header, never in its line."""
    with RawServer(http()) as server:
        ask_both(server.url)
        assert len(server.requests) == 2
        for request in server.requests:
            assert header(request, "Host") == urlsplit(server.url).netloc
            assert header(request, "Authorization") == f"Bearer {KEY}"
            assert request.count(KEY.encode()) == 1
