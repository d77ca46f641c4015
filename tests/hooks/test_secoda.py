"""The hook with Airflow: connections, messages of the connection test, errors, listings, and its form."""

import json
import re
import warnings
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import distributions
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client.errors import (
    SecodaAuthenticationError,
    SecodaConfigurationError,
    SecodaConnectionError,
    SecodaIncompleteError,
    SecodaLimitError,
    SecodaNotFoundError,
    SecodaPermissionError,
    SecodaRedirectError,
    SecodaRequestError,
    SecodaResponseError,
    SecodaServerError,
    SecodaTLSError,
)
from airflow_provider_secoda.get_provider_info import get_provider_info
from airflow_provider_secoda.hooks.secoda import SecodaHook
from airflow_provider_secoda.sandbox import Workspace
from tests.helpers import airflow_runs
from tests.helpers.rude_servers import RawServer, certificate, free_port, http

UTC = timezone.utc
MONTH = {"seed": 3, "logs": 600, "days": 30, "until": datetime(2026, 10, 1, tzinfo=UTC), "people": 5}
START, END = datetime(2026, 9, 5, tzinfo=UTC), datetime(2026, 9, 20, 12, tzinfo=UTC)
KEY = "key-0123456789-abcdefghij"
MEMBER = "member-0123456789-key"


@pytest.fixture
def month(secoda_sandbox_factory):
    """Serve a month of logs as the connection ``secoda_default``."""
    return secoda_sandbox_factory(Workspace.generate(**MONTH), page_size=20, member_key=MEMBER)


@pytest.fixture
def connect(monkeypatch):
    """Return a function that sets the connection ``my_conn`` and returns a hook for it."""

    def made(**fields):
        fields = {"conn_type": "secoda", "password": KEY} | fields
        monkeypatch.setenv("AIRFLOW_CONN_MY_CONN", json.dumps(fields))
        return SecodaHook("my_conn")

    return made


def words_of_test(hook, works=False):
    """Return what the connection test says; it never shows the key."""
    result, text = hook.test_connection()
    assert (result, KEY in text) == (works, False), text
    return text


def test_the_default_connection(month):
    """Without an argument the hook reads the connection `secoda_default`."""
    assert SecodaHook().list_audit_logs()["count"] == 600
    assert (SecodaHook.conn_name_attr, SecodaHook.default_conn_name, SecodaHook.conn_type) == (
        *("secoda_conn_id", "secoda_default", "secoda"),
    )


def test_an_answer_beyond_a_limit(connect):
    """An answer that is larger than the connection allows fails a task, and the test names the limit."""
    with RawServer(http(b" " * 2_000)) as server:
        hook = connect(host=server.url, extra={"max_body_bytes": "1000"})
        with pytest.raises(AirflowFailException, match="max_body_bytes") as error:
            hook.list_audit_logs()
        assert isinstance(error.value.__cause__, SecodaLimitError)
        assert len(server.requests) == 1
        text = words_of_test(hook)
    assert text.startswith("The response exceeds a limit of this connection")
    assert "`max_body_bytes`" in text


def test_a_connection_by_uri(month, monkeypatch):
    """A connection given as a URI reads the same."""
    monkeypatch.setenv("AIRFLOW_CONN_BY_URI", month.connection_uri)
    assert SecodaHook("by_uri").list_audit_logs()["count"] == 600


def test_a_connection_of_the_vendors_package(month, connect):
    """A connection made for the vendor's own package works unchanged."""
    hook = connect(host=month.url, password=month.api_key, extra={"integration_id": "0c1d"})
    assert hook.list_audit_logs()["count"] == 600


def test_the_hook_that_airflow_makes(month):
    """Airflow finds the hook class by the connection's type, and gives it the connection's id."""
    from airflow.providers.common.compat.sdk import BaseHook

    hook = BaseHook.get_hook("secoda_default")
    assert (type(hook), hook.secoda_conn_id) == (SecodaHook, "secoda_default")


def test_one_client(month):
    """A hook has one client, with the settings of the connection and a user agent."""
    hook = SecodaHook()
    assert hook.get_conn() is hook.get_conn()
    assert hook.get_conn().base_url == month.url
    hook.list_audit_logs()
    assert month.requests[0].headers["user-agent"].startswith("airflow-provider-secoda/")


