"""The settings of a connection of any origin, and the errors of a wrong one."""

import json
import math
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_secoda.client._api.endpoint import Endpoint, Key, Limits
from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.get_provider_info import __version__
from airflow_provider_secoda.hooks._connection import KNOWN_EXTRAS, ConnectionSettings, read_connection

pytest.importorskip("airflow")
KEY = "key-0123456789-abcdefghij"


def connection(**fields):
    """Return a connection as Airflow makes one from the JSON of an environment variable."""
    from airflow.models.connection import Connection

    return Connection.from_json(json.dumps({"conn_type": "secoda", "password": KEY} | fields), conn_id="my_conn")


def by_uri(uri):
    from airflow.models.connection import Connection

    return Connection(conn_id="my_conn", uri=uri)


def settings_of(**fields):
    return read_connection(connection(**fields))


def wrong(**fields):
    """Return the error of a wrong connection, which names the connection and does not show the key."""
    with pytest.raises(SecodaConfigurationError) as error:
        settings_of(**fields)
    text = str(error.value)
    assert text.startswith("connection 'my_conn': ")
    assert KEY not in text
    return text


def test_a_key_is_enough():
    """With only a key, all settings have their defaults."""
    assert settings_of() == ConnectionSettings(
        Endpoint("https://api.secoda.co", Key(KEY), 60.0, True, None, f"airflow-provider-secoda/{__version__}")
    )


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"extra": {"region": "eu"}}, "https://eapi.secoda.co"),
        ({"extra": '{"region": "apac"}'}, "https://aapi.secoda.co"),
        ({"extra": {"region": ""}}, "https://api.secoda.co"),
        ({"extra": {"region": None}}, "https://api.secoda.co"),
        ({"extra": {"region": "on_premise", "customer_domain": "acme"}}, "https://acme.secoda.co"),
        ({"host": "https://app.secoda.co/"}, "https://api.secoda.co"),
        ({"host": "https://secoda.example.com:8443/x/api/v1/"}, "https://secoda.example.com:8443/x"),
        ({"host": "secoda.example.com", "port": 8443, "schema": "https"}, "https://secoda.example.com:8443"),
        ({"host": "localhost", "port": 8000, "schema": "http"}, "http://localhost:8000"),
        ({"host": "secoda.example.com", "schema": "public"}, "https://secoda.example.com"),
        ({"host": "", "extra": {"region": "eu"}}, "https://eapi.secoda.co"),
    ],
)
def test_the_base_url(fields, base_url):
    """Region, customer domain and host give one base URL."""
    assert settings_of(**fields).base_url == base_url


@pytest.mark.parametrize(
    ("uri", "base_url", "more"),
    [
        (f"secoda://:{KEY}@", "https://api.secoda.co", {}),
        (f"secoda://:{KEY}@/?region=eu&timeout=7.5", "https://eapi.secoda.co", {"timeout": 7.5}),
        (f"secoda://:{KEY}@secoda.example.com", "https://secoda.example.com", {}),
        (f"secoda://:{KEY}@secoda.example.com:8443/https", "https://secoda.example.com:8443", {}),
        (f"secoda://:{KEY}@{quote('https://app.secoda.co/api/v1/', safe='')}", "https://api.secoda.co", {}),
        (f"secoda://:{KEY}@{quote('http://127.0.0.1:8000', safe='')}", "http://127.0.0.1:8000", {}),
        (f"secoda://:{KEY}@[::1]:8000", "http://[::1]:8000", {}),
        (f"secoda://:{KEY}@?verify=false", "https://api.secoda.co", {"verify": False}),
        (f"secoda://:{KEY}@?verify=%2Fetc%2Fca.pem", "https://api.secoda.co", {"verify": "/etc/ca.pem"}),
        (f"secoda://:{KEY}@?proxy=http%3A%2F%2Fp%3A3128", "https://api.secoda.co", {"proxy": "http://p:3128"}),
        ("secoda://:a%2Fb%2B%40c%3D@", "https://api.secoda.co", {"key": Key("a/b+@c=")}),
    ],
)
def test_a_connection_by_uri(uri, base_url, more):
    """A connection by URI gives the same settings: every extra is a string, and the key is quoted."""
    settings = read_connection(by_uri(uri))
    assert settings.base_url == base_url
    assert {name: getattr(settings.endpoint, name) for name in more} == more
    assert settings.unknown_extras == ()


