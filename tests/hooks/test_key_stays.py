"""The API key is in no log, repr, error, traceback with local variables or pickle, after any failure."""

import io
import json
import logging
import pickle
import traceback
from dataclasses import replace
from datetime import datetime, timezone
from urllib.parse import unquote

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda.client._api.endpoint import Key
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client.sync import SecodaClient
from airflow_provider_secoda.hooks._connection import read_connection
from airflow_provider_secoda.hooks.secoda import SecodaHook
from airflow_provider_secoda.sandbox import Workspace
from tests.helpers.rude_servers import RawServer, Tunnel, certificate, free_port, header, http

KEY = "Zebra7Quartz/Falcon+Onyx=Willow-93.Umber_Jade"
PROXY_PASSWORD = "Cobalt5Heron8Marsh"
UTC = timezone.utc
START, END = datetime(2026, 9, 5, tzinfo=UTC), datetime(2026, 9, 20, tzinfo=UTC)
MONTH = {"seed": 3, "logs": 300, "days": 30, "until": datetime(2026, 10, 1, tzinfo=UTC), "people": 5}


def pieces(text, secret=KEY):
    """Return the parts of a secret, of eight characters each, that are in a string."""
    found = [secret[i : i + 8] for i in range(len(secret) - 7)]
    return [piece for piece in found if piece in text]


def test_the_search_finds_the_key():
    """The search of these tests finds the key complete, truncated and quoted: without it they could not fail."""
    assert pieces(f"Bearer {KEY}")
    assert pieces(KEY[5:13]) == [KEY[5:13]]
    assert pieces(repr({"Authorization": KEY}))
    assert not pieces("Bearer ***")


@pytest.fixture
def logged(capsys, monkeypatch):
    """Log everything at DEBUG, and return a function that gives all that was logged and printed."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s %(args)s"))
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    loggers = [logging.getLogger(name) for name in ("urllib3", "requests", "airflow", "airflow_provider_secoda")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield lambda: stream.getvalue() + "".join(capsys.readouterr())
    for logger, before in zip(loggers, levels, strict=True):
        logger.setLevel(before)
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def connect(monkeypatch):
    def made(**fields):
        fields = {"conn_type": "secoda", "password": KEY} | fields
        monkeypatch.setenv("AIRFLOW_CONN_MY_CONN", json.dumps(fields))
        return SecodaHook("my_conn")

    return made


def everything_about(error):
    """Return all that an error can show: text, repr, attributes, tracebacks with local variables, pickles."""
    texts = []
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        texts += [str(error), repr(error), repr(error.args), repr(vars(error))]
        # As error reporters do: with the local variables of every frame, whether or not the context is shown.
        rendered = traceback.TracebackException.from_exception(_without_this_module(error), capture_locals=True)
        texts += rendered.format()
        texts.append(repr(pickle.dumps(error)))
        for hidden in (error.__cause__, error.__context__):
            if hidden is not None:
                texts += traceback.TracebackException.from_exception(hidden, capture_locals=True).format()
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


def _without_this_module(error):
    """Leave out the frames of the tests themselves, which know the key."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return error.with_traceback(trace)


def caught(use):
    try:
        use()
    except Exception as error:  # noqa: BLE001 - any error
        return error
    raise AssertionError("nothing went wrong")


def echo(status):
    """Return a server that repeats the key of a request in the headers and the body of the response."""

    def answer(request):
        sent = header(request, "Authorization")
        body = json.dumps({"detail": f"{sent} is not right", "headers": {"Authorization": sent}}).encode()
        return http(body, status=f"{status} {sent}", x_echo=sent, location=f"https://evil.example/{sent}")

    return answer


USES = {
    "page": lambda hook: hook.list_audit_logs(),
    "resource": lambda hook: hook.list_resource_logs("R"),
    "window": lambda hook: list(hook.iter_audit_logs(START, END, concurrency=2)),
    "versions": lambda hook: list(hook.iter_version_histories("R")),
}


def impatient(hook):
    """Return the hook, with a client that does not wait between its attempts."""
    endpoint = replace(hook.settings.endpoint, timeout=1.0)
    hook._client = SecodaClient.from_endpoint(endpoint, RetryPolicy(attempts=2, base=0.001, cap=0.001))
    return hook


