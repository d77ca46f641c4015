"""The form of a connection treats the extra ``proxy``, which may contain a password, as a secret."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda.get_provider_info import get_provider_info
from airflow_provider_secoda.hooks._connection import form_widgets
from airflow_provider_secoda.hooks.secoda import SecodaHook
from tests.helpers import airflow_runs
from tests.hooks.test_key_stays import PROXY_PASSWORD, pieces, redact

PROXY = f"http://user:{PROXY_PASSWORD}@proxy.example.com:3128"
FIELDS = get_provider_info()["connection-types"][0]["conn-fields"]
SECRETS = {"proxy"}


def test_the_metadata_says_which_extras_are_secret():
    """The proxy is the only extra that may contain a secret."""
    assert {name for name, field in FIELDS.items() if field["schema"].get("format") == "password"} == SECRETS


@pytest.mark.skipif(airflow_runs.version() < (3, 1), reason="before 3.1 Airflow 3 shows extras only with FAB")
def test_airflow_3_hides_what_is_typed():
    """Airflow 3 renders the field as a password, from the metadata and before 3.2 from the Python method."""
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
    from airflow.providers_manager import ProvidersManager

    ProvidersManager()._cleanup()  # an API server reads the hooks once, with the mock of Flask-AppBuilder
    HookMetaService.hook_meta_data.cache_clear()
    (meta,) = [hook for hook in HookMetaService.hook_meta_data() if hook.connection_type == "secoda"]
    shown = {name: dict(field)["schema"] for name, field in meta.extra_fields.items()}
    assert {name for name, schema in shown.items() if schema.get("format") == "password"} == SECRETS


@pytest.mark.skipif(airflow_runs.version() < (3, 1), reason="Airflow 3.0 masks only what its settings name")
def test_the_rest_api_masks_a_saved_proxy():
    """Airflow's REST API returns ``***`` in place of the proxy."""
    from airflow.api_fastapi.core_api.datamodels.connections import ConnectionResponse
    from airflow.models import Connection

    extra = json.dumps({"proxy": PROXY, "region": "eu"})
    shown = ConnectionResponse.model_validate(Connection(conn_id="c", conn_type="secoda", extra=extra))  # noqa: AIR311
    assert json.loads(shown.extra) == {"proxy": "***", "region": "eu"}


@pytest.fixture
def form():
    """Return a form of Airflow 2 with the fields of a connection, whose extra is ``proxy`` and ``region``."""
    if airflow_runs.version() >= (3,):
        pytest.skip("the form of Airflow 2")
    from flask import Flask
    from flask_babel import Babel
    from wtforms import Form, StringField

    app = Flask(__name__)
    Babel(app)
    with app.test_request_context():
        names = {f"extra__secoda__{name}": widget for name, widget in form_widgets(FIELDS).items()}
        standard = {name: StringField() for name in ("conn_id", "conn_type", "extra")}
        yield type("SecodaForm", (Form,), standard | names)


def test_saving_the_form_of_airflow_2_keeps_the_proxy_without_showing_it(airflow, form, monkeypatch):
    """The form of a saved connection contains a placeholder; saved without a change it keeps the proxy."""
    from airflow.providers_manager import ProvidersManager
    from airflow.www.views import ConnectionModelView

    key = "extra__secoda__proxy"
    assert ProvidersManager().connection_form_widgets[key].is_sensitive
    extra = {"proxy": PROXY, "region": "eu"}
    monkeypatch.setenv("AIRFLOW_CONN_SAVED", json.dumps({"conn_type": "secoda", "extra": extra}))
    view = SimpleNamespace(_iter_extra_field_names_and_sensitivity=secoda_fields)
    saved = {"conn_id": "saved", "conn_type": "secoda"}
    opened = form(**saved, extra=json.dumps(extra))
    ConnectionModelView.prefill_form(view, opened, pk=1)
    shown = "".join(str(field()) for field in opened)
    assert pieces(shown, PROXY_PASSWORD) == []
    assert 'type="password"' in str(opened[key]())
    assert str(opened["extra__secoda__region"]()).count('value="eu"') == 1

    typed = {"": {"region": "eu"}, "http://p:1": {"proxy": "http://p:1", "region": "eu"}, shown_in(opened[key]): extra}
    for value, kept in typed.items():
        posted = form(**saved, extra=opened.extra.data, **{key: value, "extra__secoda__region": "eu"})
        ConnectionModelView.process_form(view, posted, is_created=False)
        found = json.loads(posted.extra.data)
        assert {name: one for name, one in found.items() if one is not None} == kept


def secoda_fields():
    """Yield the extras as Airflow's view finds them in its providers manager."""
    from airflow.providers_manager import ProvidersManager

    for key, info in ProvidersManager().connection_form_widgets.items():
        if key.startswith("extra__secoda__"):
            yield key, info.field_name, info.is_sensitive


def shown_in(field):
    """Return the value of a field in the HTML of the form, which the browser sends back."""
    return str(field()).split('value="')[1].split('"')[0]


@pytest.mark.parametrize(
    ("proxy", "secrets"),
    [
        (PROXY, [PROXY_PASSWORD]),
        ("http://user:Amber3%40Wolf7%2FLake@p:1", ["Amber3@Wolf7/Lake", "Amber3%40Wolf7%2FLake"]),
        ("http://Birch6Raven2Fjord@proxy.example.com:3128", ["Birch6Raven2Fjord"]),
        ("http://Cedar4Otter9Delta:@proxy.example.com:3128", ["Cedar4Otter9Delta"]),
    ],
)
def test_credentials_of_a_proxy_are_masked_in_logs(monkeypatch, proxy, secrets):
    """The password of a proxy is masked, as written and decoded, and a token in place of a user and a password."""
    value = {"conn_type": "secoda", "password": "k" * 20, "extra": {"proxy": proxy}}
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(value))
    _ = SecodaHook().settings
    for secret in secrets:
        assert pieces(redact(f"proxy {secret} ..."), secret) == []