@pytest.mark.parametrize("host", ["https://app.secoda.co", "app.secoda.co", "https://api.secoda.co/api/v1/"])
def test_a_connection_of_the_vendors_package(host):
    """A connection made for the vendor's `secoda-airflow` works unchanged, without a warning about its extra."""
    settings = settings_of(host=host, extra={"integration_id": "0c1d"})
    assert settings == settings_of()


@pytest.mark.parametrize("password", [None, "", "   "])
def test_a_connection_without_a_key(password):
    """The error without a key says which field to fill in."""
    assert "`password`" in wrong(password=password)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, 60.0), ("", 60.0), (30, 30.0), (0.5, 0.5), ("12", 12.0), (" 7.5 ", 7.5), (86_400, 86_400.0)],
)
def test_timeout(value, seconds):
    """A timeout is a number of seconds above 0, or a string with one, as from a form."""
    assert settings_of(extra={"timeout": value}).endpoint.timeout == seconds


@pytest.mark.parametrize("value", [0, -1, "soon", True, False, [30], {}, "nan", "inf", 86_401, 10**400, "1e999"])
def test_a_wrong_timeout(value):
    """A timeout that is not a number of seconds is refused by its name."""
    assert "`timeout`" in wrong(extra={"timeout": value})


def test_limits():
    """Four extras limit a response, as numbers or as strings, as from a URI."""
    assert settings_of().endpoint.limits == Limits()
    extra = {"max_body_bytes": 1, "max_decompressed_bytes": " 2 ", "max_nesting": "", "max_answer_seconds": "7.5"}
    settings = settings_of(extra=extra)
    assert settings.endpoint.limits == Limits(body_bytes=1, decompressed_bytes=2, nesting=200, answer_seconds=7.5)
    assert settings.unknown_extras == ()


def test_a_longer_timeout_is_a_longer_limit():
    """A timeout above the default limit for the duration of a response raises that limit; the extra overrides both."""
    assert settings_of(extra={"timeout": 900}).endpoint.limits.answer_seconds == 900
    assert settings_of(extra={"timeout": 900, "max_answer_seconds": 30}).endpoint.limits.answer_seconds == 30


@pytest.mark.parametrize("value", [0, -1, "much", True, [1], {}, 1.5, "nan", "inf", 10**13, "9" * 5_000])
@pytest.mark.parametrize("name", [name for name in KNOWN_EXTRAS if name.startswith("max_")])
def test_a_wrong_limit(name, value):
    """An invalid limit is refused by its name, with the allowed range."""
    if (name, value) != ("max_answer_seconds", 1.5):
        assert wrong(extra={name: value}).startswith(f"connection 'my_conn': extra `{name}` must be a")


@pytest.mark.parametrize(
    ("value", "verify"),
    [
        *((value, True) for value in (None, "", "  ", True, "true", "True", "YES", "1", "on")),
        *((value, False) for value in (False, "false", "False", " no ", "0", "off")),
        ("/etc/ssl/ca.pem", "/etc/ssl/ca.pem"),
        (" ca.pem ", "ca.pem"),
    ],
)
def test_verify(value, verify):
    """`verify` is true, false, or the path of a CA bundle, as a form or a URI writes them."""
    found = settings_of(extra={"verify": value}).endpoint.verify
    assert (found, type(found)) == (verify, type(verify))


@pytest.mark.parametrize("value", [0, 1, 2.5, [], {"path": "x"}])
def test_a_wrong_verify(value):
    """A value that is neither true, false nor a path is refused, and never treated as false."""
    assert "`verify`" in wrong(extra={"verify": value})


