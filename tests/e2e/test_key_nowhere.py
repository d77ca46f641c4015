"""Nothing that Airflow writes contains a key or a part of it: successful and failed runs, at level DEBUG.

It is the API key, and the private key with which a task signs.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import string
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest

from airflow_provider_secoda.signing import generate_key
from tests.helpers.airflow_processes import DiedError
from tests.helpers.key_search import Search, cells, contents
from tests.helpers.rude_servers import RawServer, header, http

UTC = timezone.utc
CHARACTERS = string.ascii_letters + string.digits + "/+=-_."
#: A key that is encoded differently in JSON, in URLs and in HTML, and that no file contains by chance.
KEY = "".join(secrets.choice(string.ascii_letters) for _ in range(3)) + "".join(
    secrets.choice(CHARACTERS) for _ in range(40)
)
KEY += "/+=" + "".join(secrets.choice(string.ascii_letters) for _ in range(4))
PEM = generate_key().decode()
#: The part of the private key that other keys of its kind do not share.
PRIVATE_KEY = PEM.splitlines()[1][24:]
DAG = """
from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_secoda.hooks.secoda import SecodaHook
from airflow_provider_secoda.hooks.signing_key import SecodaSigningKeyHook
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

WINDOW = dict(start="2026-09-05T00:00:00Z", end="2026-09-20T00:00:00Z")
WAIT = dict(resource_id="R", since="{{ macros.datetime(2026, 9, 1, tzinfo=macros.dateutil.tz.UTC).isoformat() }}",
            poke_interval=0.5, timeout=60, max_consecutive_failures=1)

with DAG("key_nowhere", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
         default_args={"retries": 0}):
    SecodaAuditLogsOperator(task_id="file", secoda_conn_id="key_good", **WINDOW,
                            output_path="__HOME__/out/{start}.jsonl.gz", signing_conn_id="{{ 'key' }}_signing")
    SecodaAuditLogsOperator(task_id="damaged", secoda_conn_id="key_good", **WINDOW,
                            output_path="__HOME__/out/damaged.jsonl", signing_conn_id="key_damaged")
    SecodaAuditLogsOperator(task_id="xcom", secoda_conn_id="{{ 'key_good' }}", xcom_limit_bytes=10_000_000, **WINDOW)
    SecodaVersionHistorySensor(task_id="found", secoda_conn_id="key_good", deferrable=True, **WAIT)
    for place in ("wrong", "elsewhere", "echo"):
        SecodaAuditLogsOperator(task_id=place, secoda_conn_id="key_" + place, **WINDOW)
    SecodaVersionHistorySensor(task_id="failing", secoda_conn_id="key_failing", **WAIT)
    SecodaVersionHistorySensor(task_id="turned", secoda_conn_id="key_turned", deferrable=True, **WAIT)

    @task
    def show():
        hook = SecodaHook("key_good")
        client = hook.get_conn()
        print(hook, vars(hook), hook.settings, client, vars(client), vars(client._transport))
        signing = SecodaSigningKeyHook("key_signing")
        print(signing, vars(signing), signing.get_conn(), vars(signing.get_conn()))
        tests = [hook, SecodaHook("key_echo"), signing, SecodaSigningKeyHook("key_damaged")]
        return [one.test_connection() for one in tests]

    show()
"""
#: What `dags test` of Airflow 3 itself prints at DEBUG, for every connection of every provider: see SECURITY.md.
AIRFLOWS_OWN = b"msg=MaskSecret(value="
SUCCESSFUL, FAILED = {"file", "xcom", "found", "show"}, {"wrong", "elsewhere", "echo", "failing", "turned", "damaged"}


def echo(status):
    """Return a server that repeats the key of the request in the headers and the body of the response."""

    def answer(request):
        sent = header(request, "Authorization") or ""
        body = json.dumps(
            {"detail": f"{sent} is not right", "headers": {"Authorization": sent}, "cut": sent[12:]}
        ).encode()
        return http(
            body, status=f"{status} {sent}", x_echo=sent, www_authenticate=sent, location=f"https://evil.test/{sent}"
        )

    return answer


class EchoAfterwards(RawServer):
    """A server that sends ``left`` correct empty responses, and then repeats the key in every response."""

    def __init__(self):
        super().__init__(self._say)
        self.left = math.inf

    def _say(self, request):
        self.left -= 1
        if self.left < 0:
            return echo(401)(request)
        meta = {"page": 1, "count": 0, "total_pages": 1}
        body = {"version_histories": [], "non_versioned_logs": [], "count": 0, "total_pages": 1, "meta": meta}
        return http(json.dumps(body).encode())


@pytest.fixture(scope="module")
def home(standalone):
    """Run all tasks, in the scheduler and with `dags test`; return Airflow's home."""
    from airflow_provider_secoda.sandbox import Sandbox, Workspace

    until = datetime(2026, 10, 1, tzinfo=UTC)
    workspace = Workspace.generate(seed=3, logs=300, days=30, until=until, people=5)
    workspace.add_version("R", created_at="2026-01-01T00:00:00Z", latest_activity_logged_at="2026-01-01T00:00:00Z")
    standalone.put_dag("key_nowhere", DAG.replace("__HOME__", str(standalone.home)))
    with contextlib.ExitStack() as servers:
        good = servers.enter_context(Sandbox(workspace, api_key=KEY))
        other = servers.enter_context(Sandbox(Workspace([]), api_key="another-key-altogether"))
        turned = servers.enter_context(EchoAfterwards())
        places = {"good": good, "wrong": other, "turned": turned}
        for name, status in (("elsewhere", 302), ("echo", 400), ("failing", 500)):
            places[name] = servers.enter_context(RawServer(echo(status)))
        for name, place in places.items():
            connection = {"conn_type": "secoda", "password": KEY, "host": place.url}
            standalone.add_connection(f"key_{name}", SimpleNamespace(connection_json=json.dumps(connection)))
        for name, password in (("signing", PEM), ("damaged", PEM.replace("-----END", "-----"))):
            connection = {"conn_type": "secoda_signing_key", "password": password}
            standalone.add_connection(f"key_{name}", SimpleNamespace(connection_json=json.dumps(connection)))
        run_id = standalone.trigger("key_nowhere")
        for task in ("found", "turned"):
            standalone.wait_task("key_nowhere", run_id, task, "deferred")
        deferred = list(cells(standalone.home / "airflow.db", fernet_key(standalone)))
        turned.left = 0
        workspace.add_version("R", id="new")
        assert standalone.wait("key_nowhere", run_id) == "failed"
        turned.left = 1
        with contextlib.suppress(DiedError):  # its exit status reports that tasks failed
            standalone._processes.run("dags_test", "dags", "test", "key_nowhere", "2026-09-20")
        assert all(place.requests for place in places.values())
        yield SimpleNamespace(path=standalone.home, run_id=run_id, deferred=deferred)