@pytest.fixture
def said(caplog, capsys):
    """Return a function that gives the lines about a connection that a hook logs, with each version of Airflow."""

    def lines(hook):
        caplog.clear()
        capsys.readouterr()
        _ = hook.settings, hook.settings
        printed = capsys.readouterr()
        text = (printed.out + printed.err or caplog.text).splitlines()
        return [line for line in text if "my_conn" in line and "etriev" not in line]

    return lines


def test_unknown_extras_are_named(connect, said):
    """An unknown extra is named in a warning, once, with the known one that may be meant."""
    (line,) = said(connect(extra={"regoin": "eu", "time_out": 3, "region": "us", "team": "data"}))
    assert "regoin (is region meant?), team, time_out (is timeout meant?)" in line
    assert "warning" in line.lower()


def test_not_verifying_is_warned_about(connect, said):
    """A connection that does not verify certificates logs what that means; others log nothing."""
    (line,) = said(connect(extra={"verify": False}))
    assert "does not verify" in line
    assert said(connect(extra={"verify": "true", "integration_id": "0c1d"})) == []


def test_a_connection_that_works(month):
    """The test of a connection that works says which server it reached and how many logs there are."""
    text = words_of_test(SecodaHook(), works=True)
    assert text == f"Connected to Secoda at {month.url}: the workspace has 600 audit logs"
    assert [(record.method, record.params) for record in month.requests] == [("GET", {"page": "1"})]


@pytest.mark.parametrize(
    ("mishap", "words"),
    [
        (401, ["API key is wrong", "set a valid one"]),
        (403, ["valid", "not a workspace admin"]),
        (404, ["no Secoda API at this address", "region", "host"]),
        ("html", ["not a Secoda API", "region", "host", "text/html"]),
        ('json:{"status": "OK"}', ["not a Secoda API", "region", "host"]),
        ('json:{"count": 3, "total_pages": 1}', ["not a Secoda API"]),
        ("redirect:https://app.secoda.co/login", ["redirects to another one", "set the host", "app.secoda.co/login"]),
        ("reset", ["connection broke", "proxy", "firewall"]),
        (500, ["Secoda could not answer", "500"]),
        (503, ["Secoda could not answer", "503"]),
        (("status", 429, {"retry-after": "600"}), ["Secoda could not answer", "429", "too many requests"]),
        (400, ["Secoda could not answer", "400"]),
    ],
)
def test_each_answer_has_its_hint(month, mishap, words):
    """Each kind of response has a hint that says what to do, after one request and without waiting."""
    month.faults.script = [mishap]
    text = words_of_test(SecodaHook())
    assert [word for word in words if word not in text] == []
    assert len(month.requests) == 1


def test_each_wrong_key_has_its_hint(month, connect):
    """A wrong key and a key of a user who is not an admin have different hints."""
    assert "API key is wrong" in words_of_test(connect(host=month.url))
    assert "not a workspace admin" in words_of_test(connect(host=month.url, password=MEMBER))


