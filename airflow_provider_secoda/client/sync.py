"""The synchronous client: threads send what a flow wants sent; all decisions are elsewhere."""

from __future__ import annotations

import queue
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow_provider_secoda.client._api.base_url import resolve_base_url
from airflow_provider_secoda.client._api.decoding import read_json
from airflow_provider_secoda.client._api.endpoint import USER_AGENT, Endpoint, Key, Limits, require_key
from airflow_provider_secoda.client._api.flow import Call, Emit, Flow, Request, once
from airflow_provider_secoda.client._api.timestamps import to_instant
from airflow_provider_secoda.client._audit_logs.listing import AUDIT_LOGS_PATH
from airflow_provider_secoda.client._audit_logs.output import WindowReport
from airflow_provider_secoda.client._audit_logs.window import WindowQuery, read_window
from airflow_provider_secoda.client._http.exchange import ClientBase, appending
from airflow_provider_secoda.client._http.requests_transport import Transport
from airflow_provider_secoda.client._versions.pages import RESOURCE_LOGS_PATH, read_version_histories
from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaConnectionError, SecodaError
from airflow_provider_secoda.client.filters import Filter, Sort, encode_sort

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from typing_extensions import Self

    from airflow_provider_secoda.client._api.audit_log_page import Log, TimestampField
    from airflow_provider_secoda.client._http.exchange import Attempt, Outcome
    from airflow_provider_secoda.client._http.retry import RetryPolicy

__all__ = ["SecodaClient"]

R = TypeVar("R")