def fernet_key(standalone):
    """Return the key with which this Airflow encrypts secrets in its database."""
    return standalone._processes._environment["AIRFLOW__CORE__FERNET_KEY"]


@pytest.mark.parametrize("spelling", Search(KEY).spellings)
@pytest.mark.parametrize("secret", [KEY, PRIVATE_KEY], ids=["API key", "private key"])
def test_the_search_finds_the_key(spelling, secret):
    """Each encoding of a key, and each part of eight characters, is found; the other tests depend on it."""
    search = Search(secret)
    text, size = search.spellings[spelling]
    for at in range(len(text) - size + 1):
        assert spelling in search.find(b"before " + text[at : at + size] + b" after"), at
    assert Search(secret).find(b"before" + os.urandom(1 << 16) + b"Bearer *** after") == []


def test_the_runs_end_as_expected(standalone, home):
    """Tasks succeed or fail as intended, failed ones with an error of the provider, and all is logged at DEBUG."""
    states = {task: standalone.task("key_nowhere", home.run_id, task)["state"] for task in SUCCESSFUL | FAILED}
    assert states == dict.fromkeys(SUCCESSFUL, "success") | dict.fromkeys(FAILED, "failed")
    logs = "".join(standalone.log("key_nowhere", home.run_id, task) for task in FAILED)
    for said in ("Secoda answered 401", "redirected", "Secoda answered 400", "Secoda answered 500", "is not PEM"):
        assert said in logs
    console = standalone._processes.log_file("dags_test").read_text()
    for text in (logs, console):
        assert "debug" in text.lower()
    assert "Secoda answered 400" in console
    assert [path for path in (home.path / "out").iterdir() if path.name.endswith(".jsonl.gz")]
    assert list((home.path / "out" / "_manifests").glob("*.sig"))


def test_the_key_is_in_no_file_and_no_log(standalone, home):
    """No log of any component, no file and no output of `dags test` contains a key of any connection."""
    read = dict(contents(home.path))
    console = read["dags_test.log"].splitlines()
    read["dags_test.log"] = b"\n".join(line for line in console if AIRFLOWS_OWN not in line)
    names = "\n".join(read)
    for needed in (
        "scheduler.log",
        "triggerer.log",
        "dags_test.log",
        "airflow.db",
        "task_id=echo",
        ".jsonl.gz, unpacked",
    ):
        assert needed in names
    assert any(home.run_id.encode() in data for data in read.values())
    for secret in (KEY, standalone.sandbox.api_key, PRIVATE_KEY):
        search = Search(secret)
        assert {name: found for name, data in read.items() if (found := search.find(data))} == {}


def test_the_key_is_in_no_cell_of_the_database(standalone, home):
    """No table contains a key, even after decryption, except the password of a connection, which is encrypted."""
    end = list(cells(home.path / "airflow.db", fernet_key(standalone)))
    tables = {name.split(".")[0] for name, _ in end}
    assert {"xcom", "rendered_task_instance_fields", "task_instance", "dag_run", "log", "connection"} <= tables
    assert any(name.startswith("trigger.") and b"key_turned" in data for name, data in home.deferred)
    where = "connection.password, decrypted"
    passwords = [data for name, data in end if name == where]
    assert passwords.count(KEY.encode()) == 6
    assert passwords.count(PEM.encode()) == 1
    for secret in (KEY, standalone.sandbox.api_key, PRIVATE_KEY):
        search = Search(secret)
        for found in (home.deferred, end):
            assert {name: how for name, data in found if name != where and (how := search.find(data))} == {}
