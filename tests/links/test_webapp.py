"""The URL of a resource's page, from a connection's template and an id."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_secoda.client._api.base_url import resolve_base_url
from airflow_provider_secoda.client._api.web_app import app_url, resource_url
from airflow_provider_secoda.client.errors import SecodaConfigurationError

US = "https://api.secoda.co"


@pytest.mark.parametrize(
    ("where", "app"),
    [
        ({}, "https://app.secoda.co"),
        ({"region": "eu"}, "https://eu.secoda.co"),
        ({"region": "apac"}, "https://apac.secoda.co"),
        ({"host": "app.secoda.co"}, "https://app.secoda.co"),
        ({"region": "on_premise", "customer_domain": "acme"}, "https://acme.secoda.co"),
        ({"host": "https://data.example.com:8443/secoda/api/v1/"}, "https://data.example.com:8443/secoda"),
    ],
)
def test_the_url_of_the_web_app(where, app):
    """Each region has its own app host; a self-hosted app has the host of its API."""
    assert app_url(resolve_base_url(**where)) == app


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("{app}/table/{resource_id}", "https://app.secoda.co/table/a%2Fb%3Fc"),
        ("https://example.com/x?id={resource_id}#top", "https://example.com/x?id=a%2Fb%3Fc#top"),
        ("http://localhost:1/{resource_id}/{resource_id}", "http://localhost:1/a%2Fb%3Fc/a%2Fb%3Fc"),
    ],
)
def test_a_url(template, url):
    """The id is percent-encoded, so that it cannot add a path, a query or a fragment."""
    assert resource_url(template, US, "a/b?c") == url


@pytest.mark.parametrize(
    "template",
    [
        "{app}/table",
        "{app}/table/{id}",
        "{app}/{resource_id}/{",
        "{resource_id}",
        "/table/{resource_id}",
        "javascript:alert('{resource_id}')",
        "data:text/html,{resource_id}",
        "https://{resource_id}.example.com/",
        "https://{resource_id}/",
        "https://example.com{resource_id}",
        "https://user:secret@example.com/{resource_id}",
        "https://[/{resource_id}",
        "https://example.com:/{resource_id}",
        "https:///{resource_id}",
        "https://example.com/{app}/{resource_id}",
        "{app}.example.com/{resource_id}",
        "{app}:8443@example.com/{resource_id}",
        "{app}@example.com/{resource_id}",
        "{app}/a b/{resource_id}",
        "{app}/\n{resource_id}",
        "{app}/ä/{resource_id}",
    ],
)
def test_an_invalid_template_is_refused(template):
    """A template that could lead to another place than one page of one host is refused, and named."""
    with pytest.raises(SecodaConfigurationError, match="resource_url"):
        resource_url(template, US, "id")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_id(resource_id):
    """For any id, the URL has the same host and path, and the id can be decoded from it."""
    url = urlsplit(resource_url("{app}/table/{resource_id}/lineage", US, resource_id))
    assert (url.netloc, url.query, url.fragment) == ("app.secoda.co", "", "")
    assert unquote(url.path.removeprefix("/table/").removesuffix("/lineage")) == resource_id


def test_the_setting_of_a_connection():
    """A connection without a template has no link; a wrong template is an error with the id of the connection."""
    pytest.importorskip("airflow")
    from airflow_provider_secoda.hooks._connection import read_connection

    stored = SimpleNamespace(conn_id="c", password="k", host=None, port=None, schema=None, extra="")
    assert read_connection(stored).resource_url is None
    stored.extra = '{"resource_url": " {app}/x/{resource_id} "}'
    settings = read_connection(stored)
    assert (settings.resource_url, settings.unknown_extras) == ("{app}/x/{resource_id}", ())
    stored.extra = '{"resource_url": "{app}/x/"}'
    with pytest.raises(SecodaConfigurationError, match=r"connection 'c': `resource_url`"):
        read_connection(stored)