class SecodaClient(ClientBase):
    """Read Secoda's audit logs and resource logs; may be used from several threads.

    :param api_key: sent as ``Authorization: Bearer …`` to ``base_url`` and nowhere else
    :param base_url: the API's address; ``https://api.secoda.co`` by default
    :param timeout: seconds to wait for a connection and for each piece of a response
    :param verify: whether to verify the server's certificate, or the path of a CA bundle to verify it with
    :param proxy: URL of a proxy for all requests; by default the environment's proxies are used
    :param policy: how often a request is sent, and how long to wait before a retry
    :param user_agent: sent as ``User-Agent``
    :param limits: how large and how slow a response may be
    :raises SecodaConfigurationError: naming the argument or the variable of the environment to change
    """

    def __init__(
        self,
        api_key: str,
        base_url: str | None = None,
        *,
        timeout: float = 60.0,
        verify: bool | str = True,
        proxy: str | None = None,
        policy: RetryPolicy | None = None,
        user_agent: str = USER_AGENT,
        limits: Limits | None = None,
    ) -> None:
        key = Key.of(api_key)
        del api_key  # some error reporters show local variables
        url = resolve_base_url(host=base_url)
        endpoint = Endpoint(url, require_key(key), timeout, verify, proxy, user_agent, limits or Limits())
        self._start(endpoint, policy)

    @classmethod
    def from_endpoint(cls, endpoint: Endpoint, policy: RetryPolicy | None = None) -> Self:
        """Create a client for an endpoint, as an Airflow connection describes it."""
        return cls.__new__(cls)._start(endpoint, policy)  # noqa: SLF001 - of this class

    def _start(self, endpoint: Endpoint, policy: RetryPolicy | None) -> Self:
        self._transport = Transport(endpoint)
        self._set_up(endpoint, policy)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client opens new ones when it is used again."""
        self._transport.close()

    def list_audit_logs(
        self,
        filter: Mapping[str, Any] | str | None = None,  # noqa: A002 - the API's name
        sort: Sort | Mapping[str, Any] | None = None,
        page: int = 1,
    ) -> dict[str, Any]:
        """Return one documented page of the workspace's audit logs.

        :return: ``results`` (list of logs), ``count``, ``total_pages``, ``meta``
        """
        params = [("page", str(page))]
        parsed = Filter.parse(filter)
        if parsed is not None:
            params.append(("filter", parsed.text))
        if sort is not None:
            params.append(("sort", encode_sort(sort)))
        return self._read_page(Request(AUDIT_LOGS_PATH, tuple(params)), "results")

    def list_resource_logs(self, resource_id: str, page: int = 1) -> dict[str, Any]:
        """Return one documented page of a resource's logs.

        :return: ``version_histories``, ``non_versioned_logs``, ``count``, ``total_pages``, ``meta``
        """
        request = Request(RESOURCE_LOGS_PATH, (("resource_id", resource_id), ("page", str(page))))
        return self._read_page(request, "version_histories")

    def iter_logs(
        self,
        start: datetime,
        end: datetime,
        *,
        filter: Mapping[str, Any] | str | None = None,  # noqa: A002 - the API's name
        timestamp_field: TimestampField = "logged_at",
        concurrency: int = 4,
        report: WindowReport | None = None,
    ) -> Iterator[list[Log]]:
        """Stream the logs of ``[start, end)`` in batches, each once, in any order; raise rather than omit one.

        Logs of a truncated or unordered listing come in the order in which they could be read.

        :param start: aware; the first moment of the window
        :param end: aware; the first moment after it
        :param concurrency: how many requests may be in flight
        :param report: filled while reading
        :raises SecodaIncompleteError: if completeness cannot be proven, which may be after many batches
        """
        if start.tzinfo is None or end.tzinfo is None:
            raise SecodaConfigurationError(
                f"`start` {start} and `end` {end} must have a time zone: datetime(…, tzinfo=timezone.utc)"
            )
        if not isinstance(concurrency, int) or concurrency < 1:
            raise SecodaConfigurationError(f"`concurrency` must be an integer of at least 1, not {concurrency!r:.80}")
        if timestamp_field not in ("logged_at", "created_at"):
            raise SecodaConfigurationError(
                f"`timestamp_field` must be logged_at or created_at, not {timestamp_field!r:.80}"
            )
        query = WindowQuery(to_instant(start), to_instant(end), timestamp_field, Filter.parse(filter), concurrency)
        if query.start >= query.end:
            raise SecodaConfigurationError(f"`start` {start} must be before `end` {end}")
        yield from self.run(read_window(query, report or WindowReport()), concurrency=query.concurrency)

    def version_histories(self, resource_id: str) -> list[bytes]:
        """Return every version history of a resource, each once, as the JSON text that was sent."""
        return self.value(read_version_histories(resource_id), concurrency=4)

    def _read_page(self, request: Request, listing: Literal["results", "version_histories"]) -> dict[str, Any]:
        return self.value(once(Call(request, partial(read_json, listing=listing))))

    def value(self, flow: Flow[R], *, concurrency: int = 1, policy: RetryPolicy | None = None) -> R:
        """Run a flow that emits nothing; return its value. The parameters are those of :meth:`run`."""
        results: list[R] = []
        for _ in self.run(appending(flow, results), concurrency=concurrency, policy=policy):
            pass
        return results[0]

    def run(self, flow: Flow[Any], *, concurrency: int = 1, policy: RetryPolicy | None = None) -> Iterator[Any]:
        """Run a flow; yield what it emits.

        :param concurrency: how many of its calls may be in flight
        :param policy: for this flow, instead of the client's
        """
        exchange = self._exchange(flow, concurrency, policy)
        workers = _WorkerPool(self._transport)
        try:
            step = next(exchange)
            while True:
                if isinstance(step, Emit):
                    yield step.value
                    step = next(exchange)
                else:
                    step = exchange.send(workers.send(step))
        except StopIteration:
            return
        except SecodaError as error:
            self._complete(error)
            raise
        finally:
            workers.stop()
            exchange.close()


class _WorkerPool:
    """Threads that send attempts after their pauses; as many as the largest number of attempts at once.

    They are daemons: neither a long pause nor a silent server keeps a process from ending.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._todo: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Attempt, Outcome]] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._in_flight = self._size = 0

    def send(self, attempts: Sequence[Attempt]) -> tuple[Attempt, Outcome]:
        """Start attempts; return the next one that has finished, one of these or an earlier one."""
        for attempt in attempts:
            self._in_flight += 1
            if self._size < self._in_flight:
                self._size += 1
                threading.Thread(target=self._work, name=f"secoda_{self._size}", daemon=True).start()
            self._todo.put(attempt)
        finished = self._done.get()
        self._in_flight -= 1
        return finished

    def stop(self) -> None:
        """Let the threads end; pauses end now, and requests in flight are not waited for."""
        self._stopped.set()
        for _ in range(self._size):
            self._todo.put(None)

    def _work(self) -> None:
        while (attempt := self._todo.get()) is not None:
            outcome: Outcome = SecodaConnectionError("the read was cancelled")
            try:
                if not self._stopped.wait(attempt.pause):
                    outcome = self._transport.send(attempt.request)
            finally:
                self._done.put((attempt, outcome))
