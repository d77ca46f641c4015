"""The synchronous driver on real sockets: connection errors, the key, and reads that stop early."""

import subprocess
import sys
import textwrap
import threading
import time
from datetime import datetime, timezone

import pytest

from airflow_provider_secoda.client._api.flow import Call, Emit, Request
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client.errors import (
    SecodaConfigurationError,
    SecodaConnectionError,
    SecodaNotFoundError,
    SecodaRateLimitError,
    SecodaTLSError,
)
from airflow_provider_secoda.client.sync import SecodaClient
from airflow_provider_secoda.sandbox import Workspace
from tests.helpers.rude_servers import RawServer, Tunnel, certificate, free_port, header, http

KEY = "sk-live/Zebra+Quartz=7319-Falcon.Onyx"
ONCE = RetryPolicy(attempts=1)
QUICK = RetryPolicy(attempts=3, base=0.001, cap=0.002)
UTC = timezone.utc
MONTH = {"seed": 3, "logs": 900, "days": 30, "until": datetime(2026, 10, 1, tzinfo=UTC), "people": 5}
START, END = datetime(2026, 9, 5, tzinfo=UTC), datetime(2026, 9, 25, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def month(secoda_sandbox_factory):
    return secoda_sandbox_factory(Workspace.generate(**MONTH), page_size=20, member_key="member-key-member")


def client_of(sandbox, **options):
    return SecodaClient(sandbox.api_key, sandbox.url, **({"policy": QUICK} | options))


def fails(url, kind, *, key=KEY, **options):
    """Read a page; return the error, which must be exactly of this class."""
    with (
        SecodaClient(key, url, **({"policy": ONCE, "timeout": 5} | options)) as client,
        pytest.raises(kind) as error,
    ):
        client.list_audit_logs()
    assert type(error.value) is kind
    return error.value


def secoda_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("secoda_")]


def run_python(script):
    """Run a script in a Python of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def await_(condition, seconds=10.0):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.005)
    return condition()


def test_a_window_is_what_the_workspace_holds(month):
    """A window that is read with real threads and sockets is exactly what the workspace contains."""
    with client_of(month) as client:
        logs = [log for batch in client.iter_logs(START, END) for log in batch]
    assert sorted(log.raw for log in logs) == sorted(month.workspace.window(START, END))


def test_white_space_around_a_key(month):
    """White space around the key is not part of it."""
    with SecodaClient(f" {month.api_key}\n", month.url) as client:
        assert client.list_audit_logs()["count"] == 900


def test_the_cause_is_not_read_from_the_host_name():
    """The cause of a failed connection is found in the error, not in the host's name."""
    proxy = f"http://127.0.0.1:{free_port()}"
    for host in ("refused.invalid", "getaddrinfo.invalid", "ca-bundle.invalid"):
        assert fails(f"https://{host}", SecodaConnectionError, proxy=proxy).reason == "proxy"


def test_a_redirect_for_a_slash_is_followed(month):
    """A redirect within the origin is followed with the key, the filter and the page."""
    month.faults.script = ["redirect:/api/v1/activity_log/audit_logs/"]
    with client_of(month) as client:
        page = client.list_audit_logs(page=3, sort={"field": "logged_at", "order": "asc"})
    assert page["meta"]["page"] == 3
    assert [record.authorized for record in month.requests] == [True, True]


@pytest.fixture
def secure(tmp_path):
    """Return an https server on loopback with a certificate of its own making, and the certificate's file."""
    file, context = certificate(tmp_path, "127.0.0.1")
    with RawServer(http(), context=context) as server:
        yield server, str(file)


def test_an_untrusted_certificate(secure):
    """A certificate of unknown origin is final, before any request or key is sent."""
    server, _ = secure
    error = fails(server.url, SecodaTLSError, policy=QUICK)
    assert "certificate" in str(error)
    assert server.requests == []


def test_a_certificate_for_another_host(tmp_path):
    """A certificate that is trusted but made out to another name is refused as well."""
    file, context = certificate(tmp_path, "secoda.example.test")
    with RawServer(http(), context=context) as server:
        assert "127.0.0.1" in str(fails(server.url, SecodaTLSError, verify=str(file)))
    assert server.requests == []


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("verify", ["path", False])
def test_a_certificate_that_is_accepted(secure, verify):
    """The path of a CA bundle is what the certificate is verified with; false does not verify."""
    server, file = secure
    with SecodaClient(KEY, server.url, verify=file if verify == "path" else verify, policy=ONCE) as client:
        assert client.list_audit_logs()["count"] == 0
    assert header(server.requests[0], "Authorization") == f"Bearer {KEY}"


def test_tls_that_breaks_is_repeated():
    """An interrupted TLS handshake is a broken connection, which is retriable, and not a bad certificate."""
    with RawServer() as server:
        server._serve = lambda connection: (connection.recv(100), connection.close())
        error = fails(server.url.replace("http", "https"), SecodaConnectionError)
    assert error.retriable


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Return a server that is found as https://secoda.example.test through a proxy only, the proxy, and its CA."""
    file, context = certificate(tmp_path, "secoda.example.test")
    with RawServer(http(), context=context) as server, Tunnel(server) as proxy:
        yield server, proxy, str(file)


