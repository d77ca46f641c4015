"""The origin that gets the key, for everything that users paste, and for every trick."""

import ipaddress

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from airflow_provider_secoda.client._api.base_url import check_proxy, is_loopback, origin_of, resolve_base_url
from airflow_provider_secoda.client.errors import SecodaConfigurationError

US, EU, APAC = "https://api.secoda.co", "https://eapi.secoda.co", "https://aapi.secoda.co"
PATH = "/api/v1/activity_log/audit_logs/"


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (None, US),
        ("", US),
        ("  ", US),
        ("us", US),
        ("US", US),
        ("eu", EU),
        (" EU ", EU),
        ("apac", APAC),
    ],
)
def test_a_region(region, expected):
    """A region in upper or lower case gives the vendor's host; without one it is the United States."""
    assert resolve_base_url(region=region) == expected


@pytest.mark.parametrize("region", ["on_premise", "on-premise", "On Premise", None])
def test_a_customer_domain(region):
    """On premise, the customer domain is the label before .secoda.co; naming it is enough."""
    assert resolve_base_url(region=region, customer_domain="Acme-1") == "https://acme-1.secoda.co"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.secoda.co", US),
        ("app.secoda.co", US),
        ("eu.secoda.co", EU),
        ("eapi.secoda.co", EU),
        ("apac.secoda.co", APAC),
        ("aapi.secoda.co", APAC),
        ("APP.Secoda.CO", US),
        ("HTTPS://APP.SECODA.CO", US),
        ("https://app.secoda.co/", US),
        ("https://app.secoda.co///", US),
        ("//app.secoda.co", US),
        ("app.secoda.co.", US),
        ("app.secoda.co:443", US),
        ("https://api.secoda.co/api/v1/", US),
        ("api.secoda.co/api/v1", US),
        ("https://app.secoda.co/table/0c1d/overview", US),
        ("\thttps://eu.secoda.co \n", EU),
        ("acme.secoda.co", "https://acme.secoda.co"),
        ("secoda.example.com", "https://secoda.example.com"),
        ("Secoda.Example.com.", "https://secoda.example.com"),
        ("https://secoda.example.com/api/v1/", "https://secoda.example.com"),
        ("https://secoda.example.com/api/", "https://secoda.example.com"),
        ("https://secoda.example.com//api//v1//", "https://secoda.example.com"),
        ("https://secoda.example.com/api/v1/activity_log/audit_logs/", "https://secoda.example.com"),
        ("secoda.example.com:8443", "https://secoda.example.com:8443"),
        ("https://example.com:8443/secoda/", "https://example.com:8443/secoda"),
        ("https://example.com/tools/secoda/api/v1", "https://example.com/tools/secoda"),
        ("https://example.com/apiary", "https://example.com/apiary"),
        ("10.1.2.3", "https://10.1.2.3"),
        ("https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
        ("localhost", "http://localhost"),
        ("localhost:8000/api/v1/", "http://localhost:8000"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://localhost:8443", "https://localhost:8443"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("http://[::1]/", "http://[::1]"),
        ("::1", "http://[::1]"),  # how Airflow hands over the host of the URI secoda://[::1]:8000
        ("2001:db8::1", "https://[2001:db8::1]"),
    ],
)
def test_hosts_that_users_paste(host, expected):
    """An address from the browser or from a curl command becomes the API's base URL."""
    assert resolve_base_url(host=host) == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"host": "secoda.example.com", "port": 8443}, "https://secoda.example.com:8443"),
        ({"host": "secoda.example.com:1", "port": 2}, "https://secoda.example.com:1"),
        ({"host": "::1", "port": 8000}, "http://[::1]:8000"),
        ({"host": "127.0.0.1", "port": 8000, "scheme": "http"}, "http://127.0.0.1:8000"),
        ({"host": "localhost", "scheme": "https"}, "https://localhost"),
        ({"host": "secoda.example.com", "scheme": "https"}, "https://secoda.example.com"),
        ({"host": "https://localhost", "scheme": "http"}, "https://localhost"),
        ({"host": "", "region": "eu"}, EU),
        ({"host": "eu.secoda.co", "region": "eu"}, EU),
        ({"host": "secoda.example.com", "region": "on_premise"}, "https://secoda.example.com"),
        ({"host": "ACME.secoda.co", "customer_domain": "acme"}, "https://acme.secoda.co"),
        ({"host": "acme.secoda.co", "customer_domain": "ACME"}, "https://acme.secoda.co"),
        ({"host": "secoda.example.com", "customer_domain": "acme"}, "https://secoda.example.com"),
        ({"port": 8443}, US),
    ],
)
def test_parts_that_agree(parts, expected):
    """The port and scheme of a connection fill in what the host leaves open."""
    assert resolve_base_url(**parts) == expected


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"host": "app.secoda.co", "region": "eu"}, ["app.secoda.co", "'us'", "'eu'", "`host`", "`region`"]),
        ({"host": "https://eu.secoda.co", "region": "us"}, ["eu.secoda.co", "'eu'", "'us'"]),
        ({"host": "secoda.example.com", "region": "apac"}, ["secoda.example.com", "'apac'", "on_premise"]),
        ({"host": "127.0.0.1:80", "region": "us"}, ["127.0.0.1", "'us'"]),
        ({"host": "app.secoda.co", "region": "on_premise"}, ["app.secoda.co", "'on_premise'"]),
        (
            {"host": "app.secoda.co", "customer_domain": "acme"},
            ["app.secoda.co", "`customer_domain`", "'acme'"],
        ),
        ({"host": "other.secoda.co", "customer_domain": "acme"}, ["other.secoda.co", "'acme'"]),
        ({"region": "eu", "customer_domain": "acme"}, ["`customer_domain`", "'acme'", "'eu'"]),
        ({"host": "app.secoda.co", "port": 8443}, ["app.secoda.co", "8443"]),
    ],
)
def test_contradictions_name_both_sides(parts, named):
    """Two fields that contradict each other are an error that names both."""
    with pytest.raises(SecodaConfigurationError) as error:
        resolve_base_url(**parts)
    assert [part for part in named if part not in str(error.value)] == []