def test_each_failed_connection_has_its_hint(month, connect, tmp_path):
    """Unknown host, no server, no response in time, a certificate that is not trusted: each has a hint what to do."""
    assert "check the region, the customer domain or the host" in words_of_test(connect(host="https://secoda.invalid"))
    assert "No server listens at this address" in words_of_test(connect(host=f"http://127.0.0.1:{free_port()}"))
    with RawServer(hold=True) as server:
        assert "No response in time" in words_of_test(connect(host=server.url, extra={"timeout": 0.1}))
    _, context = certificate(tmp_path, "127.0.0.1")
    with RawServer(http(), context=context) as server:
        assert "`verify`" in words_of_test(connect(host=server.url))
    assert "does not use HTTPS" in words_of_test(connect(host=month.url.replace("http", "https")))
    proxy = f"http://127.0.0.1:{free_port()}"
    assert "check the extra `proxy`" in words_of_test(connect(host="https://secoda.invalid", extra={"proxy": proxy}))


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"password": ""}, "`password`"),
        ({"password": "two words"}, "`password`"),
        ({"extra": {"region": "mars"}}, "`region`"),
        ({"extra": {"region": "on_premise"}}, "`customer_domain`"),
        ({"host": "http://secoda.example.com"}, "https"),
        ({"extra": {"verify": "/no/such/bundle.pem"}}, "`verify`"),
        ({"extra": {"timeout": "soon"}}, "`timeout`"),
        ({"extra": {"proxy": "http://proxy.example.com:x"}}, "`proxy`"),
    ],
)
def test_a_connection_that_is_not_set_up_correctly(connect, fields, word):
    """For an invalid connection the message names the field to change, and no request is sent."""
    text = words_of_test(connect(**fields))
    assert word in text
    assert "not set up correctly" in text
    with pytest.raises(SecodaConfigurationError):
        connect(**fields).get_conn()


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("regoin", "region"),
        ("Region", "region"),
        ("region_name", "region"),
        ("customerDomain", "customer_domain"),
        ("custom_domain", "customer_domain"),
        ("time_out", "timeout"),
        ("verfiy", "verify"),
        ("verify_ssl", "verify"),
        ("proxy_url", "proxy"),
        ("max_body_byte", "max_body_bytes"),
        ("max-nesting", "max_nesting"),
        ("extra__secoda__region", "region"),
        ("work_space", "workspace"),
    ],
)
def test_an_extra_that_resembles_a_known_one(month, connect, name, known):
    """The connection test fails for a misspelled extra, names the known one, and sends no request."""
    text = words_of_test(connect(host=month.url, password=month.api_key, extra={name: "eu"}))
    assert "not set up correctly" in text
    assert f"extra `{name}` is unknown: rename it to `{known}`" in text
    assert month.requests == []


@pytest.mark.parametrize("name", ["team", "owner", "description", "comment", "version", "integration_id", "host", ""])
def test_an_extra_that_resembles_no_other(month, connect, name):
    """An extra for other software does not fail the connection test."""
    words_of_test(connect(host=month.url, password=month.api_key, extra={name: "eu"}), works=True)


def test_a_key_of_another_region(month, connect):
    """After a 401 the message says that a key belongs to one region, and which host was requested."""
    month.faults.script = [401, 401]
    hook = connect(host=month.url)
    text = words_of_test(hook)
    assert "in one region only" in text
    with pytest.raises(AirflowFailException) as error:
        hook.list_audit_logs()
    for shown in (text, str(error.value)):
        assert ("another region" in shown, f"to {month.url}/" in shown) == (True, True)


@pytest.mark.parametrize(
    ("mishap", "kind"),
    [
        (401, AirflowFailException),
        (404, AirflowFailException),
        ("redirect:https://evil.example/", AirflowFailException),
        (503, SecodaServerError),
        ("html", SecodaResponseError),
        ('json:{"results": []}', SecodaResponseError),
        ("cut", SecodaConnectionError),
    ],
)
def test_errors_name_the_connection_and_the_host(month, connect, mishap, kind):
    """Errors of every kind name the connection and the host, once each, whichever method is called."""
    hook = connect(host=month.url, password=month.api_key)
    hook._client = hook._make_client(RetryPolicy(attempts=1))
    for use in (
        hook.list_audit_logs,
        lambda: list(hook.iter_raw_audit_logs(START, END)),
        lambda: list(hook.iter_version_histories("R")),
    ):
        month.faults.script = [mishap] * 50
        with pytest.raises(kind) as error:
            use()
        assert str(error.value).startswith("connection 'my_conn'")
        assert (str(error.value).count("my_conn"), str(error.value).count(month.url)) == (1, 1)


def test_errors_of_the_environment_name_the_connection(connect, monkeypatch):
    """A CA bundle of the environment that does not exist is an error that names the connection, too."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    with pytest.raises(SecodaConfigurationError, match="connection 'my_conn': `REQUESTS_CA_BUNDLE`"):
        connect(host="https://secoda.invalid").get_conn()


def test_a_connection_that_does_not_exist(airflow):
    """A connection that does not exist is an error in the set-up that names it; the cause is Airflow's error."""
    with pytest.raises(SecodaConfigurationError, match="connection 'nowhere' does not exist") as error:
        SecodaHook("nowhere").get_conn()
    assert type(error.value.__cause__).__name__ == "AirflowNotFoundException"