def test_a_proxy_is_used_and_sees_no_key(elsewhere):
    """The proxy tunnels: it gets its own password and the host's name, never the key or the path."""
    server, proxy, ca = elsewhere
    address = proxy.url.replace("//", "//user:pass@")
    with SecodaClient(KEY, "https://secoda.example.test", proxy=address, verify=ca, policy=ONCE) as client:
        assert client.list_audit_logs()["count"] == 0
    assert header(server.requests[0], "Authorization") == f"Bearer {KEY}"
    assert proxy.requests[0].startswith(b"CONNECT secoda.example.test:443 ")
    assert header(proxy.requests[0], "Proxy-Authorization") == "Basic dXNlcjpwYXNz"
    seen = proxy.requests[0] + proxy.seen
    assert KEY.encode() not in seen
    assert b"activity_log" not in seen


def test_the_proxy_of_the_environment_and_its_exceptions(elsewhere, monkeypatch):
    """Off loopback the environment's proxy counts, and the connection's own comes before it."""
    server, proxy, ca = elsewhere
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with SecodaClient(KEY, "https://secoda.example.test", verify=ca, policy=ONCE) as client:
        assert client.list_audit_logs()["count"] == 0
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    with SecodaClient(KEY, "https://secoda.example.test", verify=ca, policy=ONCE, proxy=proxy.url) as client:
        assert client.list_audit_logs()["count"] == 0
    assert (len(server.requests), len(proxy.requests)) == (2, 2)


def test_a_proxy_elsewhere_never_sees_an_open_key():
    """Plain http through a proxy on another machine would show it the key, so it is refused."""
    with pytest.raises(SecodaConfigurationError, match="`proxy`"):
        SecodaClient(KEY, "http://127.0.0.1:9", proxy="http://proxy.example.com:3128")