def test_proxy():
    """A proxy is the given URL, and no repr shows it, because it may contain a password."""
    settings = settings_of(extra={"proxy": "http://user:hunter2secret@proxy.example.com:3128"})
    assert settings.endpoint.proxy == "http://user:hunter2secret@proxy.example.com:3128"
    assert "hunter2" not in repr(settings)
    assert settings_of(extra={"proxy": ""}).endpoint.proxy is None


@pytest.mark.parametrize("value", ["proxy.example.com:3128", "user:hunter2secret@x", 3128, ["x"], True])
def test_a_wrong_proxy(value):
    """A proxy that is not a URL is refused by its name, without its value."""
    assert "hunter2" not in wrong(extra={"proxy": value})
    assert "`proxy`" in wrong(extra={"proxy": value})


@pytest.mark.parametrize("field", ["region", "customer_domain", "proxy"])
@pytest.mark.parametrize("value", [1, True, ["us"], {"a": 1}])
def test_extras_that_must_be_text(field, value):
    """An extra of the wrong type is refused by its name."""
    assert f"`{field}`" in wrong(extra={field: value})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"extra": {"region": "mars"}}, "`region`"),
        ({"extra": {"region": "on_premise"}}, "`customer_domain`"),
        ({"extra": {"customer_domain": "a.b"}}, "`customer_domain`"),
        ({"host": "http://secoda.example.com"}, "use https"),
        ({"host": "app.secoda.co", "extra": {"region": "eu"}}, "`region`"),
        ({"host": "secoda.example.com", "port": 99999}, "`port`"),
    ],
)
def test_errors_of_the_base_url_name_the_connection(fields, named):
    """An error about the base URL begins with the connection's name."""
    assert named in wrong(**fields)


@pytest.mark.parametrize("text", ["{", "region=eu", "[1]", '"x"', "3", "null", "[" * 100_000])
def test_an_extra_that_is_not_an_object(text):
    """An extra that is not a JSON object is reported as such, even if Airflow accepts it."""

    class Stored:
        conn_id, password, host, port, schema, extra = "my_conn", KEY, None, None, None, text

    with pytest.raises(SecodaConfigurationError, match="`extra`"):
        read_connection(Stored())


def test_unknown_extras_are_named():
    """Unknown extras are named, in order, and are not an error."""
    settings = settings_of(extra={"zone": 1, "Region": "eu", "region": "us", "verfiy": False})
    assert settings.unknown_extras == ("Region", "verfiy", "zone")
    assert settings.endpoint.verify is True


def test_the_settings_show_no_secret():
    """The repr of the settings shows neither key nor proxy."""
    assert KEY not in repr(settings_of())


@given(
    st.dictionaries(
        st.sampled_from([*KNOWN_EXTRAS, "other"]),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(),
            st.lists(st.integers(), max_size=2),
            st.sampled_from(["eu", "us", "on_premise", "acme", "true", "1"]),
        ),
    ),
    st.one_of(st.none(), st.text()),
    st.one_of(st.none(), st.integers(-5, 70_000)),
    st.one_of(st.none(), st.text(max_size=5)),
)
def test_any_connection(extra, host, port, schema):
    """Any fields give settings that can be used, or an error that names the connection and does not show the key."""

    class Stored:
        conn_id, password = "my_conn", KEY

    stored = Stored()
    stored.host, stored.port, stored.schema, stored.extra = host, port, schema, json.dumps(extra)
    try:
        settings = read_connection(stored)
    except SecodaConfigurationError as error:
        message = str(error)
    else:
        assert 0 < settings.endpoint.timeout <= 86_400
        assert not math.isnan(settings.endpoint.timeout)
        assert settings.base_url.startswith(("https://", "http://"))
        assert isinstance(settings.endpoint.verify, bool) or settings.endpoint.verify
        return
    assert "'my_conn'" in message
    assert KEY not in message
