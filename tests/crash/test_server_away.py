"""The API is killed during a read and starts again on the same port: no log is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import datetime, timezone

import httpx
import pytest

from airflow_provider_secoda.sandbox import Workspace
from tests.crash.crash_window import END, ONLY_WITH_ALL, START, UNTIL
from tests.helpers.airflow_settings import free_port
from tests.helpers.crash_checks import SIGNING, Directory, check, check_complete, signing_key

ARGUMENTS = {"seed": 3, "logs": 900, "days": 5}
AWAY_SECONDS = 1.0
WAIT_SECONDS = 60.0
AUDIT_LOGS, RESOURCE_LOGS = (f"/api/v1/activity_log/{name}/" for name in ("audit_logs", "resource_logs"))


class Server:
    """A sandbox in a process of its own; each start serves the same workspace."""

    def __init__(self, folder):
        self.ready = folder / "ready"
        self.port = free_port()
        self.process = None
        self.start()

    def start(self):
        options = {"port": self.port, "until": UNTIL.isoformat(), "page-size": 20, **ARGUMENTS}
        options["ready-file"] = self.ready
        command = [sys.executable, "-m", "airflow_provider_secoda.sandbox"]
        command += [f"--{name}={value}" for name, value in options.items()]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(self.ready.exists, "the sandbox answers")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.ready.unlink(missing_ok=True)

    def request(self, method, path, **content):
        url = f"http://127.0.0.1:{self.port}/sandbox/{path}"
        return httpx.request(method, url, json=content or None, trust_env=False).raise_for_status().json()

    def requests_to(self, path):
        return sum(self.request("GET", "stats")["by_path"].get(path, {}).values())

    def stall_after(self, number):
        """Respond to a number of requests, then to no more."""
        self.request("PUT", "faults", script=["slow:0"] * number + ["slow:1000"] * 100)

    @property
    def environment(self):
        connection = json.loads(json.loads(self.ready.read_text())["connection"])
        return {"AIRFLOW_CONN_SECODA_DEFAULT": json.dumps(connection | {"extra": SIGNING}), **signing_key()}


def until(condition, what):
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS:g} s: {what}"
        time.sleep(0.02)


@pytest.fixture
def server(tmp_path):
    """Return a server of its own process."""
    server = Server(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def window():
    """Return the logs of the window in the workspace that it serves."""
    return Workspace.generate(until=UNTIL, **ARGUMENTS).window(START, END)


def conf(target):
    return {"start": START.isoformat(), "end": END.isoformat(), "output_path": target.url}


@pytest.mark.parametrize("dag", ["fetch_4", pytest.param("fetch_1", marks=ONLY_WITH_ALL)])
def test_away_during_a_window(tasks, server, window, tmp_path, dag):
    """A read whose server is killed, and starts again on the same port, waits for it and is complete."""
    target, environment = Directory(tmp_path / "target"), server.environment
    server.stall_after(5)
    tasks.begin(dag, conf(target), environment=environment)
    until(lambda: server.requests_to(AUDIT_LOGS) > 5, "it waits for the sixth page")
    server.kill()
    time.sleep(AWAY_SECONDS)
    check(target, [None])
    server.start()
    ended = tasks.wait()
    assert ended.state == "success", ended.log
    assert server.requests_to(AUDIT_LOGS) > 0  # the read had started
    assert check_complete(target, b"".join(raw + b"\n" for raw in window), window) == []


@ONLY_WITH_ALL  # the client retries for nearly a minute
def test_away_for_good(tasks, server, window, tmp_path):
    """A read whose server does not come back fails with a clear error; its retry, with a server, is complete."""
    target, environment = Directory(tmp_path / "target"), server.environment
    server.stall_after(5)
    tasks.begin("fetch_1", conf(target), environment=environment)
    until(lambda: server.requests_to(AUDIT_LOGS) > 5, "it waits for the sixth page")
    server.kill()
    ended = tasks.wait()
    assert ended.state == "failed"
    assert "SecodaConnectionError" in ended.log
    check(target, [None])
    server.start()
    assert tasks.run("fetch_1", conf(target), environment=environment).state == "success"
    assert check_complete(target, b"".join(raw + b"\n" for raw in window), window) == []


@pytest.fixture
def resource():
    """Return the arguments of a sensor for new versions of a resource with old versions."""
    histories = Workspace.generate(until=UNTIL, **ARGUMENTS).histories
    resource_id = next(identity for identity, history in histories.items() if history.versions)
    return {"resource_id": resource_id, "since": datetime.now(timezone.utc).isoformat()}


def test_away_during_a_wait(tasks, server, resource):
    """A sensor whose server is killed while it waits goes on when it is back, and returns what came then."""
    tasks.begin("wait_1000", resource, environment=server.environment)
    until(lambda: server.requests_to(RESOURCE_LOGS) >= 3, "it has polled three times")
    server.kill()
    time.sleep(AWAY_SECONDS)
    server.start()
    server.request("POST", "versions", resource_id=resource["resource_id"], id="since-then")
    ended = tasks.wait()
    assert ended.state == "success", ended.log
    assert [entry["id"] for entry in ended.returned] == ["since-then"]


def test_away_for_more_polls_than_a_sensor_allows(tasks, server, resource):
    """A sensor fails after the maximum of failed polls, with a clear error; its retry misses nothing."""
    environment = server.environment
    tasks.begin("wait_5", resource, environment=environment)
    until(lambda: server.requests_to(RESOURCE_LOGS) >= 3, "it has polled three times")
    server.kill()
    ended = tasks.wait()
    assert ended.state == "failed"
    assert "SecodaConnectionError" in ended.log
    server.start()
    server.request("POST", "versions", resource_id=resource["resource_id"], id="meanwhile")
    ended = tasks.run("wait_5", resource, environment=environment)
    assert [entry["id"] for entry in ended.returned] == ["meanwhile"]