def test_on_loopback_the_environments_proxy_is_ignored(month, monkeypatch):
    """A proxy in the environment does not get to see the key of a server on this machine."""
    with Tunnel(answer=http(status="502 Bad Gateway")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        with client_of(month) as client:
            assert client.list_audit_logs()["count"] == 900
        assert proxy.requests == []


_ECHOES = {
    "401": lambda text: http(f'{{"detail": "bad: {text}"}}'.encode(), status="401 Unauthorized"),
    "500": lambda text: http(f"<pre>{text}</pre>".encode(), status="500 Internal Server Error"),
    "400": lambda text: http(
        ('{"detail": "' + text.replace("/", "\\/").replace("+", "\\u002B") + '"}').encode(),
        status="400 Bad Request",
    ),
    "403": lambda text: http(f'{{"detail": "{text[:20]}…"}}'.encode(), status="403 Forbidden"),
    "429": lambda text: http(b"", status="429 Too Many", retry_after=text),
    "302": lambda text: http(b"", status="302 Found", location=f"https://evil.example/{text.replace(' ', '/')}"),
    "status line": lambda text: f"{text}\r\n\r\n".encode(),
    "reason": lambda text: http(b"", status=f"500 {text}"),
    "200": lambda text: http(f'{{"headers": {{"Authorization": "{text}"}}}}'.encode()),
    "timestamp": lambda text: http(
        f'{{"results": [{{"id": "a", "logged_at": "{text}"}}], "count": 1, "total_pages": 1}}'.encode()
    ),
}


def test_a_long_retry_after_is_raised(month):
    """A 429 whose ``Retry-After`` is beyond the limit is raised at once, with its seconds."""
    month.faults.script = [("status", 429, {"retry-after": "3600"})]
    begin = time.monotonic()
    with client_of(month) as client, pytest.raises(SecodaRateLimitError) as error:
        client.list_audit_logs()
    assert (error.value.retry_after, time.monotonic() - begin < 10) == (3600, True)


def test_a_retry_after_is_waited_for(month):
    """A Retry-After of a second takes a second."""
    month.faults.script = [("status", 503, {"retry-after": "1"})]
    begin = time.monotonic()
    with client_of(month) as client:
        client.list_audit_logs()
    assert 1 <= time.monotonic() - begin < 10


def test_closing_stops_the_threads(month):
    """A reader that stops early leaves no thread behind."""
    with client_of(month) as client:
        batches = client.iter_logs(START, END)
        next(batches)
        batches.close()
        assert await_(lambda: not secoda_threads())


def test_closing_stops_a_thread_that_waits(month):
    """A reader that stops while a request waits for minutes leaves no thread behind."""

    def flow():
        calls = [Call(Request("/api/v1/activity_log/audit_logs/"), lambda _: "read") for _ in range(4)]
        for start in (calls, (), ()):
            yield Emit((yield start)[1])

    with client_of(month, policy=RetryPolicy(max_retry_after=900)) as client:
        month.faults.script = [("status", 503, {"retry-after": "600"})] + [200] * 3
        running = client.run(flow(), concurrency=4)
        assert [next(running) for _ in range(3)] == ["read"] * 3
        assert await_(lambda: client.stats.retries == 1)
        begin = time.monotonic()
        running.close()
        assert await_(lambda: not secoda_threads())
        assert time.monotonic() - begin < 10


def test_a_silent_server_keeps_no_process_alive():
    """A process whose reader stops ends at once, although a response is outstanding."""
    with RawServer(hold=True) as server:
        script = f"""
            import threading, time
            from airflow_provider_secoda.client._api.flow import Call, Emit, Request
            from airflow_provider_secoda.client.sync import SecodaClient

            def flow():
                yield [Call(Request("/"), None)]

            running = SecodaClient("key-key-key-key", {server.url!r}).run(flow())
            threading.Thread(target=lambda: next(running), daemon=True).start()
            while not any(thread.name.startswith("secoda") for thread in threading.enumerate()):
                time.sleep(0.01)
            print("ends")
        """
        begin = time.monotonic()
        ended = run_python(script)
    assert (ended.stdout, ended.returncode) == ("ends\n", 0)
    assert time.monotonic() - begin < 10


def test_an_interrupt_during_a_pause_ends_at_once(month):
    """Ctrl-C during a ``Retry-After`` of minutes ends the process at once."""
    month.faults.script = [("status", 503, {"retry-after": "600"})]
    script = f"""
        import os, signal, threading, time
        from airflow_provider_secoda.client.sync import SecodaClient
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with `&` ignores it
        client = SecodaClient({month.api_key!r}, {month.url!r})
        def interrupt():
            while client.stats.retries < 1:
                time.sleep(0.01)
            time.sleep(0.05)
            print(time.monotonic(), flush=True)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt, daemon=True).start()
        try:
            client.list_audit_logs()
        except KeyboardInterrupt:
            print("interrupted")
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120, check=False
    )
    took = time.monotonic() - float(ended.stdout.split()[0])  # one clock for all processes; without the start
    assert (ended.stdout.split()[1:], ended.returncode) == (["interrupted"], 0)
    (line,) = ended.stderr.splitlines()  # of the retry
    assert "waiting 600.0 s" in line
    assert took < 10


def test_an_error_of_the_reader_stops_the_read(month):
    """An error in the reader's loop is raised unchanged, and the threads end."""
    with client_of(month) as client:
        with pytest.raises(ZeroDivisionError):
            for _ in client.iter_logs(START, END):
                raise ZeroDivisionError
        assert await_(lambda: not secoda_threads())


def test_two_reads_at_once_with_one_client(month):
    """Two reads that alternate on one client do not affect each other."""
    with client_of(month) as client:
        by_turns = zip(client.iter_logs(START, END), client.iter_logs(START, END), strict=True)
        pairs = [(a, b) for one, other in by_turns for a, b in zip(one, other, strict=True)]
    assert len(pairs) == len(month.workspace.window(START, END))
    assert all(a == b for a, b in pairs)


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (START.replace(tzinfo=None), END, "time zone"),
        (START, END.replace(tzinfo=None), "time zone"),
        (END, START, "before"),
        (START, START, "before"),
    ],
)
def test_invalid_windows(month, start, end, says):
    """A window without a time zone, or without length, is a configuration error before any request."""
    with client_of(month) as client, pytest.raises(SecodaConfigurationError, match=says):
        next(client.iter_logs(start, end))
    assert month.requests == []


def test_one_page_and_one_resource(month):
    """One documented page of either listing comes as the API documents it."""
    resource = month.workspace.logs[0]["resource_id"]
    with client_of(month) as client:
        page = client.list_audit_logs({"operator": "exact", "field": "resource_id", "value": resource})
        assert {log["resource_id"] for log in page["results"]} == {resource}
        logs = client.list_resource_logs(resource)
        assert {"version_histories", "non_versioned_logs", "count", "total_pages", "meta"} <= logs.keys()
        with pytest.raises(SecodaNotFoundError):
            client.list_resource_logs("none such")
        with pytest.raises(SecodaNotFoundError):
            client.list_audit_logs(page=999)


def test_without_airflow(month):
    """The client works in a Python that has no Airflow."""
    script = f"""
        import sys

        class NoAirflow:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("airflow", "pendulum"):
                    raise ImportError(f"{{name}} is not to be had")

        sys.meta_path.insert(0, NoAirflow())
        from datetime import datetime, timezone
        from airflow_provider_secoda.client.sync import SecodaClient

        start, end = datetime.fromisoformat({START.isoformat()!r}), datetime.fromisoformat({END.isoformat()!r})
        with SecodaClient({month.api_key!r}, {month.url!r}) as client:
            print(sum(len(batch) for batch in client.iter_logs(start, end)))
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=20, check=False
    )
    assert (ended.stdout.strip(), ended.stderr) == (str(len(month.workspace.window(START, END))), "")
