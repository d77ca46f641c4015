"""Both clients with one interface, a server that keeps connections open, and what an error shows."""

import asyncio
import contextlib
import gc
import logging
import threading
import time
import traceback
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from airflow_provider_secoda.client._api.decoding import read_json
from airflow_provider_secoda.client._api.flow import Call, Request, once
from airflow_provider_secoda.client._api.timestamps import to_instant
from airflow_provider_secoda.client._audit_logs.listing import AUDIT_LOGS_PATH
from airflow_provider_secoda.client._audit_logs.output import WindowReport
from airflow_provider_secoda.client._audit_logs.window import WindowQuery, read_window
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client.aio import AsyncSecodaClient
from airflow_provider_secoda.client.errors import SecodaError
from airflow_provider_secoda.client.sync import SecodaClient
from tests.helpers.rude_servers import RawServer, Tunnel, _head, certificate, http

KEY = "sk-live/Zebra+Quartz=7319-Falcon.Onyx"
ONCE = RetryPolicy(attempts=1)
QUICK = RetryPolicy(attempts=3, base=0.001, cap=0.002)
UTC = timezone.utc
MONTH = {"seed": 3, "logs": 900, "days": 30, "until": datetime(2026, 10, 1, tzinfo=UTC), "people": 5}
START, END = datetime(2026, 9, 5, tzinfo=UTC), datetime(2026, 9, 25, 12, tzinfo=UTC)
#: The folder of the tests, whose frames contain the key.
TESTS = str(Path(__file__).parent)
ALIVE = http(connection="keep-alive")


class Threads:
    """The synchronous client, as the tests use both."""

    def __init__(self, key, url, **options):
        self.client = SecodaClient(key, url, **({"policy": ONCE, "timeout": 5} | options))

    def value(self, flow, **options):
        return self.client.value(flow, **options)

    def emitted(self, flow, **options):
        return list(self.client.run(flow, **options))

    def close(self):
        self.client.close()


class Loop:
    """The asynchronous client, with an event loop that checks for tasks that were left in it."""

    def __init__(self, key, url, **options):
        self.loop = asyncio.new_event_loop()
        self.complaints = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        try:
            self.client = AsyncSecodaClient(key, url, **({"policy": ONCE, "timeout": 5} | options))
        except SecodaError:
            self.loop.close()
            raise

    def value(self, flow, **options):
        return self.loop.run_until_complete(self.client.value(flow, **options))

    def emitted(self, flow, **options):
        async def collect():
            return [value async for value in self.client.run(flow, **options)]

        return self.loop.run_until_complete(collect())

    def close(self):
        left = asyncio.all_tasks(self.loop)
        self.loop.run_until_complete(self.client.aclose())
        gc.collect(1)
        self.loop.close()
        assert (left, self.complaints) == (set(), [])


def page_call(number=1):
    return Call(Request(AUDIT_LOGS_PATH, (("page", str(number)),)), partial(read_json, listing="results"))


def page(number=1):
    """Read one page of the audit logs as parsed JSON."""
    return once(page_call(number))


def window(concurrency):
    query = WindowQuery(to_instant(START), to_instant(END), "logged_at", None, concurrency)
    return read_window(query, WindowReport())


def pieces(text, secret=KEY):
    """Return the parts of a secret, of eight characters each, that are in a string."""
    found = [secret[i : i + 8] for i in range(len(secret) - 7)]
    return [piece for piece in found if piece in text]


def shown_by(error):
    """Return what error reporters show of an error: local variables of all frames too, except the tests' own."""
    texts = [str(error), repr(error), repr(vars(error))]
    while error is not None:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        while shown is not None:
            frames = [frame for frame in shown.stack if not frame.filename.startswith(TESTS)]
            texts += [*traceback.StackSummary.from_list(frames).format(), *shown.format_exception_only()]
            shown = shown.__cause__ or shown.__context__
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


def log_everything(caplog):
    """Log at DEBUG, also loggers that Airflow sets to a higher level."""
    for name in (None, "httpx", "httpcore", "urllib3", "airflow_provider_secoda"):
        caplog.set_level(logging.DEBUG, logger=name)


@contextlib.contextmanager
def behind_a_proxy(folder):
    """Give a server that is found as https://secoda.example.test through a proxy only, the proxy, and the CA's file."""
    file, context = certificate(folder, "secoda.example.test")
    with RawServer(http(), context=context) as server, Tunnel(server) as proxy:
        yield server, proxy, str(file)


class KeepAlive(RawServer):
    """Answers any number of requests on a connection, and counts the connections."""

    def __init__(self, answer=ALIVE, *, delay=0.0, **options):
        super().__init__(answer, **options)
        self.delay = delay
        self.open = self.most = self.made = 0
        self._lock = threading.Lock()

    def talk(self, connection):
        with self._lock:
            self.made += 1
            self.open += 1
            self.most = max(self.most, self.open)
        try:
            served = 0
            while request := _head(connection):
                self.requests.append(request)
                time.sleep(self.delay)
                if not self.react(connection, served):
                    break
                served += 1
        finally:
            with self._lock:
                self.open -= 1

    def react(self, connection, served):
        """Answer one request; return whether the connection stays."""
        connection.sendall(self.answer)
        return True

    def come_down_to(self, number):
        """Wait until at most this many connections are open; return whether that happens."""
        until = time.monotonic() + 2
        while self.open > number and time.monotonic() < until:
            time.sleep(0.005)
        return self.open == number
