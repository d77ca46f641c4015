"""Fixtures of the tests that kill and disturb tasks: processes, and a workspace that has grown since an earlier run."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from tests.helpers import s3_server

pytest.importorskip("airflow")
pytest.importorskip("starlette", reason="the sandbox needs it")

from airflow_provider_secoda.sandbox import Sandbox
from tests.crash.crash_tasks import Tasks
from tests.crash.crash_window import END, START, grown
from tests.crash.crash_wire import Exchange
from tests.helpers.crash_checks import SIGNING, Directory, signing_key


@pytest.fixture(scope="package")
def tasks(tmp_path_factory):
    """Return the runner of tasks in processes of their own."""
    tasks = Tasks(tmp_path_factory.mktemp("tasks"))
    yield tasks
    tasks.end()


@pytest.fixture(scope="package")
def workspaces():
    """Return an earlier and the current workspace; the current one contains all logs of the earlier one."""
    return grown()


@pytest.fixture
def sandbox(workspaces):
    """Return a server of the current workspace."""
    with Sandbox(workspaces[1], page_size=50) as sandbox:
        yield sandbox


@pytest.fixture
def truth(workspaces):
    """Return the logs of the window, as the API returns them."""
    return workspaces[1].window(START, END)


@pytest.fixture
def run(tasks, sandbox):
    """Return a function that runs the operator in a process of its own; with ``begin`` it does not wait for the end.

    The operator signs its manifest.
    """
    connection = json.loads(sandbox.connection_json) | {"extra": SIGNING}
    connections = {"AIRFLOW_CONN_SECODA_DEFAULT": json.dumps(connection), **signing_key()}

    def run(target, dag="fetch_1", environment=None, begin=False, **how):
        conf = {"start": START.isoformat(), "end": END.isoformat(), "output_path": target.url}
        environment = {**connections, **(environment or {})}
        return (tasks.begin if begin else tasks.run)(dag, conf, environment=environment, **how)

    run.wait = tasks.wait
    return run


@pytest.fixture
def suffix():
    """Return the suffix of the file; tests pass another one as a parameter."""
    return "jsonl"


@pytest.fixture
def old(run, sandbox, workspaces, tmp_path, suffix):
    """Return what an earlier run of the same window has written: a file with fewer logs, and its manifest."""
    target = Directory(tmp_path / "old", f"logs.{suffix}")
    sandbox.workspace = workspaces[0]
    assert run(target).state == "success"
    sandbox.workspace = workspaces[1]
    return target.names()


@pytest.fixture
def content(truth):
    """Return the file that an undisturbed run writes, as JSON lines."""
    return b"".join(raw + b"\n" for raw in truth)


@pytest.fixture(scope="package")
def s3():
    """Serve S3 outside of the tasks' processes; return its port, a bucket, and a function that makes a connection."""
    server = s3_server.serve()

    def connection(url):
        return {"AIRFLOW_CONN_S3_LOCAL": server.connection(url)}

    return SimpleNamespace(port=server.port, bucket=server.bucket("crash").client, connection=connection)


@pytest.fixture
def s3_wire(s3):
    """Return a proxy to the S3 server, with which a test can break connections."""
    with Exchange(s3.port) as wire:
        yield wire