def test_a_connection_test_by_its_id(month):
    """The connection is tested by the id that it is stored under, as Airflow's own test does it."""
    from airflow.models.connection import Connection

    assert Connection(conn_id="secoda_default", uri=month.connection_uri).test_connection()[0] is True


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, SecodaRequestError),
        (401, SecodaAuthenticationError),
        (403, SecodaPermissionError),
        (404, SecodaNotFoundError),
        (422, SecodaRequestError),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        lambda hook: hook.list_audit_logs(),
        lambda hook: hook.list_resource_logs("R"),
        lambda hook: next(hook.iter_audit_logs(START, END)),
        lambda hook: next(hook.iter_raw_audit_logs(START, END)),
        lambda hook: next(hook.iter_version_histories("R")),
    ],
)
def test_final_errors_fail_at_once(month, status, kind, use):
    """Final errors are raised as AirflowFailException with the same message, and the original error as the cause."""
    month.faults.script = [status] * 8
    with pytest.raises(AirflowFailException) as error:
        use(SecodaHook())
    assert (type(error.value.__cause__), error.value.__cause__.status) == (kind, status)
    assert str(error.value) == str(error.value.__cause__)


def test_a_bad_certificate_and_a_foreign_redirect_fail_at_once(month, connect, tmp_path):
    """An untrusted certificate and a redirect to another origin are final, too."""
    month.faults.script = ["redirect:https://evil.example/"]
    with pytest.raises(AirflowFailException) as error:
        SecodaHook().list_audit_logs()
    assert isinstance(error.value.__cause__, SecodaRedirectError)
    _, context = certificate(tmp_path, "127.0.0.1")
    with RawServer(http(), context=context) as server, pytest.raises(AirflowFailException) as error:
        connect(host=server.url).list_audit_logs()
    assert isinstance(error.value.__cause__, SecodaTLSError)


def test_retriable_errors_are_raised_unchanged(month, monkeypatch):
    """Errors that a retry may fix are raised unchanged, for Airflow's retries."""
    hook = SecodaHook()
    hook._client = hook._make_client(RetryPolicy(attempts=2, base=0.001))
    month.faults.script = [503] * 2
    with pytest.raises(SecodaServerError):
        hook.list_audit_logs()
    month.faults.hide = {month.workspace.logs[300]["id"]}
    with pytest.raises(SecodaIncompleteError):
        list(hook.iter_audit_logs(START, END))


def test_a_retry_within_a_task_is_logged(month, caplog):
    """A read that succeeds through several failures has a line for the first of each kind."""
    month.faults.script = [503, 503, 429]
    hook = SecodaHook()
    hook._client = hook._make_client(RetryPolicy(base=0.001))
    assert len(list(hook.iter_audit_logs(START, END))) == len(month.workspace.window(START, END))
    lines = [record.getMessage() for record in caplog.records if "to request page" in record.getMessage()]
    assert [line.partition(" to http")[0] for line in lines] == ["Secoda answered 503", "Secoda answered 429"]


def test_one_page(month):
    """One page comes as documented, filtered, sorted and by its number."""
    hook = SecodaHook()
    page = hook.list_audit_logs(
        filter='{"operator": "exact", "field": "performer_type", "value": "USER"}',
        sort={"field": "logged_at", "order": "asc"},
        page=2,
    )
    expected = sorted(
        (log for log in month.workspace.logs if log["performer_type"] == "USER"), key=lambda log: log["logged_at"]
    )
    assert page["results"] == expected[20:40]
    assert (page["count"], page["meta"]["page"]) == (len(expected), 2)
    resource = next(log["resource_id"] for log in month.workspace.logs if log["version_history_id"] is None)
    logs = hook.list_resource_logs(resource, page=1)
    assert {log["resource_id"] for log in logs["non_versioned_logs"]} == {resource}


@pytest.mark.parametrize("timestamp_field", ["logged_at", "created_at"])
def test_a_window(month, timestamp_field):
    """A window is streamed as dicts, each log once, exactly what the workspace holds."""
    logs = SecodaHook().iter_audit_logs(START, END, timestamp_field=timestamp_field)
    assert iter(logs) is logs
    found = list(logs)
    expected = [json.loads(raw) for raw in month.workspace.window(START, END, timestamp_field)]
    assert sorted(found, key=lambda log: log["id"]) == sorted(expected, key=lambda log: log["id"])


