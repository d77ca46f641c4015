"""Every run warns if the verification of certificates is off, and only the connection switches it off."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from contextvars import ContextVar

import pytest

from airflow_provider_secoda.client._api.decoding import read_json
from airflow_provider_secoda.client._api.flow import Call, Request, once
from airflow_provider_secoda.client._audit_logs.listing import AUDIT_LOGS_PATH
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client.aio import AsyncSecodaClient
from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaTLSError
from airflow_provider_secoda.client.sync import SecodaClient
from tests.helpers import airflow_runs
from tests.helpers.rude_servers import RawServer, Tunnel, certificate, http

KEY = "Zebra7Quartz-Falcon9Onyx-Willow3Umber"
ONCE = RetryPolicy(attempts=1)
NOT_VERIFIED = "does not verify the server's certificate"
META = {"page": 1, "count": 1, "total_pages": 1}
VERSION = {"id": "new", "resource_id": "R", "created_at": "2026-09-06T00:00:00Z"}
LOG = {"id": "a", "logged_at": "2026-09-06T00:00:00Z", "created_at": "2026-09-06T00:00:00Z"}
TAIL = {"count": 1, "total_pages": 1, "meta": META}
_trigger = ContextVar("trigger", default="")


def answer(request):
    """Answer as Secoda does, with one log and one version."""
    if b"resource_logs" in request.split(b"\r\n")[0]:
        body = {"version_histories": [VERSION], "non_versioned_logs": [], **TAIL}
    else:
        body = {"results": [LOG], **TAIL}
    return http(json.dumps(body).encode())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return a server whose certificate is not trusted."""
    _, context = certificate(tmp_path_factory.mktemp("tls"), "127.0.0.1")
    with RawServer(answer, context=context) as running:
        yield running


@pytest.fixture
def connection(server, monkeypatch):
    """Store a connection that does not verify certificates."""
    pytest.importorskip("airflow")
    airflow_runs.start()
    fields = {"conn_type": "secoda", "password": KEY, "host": server.url, "extra": {"verify": False}}
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(fields))


# --- in every run ----------------------------------------------------------------------------------------------

DAG = """
from datetime import datetime, timezone
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

with DAG({dag_id!r}, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    {task}
"""
WINDOW = "start='2026-09-05T00:00:00Z', end='2026-09-07T00:00:00Z'"
WAIT = "resource_id='R', since='2026-09-01T00:00:00Z', poke_interval=0.2, timeout=20"
TASKS = {
    "operator": f"SecodaAuditLogsOperator(task_id='t', {WINDOW})",
    "poke": f"SecodaVersionHistorySensor(task_id='t', {WAIT}, mode='poke')",
    "reschedule": f"SecodaVersionHistorySensor(task_id='t', {WAIT}, mode='reschedule')",
    "deferrable": f"SecodaVersionHistorySensor(task_id='t', {WAIT}, deferrable=True)",
}


@pytest.mark.parametrize("kind", TASKS)
def test_every_run_of_a_task_logs_it(connection, kind):
    """Each run of an operator or sensor in any mode logs that certificates are not verified."""
    for number in range(2):
        dag_id = f"unverified_{kind.replace(' ', '_')}_{number}"
        ran = airflow_runs.run_dag(DAG.format(dag_id=dag_id, task=TASKS[kind]))
        assert ran.state == "success", ran.log
        assert NOT_VERIFIED in ran.log
        assert "can read the API key" in ran.log


@pytest.fixture
def heard():
    """Collect the warnings, each with the trigger in its context: triggerers also sort logs by context."""
    found = []

    class Listener(logging.Handler):
        def emit(self, record):
            note(record.getMessage())

    def note(text):
        if NOT_VERIFIED in text:
            found.append((_trigger.get(), text))

    def listen(_logger, _method, event):
        note(str(event))
        return event

    listener = Listener(logging.WARNING)
    loggers = [logging.getLogger(), logging.getLogger("airflow"), logging.getLogger("airflow.task")]
    processors = []
    if airflow_runs.version() >= (3, 1):  # from then on, hooks and triggers do not log by the standard library
        import structlog

        processors = structlog.get_config()["processors"]
        processors.insert(0, listen)
    for logger in loggers:
        logger.addHandler(listener)
    yield found
    for logger in loggers:
        logger.removeHandler(listener)
    if processors:
        processors.remove(listen)


def test_every_hook_logs_it(connection, heard):
    """A hook logs it when it is used, with the connection's id."""
    from airflow_provider_secoda.hooks.secoda import SecodaHook

    for _ in range(2):
        del heard[:]
        assert SecodaHook("secoda_default").list_audit_logs()["count"] == 1
        assert [text for _, text in heard if "secoda_default" in text]


def test_the_test_of_a_connection_reports_it(connection):
    """The message of a successful connection test contains it."""
    from airflow_provider_secoda.hooks.secoda import SecodaHook

    works, text = SecodaHook("secoda_default").test_connection()
    assert works
    assert "certificate" in text
    assert "not verif" in text