def test_when_all_goes_well(secoda_sandbox_factory, connect, logged):
    """A window is read with everything logged at DEBUG, and nothing shows the key."""
    sandbox = secoda_sandbox_factory(Workspace.generate(**MONTH), api_key=KEY, page_size=20)
    hook = connect(host=sandbox.url)
    assert list(hook.iter_audit_logs(START, END))
    assert hook.test_connection()[0] is True
    shown = [
        repr(hook),
        str(hook),
        repr(vars(hook)),
        repr(hook.settings),
        repr(hook.get_conn()),
        repr(vars(hook.get_conn())),
    ]
    shown += [repr(vars(hook.get_conn()._transport)), repr(hook.get_conn()._transport), hook.test_connection()[1]]
    log = logged()
    assert "urllib3" in log
    assert pieces(log + "".join(shown)) == []


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 404, 429, 500])
def test_when_a_server_repeats_the_key(connect, logged, use, status):
    """If a server repeats the key everywhere in a response, it is in no log and no error."""
    with RawServer(echo(status)) as server:
        hook = impatient(connect(host=server.url))
        error = caught(lambda: USES[use](hook))
        said = hook.test_connection()[1]
    assert header(server.requests[0], "Authorization") == f"Bearer {KEY}"
    assert pieces(everything_about(error) + said + logged()) == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",
        http(b"<html>", content_type="text/html"),
    ],
)
def test_when_the_wire_breaks(connect, logged, answer):
    """Broken connections and foreign bodies show no part of the key."""
    with RawServer(answer) as server:
        error = caught(lambda: USES["window"](impatient(connect(host=server.url))))
    assert pieces(everything_about(error) + logged()) == []


def test_when_a_status_line_repeats_the_key(connect, logged):
    """If a server responds with the key instead of HTTP, it is in no error."""
    with RawServer(lambda request: f"{header(request, 'Authorization')}\r\n\r\n".encode()) as server:
        error = caught(lambda: USES["page"](impatient(connect(host=server.url))))
    assert pieces(everything_about(error) + logged()) == []


def test_when_no_server_answers(connect, logged, tmp_path):
    """Unknown hosts, refused connections, timeouts and bad certificates do not show the key."""
    _, context = certificate(tmp_path, "127.0.0.1")
    with RawServer(http(), context=context) as secure, RawServer(hold=True) as silent:
        for fields in (
            {"host": "https://secoda.invalid"},
            {"host": f"http://127.0.0.1:{free_port()}"},
            {"host": secure.url},
            {"host": silent.url, "extra": {"timeout": 0.05}},
        ):
            hook = connect(**fields)
            hook._client = hook._make_client(RetryPolicy(attempts=1))
            error = caught(hook.list_audit_logs)
            assert pieces(everything_about(error) + hook.test_connection()[1] + logged()) == [], fields


@pytest.mark.parametrize("refusal", [http(status="407 Proxy Authentication Required"), b"", b"garbage\r\n\r\n", None])
def test_when_a_proxy_refuses(connect, logged, refusal):
    """A proxy that refuses never sees the key, and its own password is never shown."""
    with Tunnel(answer=refusal or b"") as proxy:
        address = proxy.url if refusal is not None else f"http://127.0.0.1:{free_port()}"
        hook = connect(
            host="https://secoda.invalid", extra={"proxy": address.replace("//", f"//user:{PROXY_PASSWORD}@")}
        )
        error = caught(lambda: USES["page"](impatient(hook)))
        said = everything_about(error) + repr(hook.settings) + hook.test_connection()[1] + logged()
    assert pieces(said) == []
    assert pieces(said, PROXY_PASSWORD) == []
    assert pieces(b"".join(proxy.requests).decode("latin-1")) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"extra": {"region": "mars"}},
        {"extra": {"region": "on_premise"}},
        {"host": "http://secoda.example.com"},
        {"host": f"https://user:{PROXY_PASSWORD}@secoda.example.com"},
        {"host": "secoda.example.com?x"},
        {"extra": {"customer_domain": f"user:{PROXY_PASSWORD}@evil"}},
        {"extra": {"timeout": "soon"}},
        {"extra": {"verify": 3}},
        {"extra": {"verify": "/no/such/bundle.pem"}},
        {"extra": {"proxy": f"user:{PROXY_PASSWORD}@proxy"}},
        {"password": f"{KEY} {KEY}"},
        {"password": f"{KEY}é"},
    ],
)
def test_when_the_connection_is_wrong(connect, logged, fields):
    """A connection with one wrong field does not show another field's secret, not even a mistyped key."""
    hook = connect(**fields)
    said = everything_about(caught(hook.get_conn)) + hook.test_connection()[1] + logged()
    assert pieces(said) == []
    assert pieces(said, PROXY_PASSWORD) == []


def test_when_a_connection_is_read_without_a_hook():
    """The error of reading a connection has no frame with the connection."""

    class Shown:
        conn_id, password, host, port, schema, extra = "my_conn", KEY, None, None, None, '{"region": "mars"}'

        def __repr__(self):
            return f"Connection(password={self.password!r})"

    assert pieces(everything_about(caught(lambda: read_connection(Shown())))) == []


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "http://secoda.example.com"},
        {"proxy": "nothing"},
        {"verify": "/no/such/bundle.pem"},
        {"api_key": f"{KEY} {KEY}"},
    ],
)
def test_when_a_client_is_made_wrongly(options):
    """The error of a constructor that fails has no frame with the key."""
    arguments = {"api_key": KEY} | options
    assert pieces(everything_about(caught(lambda: SecodaClient(**arguments)))) == []