def test_a_window_of_a_data_interval(month):
    """The datetimes of a task's context are pendulum's: a window of them is the same window."""
    import pendulum

    interval = [pendulum.instance(edge).in_timezone("Asia/Kathmandu") for edge in (START, END)]
    assert list(SecodaHook().iter_audit_logs(*interval)) == list(SecodaHook().iter_audit_logs(START, END))


def test_an_integer_that_python_does_not_read(connect):
    """A log with an integer of thousands of digits does not end a read; that integer comes as text."""
    digits = "7" * 5_000
    times = '"logged_at": "2026-09-10T00:00:00Z", "created_at": "2026-09-10T00:00:00Z"'
    record = f'{{"id": "a", {times}, "n": {digits}, "m": {digits[:300]}, "latest_activity_logged_at": null}}'
    lists = f'"results": [{record}], "version_histories": [{record}], "non_versioned_logs": []'
    with RawServer(http(f'{{{lists}, "count": 1, "total_pages": 1}}'.encode())) as server:
        hook = connect(host=server.url)
        for (log,) in (hook.iter_audit_logs(START, END), hook.iter_version_histories("R")):
            assert (log["n"], log["m"]) == (digits, int(digits[:300]))


def test_a_filtered_window(month):
    """A filter narrows the window, and may be JSON text as a template renders it."""
    text = '{"operator": "in", "field": "performer_type", "value": ["API", "AUTOMATION"]}'
    found = {log["id"] for log in SecodaHook().iter_audit_logs(START, END, text)}
    window = map(json.loads, month.workspace.window(START, END))
    assert found == {log["id"] for log in window if log["performer_type"] in ("API", "AUTOMATION")}


def test_version_histories(secoda_sandbox_factory):
    """The versions of a resource come as dicts, over several pages, each once."""
    workspace = Workspace()
    made = [workspace.add_version("R")["id"] for _ in range(9)]
    secoda_sandbox_factory(workspace, page_size=4)
    found = [version["id"] for version in SecodaHook().iter_version_histories("R")]
    assert (len(found), set(found)) == (9, set(made))


@cache
def schema(name):
    return json.loads((files("airflow") / name).read_text())


def test_the_provider_info_is_valid():
    """The metadata is valid by Airflow's own schema of this version."""
    import jsonschema

    info = get_provider_info()
    jsonschema.validate(info, schema("provider_info.schema.json"))
    document = schema("provider.yaml.schema.json")["properties"]["connection-types"]
    jsonschema.validate(info["connection-types"], document)
    for field in info["connection-types"][0]["conn-fields"].values():
        jsonschema.Draft202012Validator.check_schema(field["schema"])


def test_the_description_reads_well():
    """Airflow's API and CLI remove the markup of reStructuredText; what remains is a sentence."""
    description = get_provider_info()["description"]
    plain = re.sub(r"[`_<>]", "", description)
    assert plain == "Audit logs and version histories of the data catalog Secoda https://www.secoda.co/"
    if airflow_runs.version() >= (3, 1):  # 3.0 has the function elsewhere
        from airflow.api_fastapi.core_api.services.public.providers import _remove_rst_syntax

        assert _remove_rst_syntax(description) == plain


