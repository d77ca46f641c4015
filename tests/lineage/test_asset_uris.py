"""``secoda://`` asset URIs, as Airflow's own ``Asset`` accepts them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_secoda.assets.secoda import Address, authority_of, create_asset, read_uri, sanitize_uri
from airflow_provider_secoda.client._api.fields import AUDIT_LOG

SPEC = Path(__file__).parents[1] / "samples" / "secoda-openapi-8.22.39.json"

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
ADDRESSES = st.builds(
    Address,
    st.sampled_from(
        ["api.secoda.co", "acme.secoda.co", "localhost:8000", "[::1]:8443", "10.0.0.7", "a.example.com:8443"]
    ),
    st.none() | TEXTS,
    st.none()
    | TEXTS
    | st.sampled_from([".", "..", "audit_logs", "resource", "workspace", "a/b", "50%", "?x=1#y", " "]),
)


@given(ADDRESSES)
def test_a_uri_is_parsed_into_its_parts(address):
    """Airflow does not change the URI of any workspace and resource, and parsing it returns its parts."""
    uri = Asset(uri=address.uri).uri
    assert uri == address.uri
    assert read_uri(uri) == address


@given(ADDRESSES)
def test_a_uri_has_plain_characters_only(address):
    """A URI has only characters that every database and shell accepts, and no segment `..`."""
    parts = urlsplit(address.uri)
    assert re.fullmatch(r"(/[A-Za-z0-9_.~%-]+)+", parts.path)
    assert not {".", ".."} & set(parts.path.split("/"))
    assert (parts.query, parts.fragment, parts.username) == ("", "", None)


@pytest.mark.parametrize(
    ("written", "uri"),
    [
        ("secoda://api.secoda.co/audit_logs", "secoda://api.secoda.co/audit_logs"),
        ("SECODA://App.Secoda.co:443/audit_logs/", "secoda://api.secoda.co/audit_logs"),
        ("secoda://eu.secoda.co/resource/a%2fb", "secoda://eapi.secoda.co/resource/a%2Fb"),
        ("secoda://apac.secoda.co/resource/%61b", "secoda://aapi.secoda.co/resource/ab"),
        ("secoda://Secoda.Example.com./audit_logs", "secoda://secoda.example.com/audit_logs"),
        ("secoda://localhost:8000/resource/x", "secoda://localhost:8000/resource/x"),
        ("secoda://acme.secoda.co/workspace/Data%20Team/audit_logs",) * 2,
    ],
)
def test_an_asset_has_one_spelling(written, uri):
    """All spellings of the address of a workspace give the same asset."""
    assert Asset(uri=written).uri == uri


REFUSED = [
    *("secoda://api.secoda.co", "secoda://api.secoda.co/audit_log", "secoda://api.secoda.co/resource"),
    *("secoda://api.secoda.co/resource/a/b", "secoda://api.secoda.co/acme/audit_logs", "secoda:///audit_logs"),
    *("secoda://api.secoda.co/workspace/acme", "secoda://api.secoda.co/workspace//audit_logs"),
    *("secoda://api.secoda.co/resource/x?page=2", "secoda://api.secoda.co:8080/audit_logs"),
    *("secoda://169.254.169.254/audit_logs", "secoda://a_b/audit_logs", "secoda://api.secoda.co/resource/%ff"),
    "secoda://api.secoda.co//audit_logs",
]


@pytest.mark.parametrize("uri", REFUSED)
def test_an_invalid_uri_is_rejected(uri):
    """A URI that no workspace or resource can have is rejected with the valid forms; Airflow 2 only warns."""
    from tests.helpers.airflow_runs import version

    if version() >= (3,):
        with pytest.raises(ValueError, match="write secoda://<host>/audit_logs or secoda://<host>/resource/<id>"):
            Asset(uri=uri)
    else:
        with pytest.warns(UserWarning, match="is not AIP-60 compliant: .*write secoda://<host>/audit_logs"):
            Asset(uri=uri)


@pytest.mark.parametrize(
    "uri", ["secoda://the-key@api.secoda.co/audit_logs", "secoda://u:the-key@api.secoda.co/audit_logs"]
)
def test_a_key_in_a_uri_is_rejected_and_not_repeated(uri):
    """A URI that contains a key is rejected, and the error does not contain the key."""
    with pytest.raises(ValueError, match="must not contain a user or a key") as refused:
        sanitize_uri(urlsplit(uri))
    assert "the-key" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "uri"),
    [
        ({}, "secoda://api.secoda.co/audit_logs"),
        ({"region": "eu"}, "secoda://eapi.secoda.co/audit_logs"),
        ({"customer_domain": "acme", "resource_id": "a b"}, "secoda://acme.secoda.co/resource/a%20b"),
        ({"host": "https://secoda.example.com:8443/secoda/api/v1/"}, "secoda://secoda.example.com:8443/audit_logs"),
        ({"host": "eu.secoda.co", "workspace": "é"}, "secoda://eapi.secoda.co/workspace/%C3%A9/audit_logs"),
    ],
)
def test_the_factory_takes_the_fields_of_a_connection(arguments, uri):
    """The factory accepts the fields of the connection's form, and Airflow's arguments of an asset."""
    asset = create_asset(**arguments, extra={"team": "data"})
    assert (asset.uri, asset.extra) == (uri, {"team": "data"})


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"resource_id": ""}, "`resource_id`"),
        ({"workspace": ""}, "`workspace`"),
        ({"resource_id": "\ud800"}, "`resource_id`"),
        ({"region": "mars"}, "`region`"),
        ({"host": "http://secoda.example.com"}, "https"),
    ],
)
def test_an_invalid_argument_is_named(arguments, name):
    """The factory's errors name the argument to change."""
    with pytest.raises(ValueError, match=name):
        create_asset(**arguments)