def test_a_record_may_hold_the_key(secoda_sandbox_factory, connect, logged):
    """A log that contains the key, because a user wrote it, is evidence: it is returned as sent, and not logged."""
    logs = [{"logged_at": START, "metadata": {"description": f"my key is {KEY}"}}]
    sandbox = secoda_sandbox_factory(Workspace(logs), api_key=KEY)
    (found,) = connect(host=sandbox.url).iter_audit_logs(START, END)
    assert found["metadata"]["description"] == f"my key is {KEY}"
    assert pieces(logged()) == []


def test_the_key_is_sent_to_no_other_host(secoda_sandbox_factory, connect):
    """No response makes the client send the key to another host: no location, link or next page."""
    with RawServer(http()) as elsewhere:
        url = f"{elsewhere.url}/api/v1/activity_log/audit_logs/"
        page = json.dumps(
            {
                "results": [{"id": "a", "logged_at": "2026-09-06T00:00:00Z"}],
                "count": 1,
                "total_pages": 1,
                "meta": {"page": 1, "next_page": url, "count": 1, "total_pages": 1},
                "links": {"next": url},
                "next": url,
            }
        ).encode()
        link = f'<{url}>; rel="next"'
        with RawServer(http(page, link=link, content_location=url, refresh=f"0; url={url}")) as server:
            hook = connect(host=server.url)
            assert [log["id"] for log in hook.iter_audit_logs(START, END)] == ["a"]
            server.answer = http(page, status="308 Permanent Redirect", location=url)
            assert caught(lambda: USES["page"](hook))
        assert elsewhere.requests == []


def test_the_key_itself():
    """The value that holds the key shows nothing of it and cannot be pickled by accident."""
    key = Key.of(f" {KEY}\n")
    assert key.header() == f"Bearer {KEY}"
    assert pieces(repr(key) + str(key) + f"{key}") == []
    with pytest.raises(TypeError):
        pickle.dumps(key)
    assert not hasattr(key, "__dict__")


@pytest.mark.parametrize(
    "said",
    [
        KEY,
        KEY[:9],
        KEY[7:21],
        f'{{"detail": "{KEY}"}}',
        KEY.replace("/", "\\/"),
        KEY.replace("+", "\\u002B").replace("/", "\\u002f").replace("=", "\\u003d"),
        KEY.replace("/", "%2F").replace("+", "%2b").replace("=", "%3D"),
        f"{KEY}{KEY}",
    ],
)
def test_scrubbing(said):
    """The key is removed complete, in parts, and with the escapes of JSON or of a URL."""
    scrubbed = Key(KEY).scrub_text(f"before {said} after")
    assert (scrubbed[:7], scrubbed[-6:], "***" in scrubbed) == ("before ", " after", True)
    for text in (scrubbed, scrubbed.replace("\\/", "/"), unquote(scrubbed)):
        assert pieces(text) == []


def test_scrubbing_a_complete_key():
    """Nothing is left of a key that is repeated completely, any number of times and in any spelling."""
    for said in (KEY, KEY + KEY, KEY.replace("/", "\\/"), KEY.replace("+", "%2b")):
        assert Key(KEY).scrub_text(f"before {said} after") == "before *** after"


def test_scrubbing_leaves_the_rest_alone():
    """Text without a part of the key is not changed."""
    for body in (
        b"",
        b"Zebra7Q",
        KEY[::-1].encode(),
        bytes(range(256)),
        "Zoë 🦆 \ud83e".encode("utf-8", "surrogatepass"),
    ):
        assert Key(KEY).scrub(body) == body
    assert Key("short").scrub_text("a short one") == "a *** one"


def test_the_key_is_masked_in_task_logs(connect):
    """Airflow masks the key and the proxy's password after the connection is read."""
    hook = connect(host="https://secoda.invalid", extra={"proxy": f"http://user:{PROXY_PASSWORD}@127.0.0.1:9"})
    _ = hook.settings
    masked = redact(f"{KEY} {PROXY_PASSWORD}")
    assert pieces(masked) == []
    assert pieces(masked, PROXY_PASSWORD) == []


def redact(text):
    """Return a string as Airflow shows it in a task log."""
    try:
        from airflow.sdk._shared.secrets_masker import redact as masking
    except ImportError:
        try:
            from airflow.sdk.execution_time.secrets_masker import redact as masking
        except ImportError:
            from airflow.utils.log.secrets_masker import redact as masking
    return str(masking(text))
