"""The synchronous driver: threads, and nothing that knows Secoda.

What a rule wants sent is sent, what comes back is handed over; all decisions are elsewhere.
"""

from __future__ import annotations

import queue
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow_provider_secoda.client._api.base_url import resolve_base_url
from airflow_provider_secoda.client._api.flow import Attempt, Call, Emit, Flow, Outcome, Request, once
from airflow_provider_secoda.client._api.key import Key
from airflow_provider_secoda.client._api.limits import Limits
from airflow_provider_secoda.client._api.page_as_dict import read_json
from airflow_provider_secoda.client._api.timestamps import to_instant
from airflow_provider_secoda.client._audit_logs.listing import AUDIT_LOGS_PATH, Report
from airflow_provider_secoda.client._audit_logs.window import WindowQuery, read_window
from airflow_provider_secoda.client._http.exchange import RequestStats, RetryPolicy, exchange
from airflow_provider_secoda.client._http.requests_transport import Transport
from airflow_provider_secoda.client._versions.pages import RESOURCE_LOGS_PATH, read_version_histories
from airflow_provider_secoda.client.errors import (
    SecodaConfigurationError,
    SecodaConnectionError,
    SecodaError,
)
from airflow_provider_secoda.client.filters import Filter, Sort, encode_sort

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from typing_extensions import Self

    from airflow_provider_secoda.client._api.audit_log_page import Log, TimestampField

R = TypeVar("R")


class SecodaClient:
    """Read Secoda's audit logs and resource logs.

    :param api_key: sent as ``Authorization: Bearer …`` to ``base_url`` and nowhere else
    :param base_url: as :func:`~.regions.resolve_base_url` gives it; ``https://api.secoda.co`` when left out
    :param timeout: seconds to wait for a connection and for each piece of an answer
    :param verify: whether to verify the server's certificate, or the path of a CA bundle to verify it with
    :param proxy: URL of a proxy for all requests; without it the environment's proxies count
    :param policy: how often and how patiently a request is repeated
    :param user_agent: sent as ``User-Agent``
    :param limits: the most that one answer may be, in bytes, in depth and in seconds
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
        user_agent: str = "airflow-provider-secoda",
        limits: Limits | None = None,
    ) -> None:
        key = Key.of(api_key)
        del api_key  # some error reporters show local variables
        if key is None:
            raise SecodaConfigurationError("the API key is empty or holds signs that no key has: set `password`")
        self.base_url = resolve_base_url(host=base_url)
        self.stats = RequestStats()
        self._key = key
        self._policy = policy or RetryPolicy()
        self._transport = Transport(
            self.base_url,
            key,
            timeout=timeout,
            verify=verify,
            proxy=proxy,
            user_agent=user_agent,
            limits=limits or Limits(),
        )

    def __repr__(self) -> str:
        return f"SecodaClient({getattr(self, 'base_url', None)!r})"  # None while it is being made

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
        return self._one(Request(AUDIT_LOGS_PATH, tuple(params)), "results")

    def list_resource_logs(self, resource_id: str, page: int = 1) -> dict[str, Any]:
        """Return one documented page of a resource's logs.

        :return: ``version_histories``, ``non_versioned_logs``, ``count``, ``total_pages``, ``meta``
        """
        request = Request(RESOURCE_LOGS_PATH, (("resource_id", resource_id), ("page", str(page))))
        return self._one(request, "version_histories")

    def iter_logs(
        self,
        start: datetime,
        end: datetime,
        *,
        filter: Mapping[str, Any] | str | None = None,  # noqa: A002 - the API's name
        timestamp_field: TimestampField = "logged_at",
        concurrency: int = 4,
        date_operators: Mapping[str, str] | None = None,
        report: Report | None = None,
    ) -> Iterator[list[Log]]:
        """Stream the logs of ``[start, end)`` in batches, newest first, each once; raise rather than leave one out.

        :param start: aware; the first moment of the window
        :param end: aware; the first moment after it
        :param report: filled while reading
        :raises SecodaIncompleteError: when completeness cannot be proven, which may be after many batches
        """
        if start.tzinfo is None or end.tzinfo is None:
            raise SecodaConfigurationError("`start` and `end` must be aware datetimes")
        query = WindowQuery(
            to_instant(start),
            to_instant(end),
            timestamp_field,
            Filter.parse(filter),
            max(1, concurrency),
            date_operators,
        )
        if query.start >= query.end:
            raise SecodaConfigurationError(f"`start` {start} must be before `end` {end}")
        yield from self.run(read_window(query, report or Report()), concurrency=query.concurrency)

    def version_histories(self, resource_id: str) -> list[bytes]:
        """Return every version history of a resource, each once, as the JSON text that was sent."""
        return self.value(read_version_histories(resource_id), concurrency=4)

    def _one(self, request: Request, listing: Literal["results", "version_histories"]) -> dict[str, Any]:
        return self.value(once(Call(request, partial(read_json, listing=listing))))

    def value(self, flow: Flow[R], *, concurrency: int = 1, policy: RetryPolicy | None = None) -> R:
        """Run a rule that emits nothing; return its value.

        :param policy: for this run, instead of the client's
        """
        result: list[R] = []

        def keep() -> Flow[None]:
            result.append((yield from flow))

        for _ in self.run(keep(), concurrency=concurrency, policy=policy):
            pass
        return result[0]

    def run(self, flow: Flow[Any], *, concurrency: int = 1, policy: RetryPolicy | None = None) -> Iterator[Any]:
        """Run a rule; yield what it emits.

        :param policy: for this run, instead of the client's
        """
        wire = exchange(
            flow, base_url=self.base_url, policy=policy or self._policy, concurrency=concurrency, stats=self.stats
        )
        crew = _Crew(self._transport)
        try:
            step = next(wire)
            while True:
                if isinstance(step, Emit):
                    yield step.value
                    step = next(wire)
                else:
                    crew.start(step)
                    step = wire.send(crew.done.get())
        except StopIteration:
            return
        except SecodaError as error:
            error.args = tuple(self._key.scrub_text(str(arg)) for arg in error.args)
            raise
        finally:
            crew.stop()
            wire.close()


class _Crew:
    """Threads that send attempts after their pauses, one each; as many as there ever were attempts at once.

    They are daemons: neither a long pause nor a silent server keeps a process from ending.
    """

    def __init__(self, transport: Transport) -> None:
        self.done: queue.SimpleQueue[tuple[Attempt, Outcome]] = queue.SimpleQueue()
        self._transport = transport
        self._todo: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._idle = self._size = 0

    def start(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            with self._lock:
                recruit = self._idle == 0
                self._idle -= not recruit
            if recruit:
                self._size += 1
                threading.Thread(target=self._work, name=f"secoda_{self._size}", daemon=True).start()
            self._todo.put(attempt)

    def stop(self) -> None:
        self._stopped.set()
        for _ in range(self._size):
            self._todo.put(None)

    def _work(self) -> None:
        while (attempt := self._todo.get()) is not None:
            outcome: Outcome = SecodaConnectionError("the read was given up")
            try:
                if not self._stopped.wait(attempt.pause):
                    outcome = self._transport.send(attempt.request)
            finally:
                with self._lock:
                    self._idle += 1
                self.done.put((attempt, outcome))