@pytest.mark.parametrize(
    "domain",
    [
        "x.evil.com/",
        "a.b",
        "acme.",
        ".acme",
        "acme/",
        "acme?",
        "acme#",
        "acme:1",
        "user@",
        "user:pass@evil.com",
        "-acme",
        "acme-",
        "ac me",
        "acme\n",
        "ac\nme",
        "ac\\me",
        "a%2e",
        "acmé",
        "аcme",  # the first letter is Cyrillic
        "a" * 64,
        "https://acme.secoda.co",
        "app",
        "API",
    ],
)
def test_a_customer_domain_is_one_label(domain):
    """Anything but one DNS label could send the key to another host, so it is refused by the field's name."""
    if domain == "acme\n":  # white space around a field is ignored
        assert resolve_base_url(customer_domain=domain) == "https://acme.secoda.co"
        return
    with pytest.raises(SecodaConfigurationError, match="`customer_domain`"):
        resolve_base_url(customer_domain=domain)


@pytest.mark.parametrize("domain", [None, "", "  "])
def test_on_premise_needs_a_name(domain):
    """On premise without a domain or a host is an error that names the fields to fill in."""
    with pytest.raises(SecodaConfigurationError, match=r"`customer_domain`.*`host`"):
        resolve_base_url(region="on_premise", customer_domain=domain)


def test_an_unknown_region():
    """An unknown region is named, with those that exist."""
    with pytest.raises(SecodaConfigurationError, match=r"'mars'.*us, eu, apac or on_premise"):
        resolve_base_url(region="mars")


@pytest.mark.parametrize(
    "host",
    [
        "http://secoda.example.com",
        "HTTP://app.secoda.co",
        "http://10.0.0.1",
        "http://[2001:db8::1]",
        "http://127.0.0.1.evil.com",
        "http://localhost.evil.com",
        "http://127.1",
        "http://0x7f000001",
        "http://0.0.0.0",
    ],
)
def test_http_is_refused_off_loopback(host):
    """Plain http would show the key to the network; only loopback is exempt."""
    with pytest.raises(SecodaConfigurationError, match="use https"):
        resolve_base_url(host=host)


def test_the_scheme_of_a_connection_has_the_same_rule():
    """A scheme from another field cannot replace https either."""
    with pytest.raises(SecodaConfigurationError, match="use https"):
        resolve_base_url(host="secoda.example.com", scheme="http")


@pytest.mark.parametrize(
    "host",
    [
        "ftp://secoda.example.com",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https:/secoda.example.com",
        "https//secoda.example.com",
        "http//secoda.example.com",
        "https://secoda.example.com:x",
        "https://secoda.example.com:99999",
        "https://secoda.example.com:0",
        "https://secoda..example.com",
        "https://-x.example.com",
        "https://secoda.example.com?x=1",
        "https://secoda.example.com#x",
        "https://secoda.example.com\\@evil.com",
        "https://secoda.example.com%2eevil.com",
        "https://sec oda.example.com",
        "https://secoda.example.com/a\x00b",
        "https://secoda.example.com/a\x7fb",
        "https://sécoda.example.com",
        "https://ⓔvil.com",
        "https://127。0。0。1",
        "https://[::1",
        "https://[::1%25eth0]/",
        "https://" + "a." * 130 + "com",
        "...",
        "/",
    ],
)
def test_an_invalid_base_url(host):
    """A value that is not a base URL is refused, naming the field."""
    with pytest.raises(SecodaConfigurationError, match="`host`"):
        resolve_base_url(host=host)


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_port_that_does_not_exist(port):
    """A port outside 1 to 65535 is refused by the field's name."""
    with pytest.raises(SecodaConfigurationError, match="`port`"):
        resolve_base_url(host="secoda.example.com", port=port)