@pytest.mark.parametrize(
    ("base_url", "authority"),
    [
        ("https://api.secoda.co", "api.secoda.co"),
        ("https://secoda.example.com:443/secoda", "secoda.example.com"),
        ("http://127.0.0.1:80", "127.0.0.1"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_an_authority_has_no_default_port(base_url, authority):
    """The authority of a workspace is host and port, without the default port."""
    assert authority_of(base_url) == authority


def test_other_schemes_are_not_read():
    """A URI of another scheme is rejected."""
    with pytest.raises(ValueError, match="does not begin with secoda://"):
        read_uri("s3://bucket/audit_logs")


def test_the_factory_serves_hook_lineage():
    """A hook that reports lineage by scheme gets its asset from the factory, through Airflow's registry."""
    from tests.helpers.airflow_runs import version

    if version() >= (3, 2):
        from airflow.sdk.lineage import HookLineageCollector
    else:
        from airflow.lineage.hook import HookLineageCollector

    described = {"region": "apac", "resource_id": "x"}
    collector = HookLineageCollector()
    if version() >= (3,):
        collector.add_input_asset(object(), scheme="secoda", asset_kwargs=described)
        found = [info.asset.uri for info in collector.collected_assets.inputs]
    else:
        collector.add_input_dataset(object(), scheme="secoda", dataset_kwargs=described)  # noqa: AIR301
        found = [info.dataset.uri for info in collector.collected_datasets.inputs]
    assert found == ["secoda://aapi.secoda.co/resource/x"]


def test_the_fields_are_the_documented_ones():
    """The schema in lineage has the fields and types of the vendor's document."""
    schemas = json.loads(SPEC.read_text())["components"]["schemas"]

    def kind(schema):
        if "$ref" in schema:
            return {name: kind(field) for name, field in schemas[schema["$ref"].split("/")[-1]]["properties"].items()}
        if "anyOf" in schema:
            (schema,) = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
            return kind(schema)
        return [kind(schema["items"])] if schema["type"] == "array" else schema.get("format", schema["type"])

    assert kind({"$ref": "v1_ActivityLogOut"}) == AUDIT_LOG
    assert list(AUDIT_LOG) == list(schemas["v1_ActivityLogOut"]["properties"])