async def test_every_trigger_logs_it(connection, heard):
    """Two triggers that share a client log it each, because one may begin in the triggerer."""
    from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryTrigger

    async def one(name):
        _trigger.set(name)
        trigger = SecodaVersionHistoryTrigger(
            secoda_conn_id="secoda_default", resource_id="R", since="2026-09-01T00:00:00Z", poke_interval=0.2
        )
        async for event in trigger.run():
            return event.payload["status"]
        return None

    assert await asyncio.gather(one("a"), one("b")) == ["success", "success"]
    assert {"a", "b"} <= {name for name, _ in heard}


@pytest.mark.skipif(airflow_runs.version() < (3,), reason="event triggers are of Airflow 3")
def test_every_watcher_logs_it(connection, heard):
    """A watcher of assets logs it each time it starts."""
    from airflow_provider_secoda.triggers.secoda import SecodaAuditLogEventTrigger

    async def first():
        trigger = SecodaAuditLogEventTrigger(poke_interval=0.2, lookback=100 * 86_400)
        async for event in trigger.run():
            return event.payload["id"]
        return None

    for _ in range(2):
        del heard[:]
        assert asyncio.run(asyncio.wait_for(first(), 15)) == "a"
        assert heard


@pytest.mark.parametrize("colour", ["threads", "loop"])
def test_a_client_without_airflow_logs_it(server, caplog, colour):
    """A client without Airflow logs it too, once per client."""
    for number in range(1, 3):
        assert read_page(colour, server.url, verify=False)["count"] == 1
        assert len([record for record in caplog.records if "is not verified" in record.getMessage()]) == number


def test_nothing_is_logged_when_certificates_are_verified(server, tmp_path, caplog):
    """With a CA bundle nothing is logged."""
    file, context = certificate(tmp_path, "127.0.0.1")
    with RawServer(answer, context=context) as trusted:
        for colour in ("threads", "loop"):
            assert read_page(colour, trusted.url, verify=str(file))["count"] == 1
    assert [record.getMessage() for record in caplog.records if "verif" in record.getMessage()] == []


# --- by the connection only ------------------------------------------------------------------------------------


def read_page(colour, url, **options):
    """Read a page with one of the two clients."""
    if colour == "threads":
        with SecodaClient(KEY, url, policy=ONCE, timeout=5, **options) as client:
            return client.list_audit_logs()

    async def page():
        client = AsyncSecodaClient(KEY, url, policy=ONCE, timeout=5, **options)
        try:
            call = Call(Request(AUDIT_LOGS_PATH, (("page", "1"),)), lambda response: read_json(response, "results"))
            return await client.value(once(call))
        finally:
            await client.aclose()

    return asyncio.run(page())


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Return a server that is https://secoda.example.test behind a proxy, so that the environment counts."""
    _, context = certificate(tmp_path_factory.mktemp("elsewhere"), "secoda.example.test")
    with RawServer(answer, context=context) as running, Tunnel(running) as proxy:
        yield running, proxy.url


@pytest.mark.parametrize("colour", ["threads", "loop"])
@pytest.mark.parametrize(
    "environment",
    [
        {"REQUESTS_CA_BUNDLE": ""},
        {"CURL_CA_BUNDLE": ""},
        {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": ""},
        {"REQUESTS_CA_BUNDLE": " "},
        *({name: value} for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") for value in ("0", "false", "/dev/null")),
        {"PYTHONHTTPSVERIFY": "0"},
        {"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""},
        {"SSL_CERT_FILE": "/dev/null"},
        {"NODE_TLS_REJECT_UNAUTHORIZED": "0", "GIT_SSL_NO_VERIFY": "1", "HTTPX_VERIFY": "0", "CURL_INSECURE": "1"},
    ],
    ids=lambda environment: " ".join(f"{name}={value!r}" for name, value in environment.items()),
)
def test_the_environment_does_not_switch_it_off(elsewhere, monkeypatch, colour, environment):
    """No environment variable makes a client accept any certificate: it fails, and the key is not sent."""
    running, proxy = elsewhere
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises((SecodaTLSError, SecodaConfigurationError)):
        read_page(colour, "https://secoda.example.test", proxy=proxy)
    assert running.requests == []


@pytest.mark.parametrize("colour", ["threads", "loop"])
def test_patches_of_libraries_do_not_switch_it_off(elsewhere, tmp_path, colour):
    """The usual patches in DAG files, for another client in the process, do not change this client."""
    running, proxy = elsewhere
    code = f"""
import ssl, sys, warnings
ssl._create_default_https_context = ssl._create_unverified_context
import requests, urllib3, httpx
urllib3.disable_warnings()
warnings.simplefilter("ignore")
with requests.Session() as theirs:
    theirs.verify = False
from tests.security import test_tls_warnings as here
try:
    here.read_page({colour!r}, "https://secoda.example.test", proxy={proxy!r})
except here.SecodaTLSError:
    print("refused")
"""
    environment = {**os.environ, "PYTHONHTTPSVERIFY": "0", "AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "refused", done.stderr
    assert running.requests == []


@pytest.mark.parametrize("colour", ["threads", "loop"])
def test_a_client_that_does_not_verify_does_not_change_the_next(server, colour):
    """After a client that does not verify, the next one to the same server does, even if connections stay open."""
    assert read_page(colour, server.url, verify=False)["count"] == 1
    count = len(server.requests)
    with pytest.raises(SecodaTLSError):
        read_page(colour, server.url)
    assert len(server.requests) == count
