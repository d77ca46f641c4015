"""The server in a process: it starts, changes under load, and stops completely."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote, urlsplit

import pytest
import requests

from airflow_provider_secoda.sandbox import Sandbox, Workspace

from .conftest import NOON, Reader, by, minutes


def test_a_stop_is_complete(caplog):
    """After a stop, even during a response, no thread, listener, connection or log message remains."""
    before = set(threading.enumerate())
    with Sandbox(Workspace(minutes(1))) as sandbox, ThreadPoolExecutor() as pool:
        url = sandbox.url
        assert Reader(sandbox).ids() == ["L000"]
        sandbox.faults.script = ["slow:30"]
        slow = pool.submit(Reader(sandbox).get)
        while len(sandbox.requests) < 2:
            time.sleep(0.001)
        begin = time.monotonic()
        sandbox.stop()
        assert time.monotonic() - begin < 10
        assert isinstance(slow.exception(), requests.ConnectionError)
    assert set(threading.enumerate()) <= before
    assert caplog.records == []
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=1)


def test_faults_log_nothing(caplog):
    """Connections that the sandbox truncates or the client closes are not reported in the user's log."""
    with Sandbox(Workspace(minutes(5))) as sandbox:
        reader = Reader(sandbox)
        sandbox.faults.script = ["cut", "reset"]
        for _ in range(2):
            with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
                reader.get()
        sandbox.faults.script = ["slow:30"]
        with pytest.raises(requests.ReadTimeout):
            reader.session.get(sandbox.url + "/api/v1/x", timeout=0.05)
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_start_again():
    """A stopped sandbox starts again on its port; a running one does not start twice."""
    sandbox = Sandbox(Workspace(minutes(1)))
    sandbox.start()
    with pytest.raises(RuntimeError, match="running"):
        sandbox.start()
    url = sandbox.url
    sandbox.stop()
    sandbox.stop()
    with sandbox:
        assert sandbox.url == url
        assert Reader(sandbox).ids() == ["L000"]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::", ""])
def test_loopback_only(host):
    """A sandbox accepts loopback addresses only."""
    with pytest.raises(ValueError, match="loopback"):
        Sandbox(Workspace(), host=host)


def test_a_taken_port():
    """A port in use is an error at the start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sandbox = Sandbox(Workspace(), port=taken.getsockname()[1])
        with pytest.raises(OSError, match="use"):
            sandbox.start()


def test_connection():
    """Both forms of the connection contain the address of the sandbox and its key."""
    with Sandbox(Workspace()) as sandbox:
        assert json.loads(sandbox.connection_json) == {
            "conn_type": "secoda", "host": sandbox.url, "password": sandbox.api_key,
        }  # fmt: skip
        parts = urlsplit(sandbox.connection_uri)
        assert (parts.scheme, parts.password, unquote(parts.hostname)) == (
            "secoda",
            sandbox.api_key,
            sandbox.url,
        )


def test_small_responses_are_sent_at_once(serve):
    """A response in two packets does not wait for the acknowledgement of the first, which takes about 40 ms."""
    reader = serve(Workspace())
    times = []
    for _ in range(20):
        begin = time.monotonic()
        reader.get("/healthcheck")
        times.append(time.monotonic() - begin)
    assert min(times[5:]) < 0.03


def test_another_workspace(serve):
    """A workspace can be replaced while the sandbox runs."""
    reader = serve(Workspace(minutes(1)))
    reader.sandbox.workspace = Workspace(minutes(3))
    assert reader.page()["count"] == 3


def test_changes_while_serving(serve):
    """Logs that another thread adds and removes never appear twice and never break a page, in any listing."""
    workspace = Workspace.generate(logs=500, until=NOON)
    reader = serve(workspace, page_size=50)
    done = threading.Event()

    def change():
        while not done.is_set():
            workspace.add_log()
            workspace.expire()

    thread = threading.Thread(target=change)
    thread.start()
    query = json.dumps({"operator": "in", "field": "performer_type", "value": ["USER", "API"]})
    try:
        for number in range(60):
            page = reader.page(sort=by(), page=number % 5 + 1, **({"filter": query} if number % 2 else {}))
            times = [log["logged_at"] for log in page["results"]]
            assert len({log["id"] for log in page["results"]}) == len(times) == 50
            assert times == sorted(times, reverse=True)
            assert number % 2 or page["count"] in (500, 501)
    finally:
        done.set()
        thread.join()


def test_requests_at_once(serve):
    """Concurrent requests take the latency together, and the peak is counted."""
    reader = serve(Workspace(minutes(1)))
    reader.sandbox.faults.latency = 0.5
    begin = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(lambda _: Reader(reader.sandbox).page(), range(8)))
    assert time.monotonic() - begin < 3
    assert {page["count"] for page in pages} == {1}
    assert reader.sandbox.stats["peak_in_flight"] == 8