@pytest.mark.parametrize(
    "field",
    [
        {"host": "https://hunter2secret@secoda.example.com"},
        {"host": "https://user:hunter2secret@secoda.example.com/"},
        {"host": "user:hunter2secret@evil.com"},
        {"host": "https://api.secoda.co:hunter2secret@evil.com"},
        {"customer_domain": "user:hunter2secret@evil"},
        {"region": "https://user:hunter2secret@api.secoda.co"},
    ],
)
def test_userinfo_is_refused_and_never_repeated(field):
    """Text before an @ may be a password: it is neither used nor shown in the error."""
    with pytest.raises(SecodaConfigurationError) as error:
        resolve_base_url(**field)
    assert "hunter2" not in str(error.value)
    assert next(iter(field)) in str(error.value)


_PIECES = st.sampled_from(
    [
        *[
            "https://",
            "http://",
            "HTTP://",
            "https:",
            "ftp://",
            "//",
            "/",
            "\\",
            "@",
            ":",
            "?",
            "#",
            "%",
            ";",
            ".",
        ],
        *[
            "app.secoda.co",
            "evil.com",
            "127.0.0.1",
            "localhost",
            "[::1]",
            "::1",
            "[",
            "]",
            "0x7f.1",
            "127.1",
            "1",
        ],
        *[
            "/api/v1/",
            "/api",
            "v1",
            "..",
            "8080",
            ":443",
            "xn--",
            "é",
            "。",
            " ",
            "\t",
            "\x00",
            "\u2100",
            "-",
            "_",
        ],
    ]
)
_HOSTS = st.one_of(st.text(max_size=40), st.lists(_PIECES, max_size=7).map("".join))


@settings(max_examples=600)
@given(
    host=_HOSTS,
    region=st.sampled_from([None, None, "us", "on_premise"]),
    port=st.sampled_from([None, None, 8443]),
    scheme=st.sampled_from([None, "http", "https"]),
)
@example(host="https://x/api/api/v1", region=None, port=None, scheme=None)
@example(host="localhost/api/v1/api", region=None, port=None, scheme=None)
@example(host="https://[v1.x]", region=None, port=None, scheme=None)
def test_all_parsers_read_the_same_origin(host, region, port, scheme):
    """For any text: an error, or a base URL that urllib3 and the standard library read as the same safe origin."""
    try:
        base = resolve_base_url(host=host, region=region, port=port, scheme=scheme)
    except SecodaConfigurationError:
        return
    contacted = parse_url(requests.Request("GET", base + PATH).prepare().url)
    name = (contacted.host or "").strip("[]")
    assert contacted.auth is None
    assert (
        contacted.scheme,
        name,
        contacted.port or {"https": 443, "http": 80}[contacted.scheme],
    ) == origin_of(base)
    assert contacted.path.endswith(PATH)
    if contacted.scheme == "http":
        assert name == "localhost" or ipaddress.ip_address(name).is_loopback
    assert contacted.scheme in ("http", "https")
    assert resolve_base_url(host=base) == base


@given(domain=st.one_of(st.text(max_size=70), st.lists(_PIECES, max_size=4).map("".join)))
def test_a_customer_domain_is_always_below_the_vendors_domain(domain):
    """For any text: an error, the default, or a host directly below secoda.co."""
    try:
        base = resolve_base_url(customer_domain=domain)
    except SecodaConfigurationError:
        return
    name = parse_url(base + PATH).host
    assert base == US if not domain.strip() else name == f"{domain.strip().lower()}.secoda.co"
    assert name.count(".") == 2


def test_loopback_is_this_machine_only():
    """Only loopback addresses count as loopback, and no similar ones."""
    assert all(map(is_loopback, ["http://localhost", "http://127.0.0.1:1", "http://[::1]:1", "http://127.9.9.9"]))
    assert not any(map(is_loopback, ["http://localhost.co", "http://10.0.0.1", "https://api.secoda.co", "x"]))


@pytest.mark.parametrize(
    ("proxy", "base"),
    [
        ("http://proxy.example.com:3128", US),
        ("https://user:pw@proxy.example.com", US),
        ("http://127.0.0.1:3128", "http://127.0.0.1:80"),
    ],
)
def test_a_proxy_that_may_be_used(proxy, base):
    """Through a proxy https stays closed; plain http may only go to a proxy on this machine."""
    check_proxy(proxy, base)


@pytest.mark.parametrize(
    ("proxy", "base", "says"),
    [
        ("http://user:hunter2secret@proxy.example.com:3128", "http://127.0.0.1:80", "unencrypted"),
        ("user:hunter2secret@proxy.example.com:3128", US, "http://"),
        ("proxy.example.com:3128", US, "http://"),
        ("socks5://hunter2secret@proxy.example.com", US, "http://"),
        ("http://hunter2secret:x@", US, "http://"),
        ("http://proxy.example.com:port", US, "http://"),
        ("http://[::1", US, "http://"),
    ],
)
def test_a_proxy_that_may_not_be_used(proxy, base, says):
    """A proxy that would see the key, or is not an http(s) URL, is refused without showing its password."""
    with pytest.raises(SecodaConfigurationError, match="`proxy`") as error:
        check_proxy(proxy, base)
    assert says in str(error.value)
    assert "hunter2" not in str(error.value)