def test_the_form_has_the_extras_that_are_read():
    """The form shows each extra that the documents list and the hook reads; one is of another package only."""
    from airflow_provider_secoda.client._api.base_url import ON_PREMISE, REGIONS
    from airflow_provider_secoda.hooks._connection import KNOWN_EXTRAS

    fields = get_provider_info()["connection-types"][0]["conn-fields"]
    assert set(KNOWN_EXTRAS) - set(fields) == {"integration_id"}
    text = (Path(__file__).parents[2] / "docs" / "reference" / "connection.md").read_text()
    rows = re.findall(r"^\| extra (.+?) \|", text, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(fields)
    assert set(fields) <= set(KNOWN_EXTRAS)
    assert set(fields["region"]["schema"]["enum"]) == {*REGIONS, ON_PREMISE}


def test_every_module_in_the_info_exists():
    """Each module and class in the provider info exists."""
    from importlib import import_module

    info = get_provider_info()
    for kind in ("hooks", "operators"):
        for entry in info[kind]:
            assert [import_module(name) for name in entry["python-modules"]]
    module, _, name = info["connection-types"][0]["hook-class-name"].rpartition(".")
    assert getattr(import_module(module), name) is SecodaHook
    assert info["connection-types"][0]["hook-name"] == SecodaHook.hook_name
    assert info["connection-types"][0]["connection-type"] == SecodaHook.conn_type


def test_airflow_finds_the_provider():
    """Airflow's own manager finds the package, the connection type and the hook, without a warning."""
    from airflow.providers_manager import ProvidersManager

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        manager = ProvidersManager()
        manager.initialize_providers_hooks()
        hook = manager.hooks["secoda"]
    assert "airflow-provider-secoda" in manager.providers
    assert (hook.hook_name, hook.connection_type) == ("Secoda", "secoda")
    assert hook.hook_class_name == "airflow_provider_secoda.hooks.secoda.SecodaHook"
    assert [str(warning.message) for warning in caught if "secoda" in str(warning.message).lower()] == []


def test_the_forms_behaviour_before_3_2():
    """The Python method says the same as the metadata, in the shape that older Airflows check."""
    import jsonschema

    behaviour = SecodaHook.get_ui_field_behaviour()
    jsonschema.validate(behaviour, schema("customized_form_field_behaviours.schema.json"))
    declared = get_provider_info()["connection-types"][0]["ui-field-behaviour"]
    assert {name.replace("_", "-"): value for name, value in behaviour.items()} == declared


def test_the_forms_fields_before_3_2():
    """The Python method gives a widget for each field of the metadata, and the region a choice of the same words."""
    if "flask-appbuilder" not in {found.name.lower() for found in distributions()}:
        pytest.skip(
            "Flask-AppBuilder is not installed; an import could find the mock that Airflow 3.1 and 3.2 make of it"
        )
    from flask import Flask
    from flask_babel import Babel
    from werkzeug.datastructures import MultiDict
    from wtforms import Form

    fields = get_provider_info()["connection-types"][0]["conn-fields"]
    app = Flask(__name__)
    Babel(app)
    with app.app_context(), app.test_request_context():
        widgets = SecodaHook.get_connection_form_widgets()
        assert list(widgets) == list(fields)
        form = type("SecodaForm", (Form,), widgets)
        assert {name: str(form()[name].label.text) for name in widgets} == {
            name: field["label"] for name, field in fields.items()
        }
        for region, valid in (("eu", True), ("", True), ("on_premise", True), ("mars", False)):
            assert form(MultiDict({"region": region})).validate() is valid


def test_airflow_2_shows_the_fields():
    """On Airflow 2 the manager holds the fields and the behaviour that its form is drawn from."""
    if airflow_runs.version() >= (3,):
        pytest.skip("Airflow 3 reads the metadata, or draws no fields of any provider")
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    widgets = [name for name in manager.connection_form_widgets if "secoda" in name]
    assert widgets == [f"extra__secoda__{name}" for name in get_provider_info()["connection-types"][0]["conn-fields"]]
    assert manager.field_behaviours["secoda"]["relabeling"]["password"] == "API key"


def test_airflow_3_shows_the_fields():
    """From 3.2 on the form is drawn from the metadata: every field is there, the region with its choices."""
    if airflow_runs.version() < (3, 2):
        pytest.skip("older ones do not read the metadata")
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    (meta,) = [hook for hook in HookMetaService.hook_meta_data() if hook.connection_type == "secoda"]
    declared = get_provider_info()["connection-types"][0]
    assert list(meta.extra_fields) == list(declared["conn-fields"])
    shown = meta.extra_fields["region"]
    shown = shown if isinstance(shown, dict) else shown.model_dump()
    assert shown["schema"]["enum"] == declared["conn-fields"]["region"]["schema"]["enum"]
    standard = meta.standard_fields
    assert (standard.password.title, standard.host.title) == ("API key", "Base URL (self-hosted only)")
    assert [standard.login.hidden, standard.url_schema.hidden] == [True] * 2
    assert not standard.port.hidden
