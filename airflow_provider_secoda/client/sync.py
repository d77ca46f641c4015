"""
The synchronous driver: requests, threads, and nothing that knows Secoda.

What a rule wants sent is sent, what comes back is handed over; all decisions are elsewhere. Foreign exceptions end
here: what leaves is a :class:`~.errors.SecodaError` that holds no request, no header and no key.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeVar

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from airflow_provider_secoda.client.errors import (
    SecodaConfigurationError,
    SecodaConnectionError,
    SecodaError,
    SecodaTimeoutError,
    SecodaTLSError,
)
from airflow_provider_secoda.client.exchange import RetryPolicy, Tally, exchange
from airflow_provider_secoda.client.filters import Filter, Sort, encode_filter, parse_filter
from airflow_provider_secoda.client.listing import AUDIT_LOGS_PATH, Report
from airflow_provider_secoda.client.messages import Attempt, Call, Emit, Flow, Outcome, Request, Response, once
from airflow_provider_secoda.client.regions import is_loopback, resolve_base_url
from airflow_provider_secoda.client.schema import Log, TimestampField, read_json, to_instant
from airflow_provider_secoda.client.versions import RESOURCE_LOGS_PATH, read_version_histories
from airflow_provider_secoda.client.window import WindowQuery, read_window

R = TypeVar("R")
_CHUNK = 1 << 16


class _BearerAuth(AuthBase):
    """Adds the key at the last moment, and keeps requests from looking for another one in ``~/.netrc``."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def scrub(self, body: bytes) -> bytes:
        """Return a body without the key, should a server repeat it."""
        return body.replace(self._key.encode(), b"***")

    def __repr__(self) -> str:
        return "Bearer ***"


class SecodaClient:
    """
    Read Secoda's audit logs and resource logs.

    :param api_key: sent as ``Authorization: Bearer …`` to ``base_url`` and nowhere else
    :param base_url: as :func:`~.regions.resolve_base_url` gives it; ``https://api.secoda.co`` when left out
    :param timeout: seconds to wait for a connection and for each piece of an answer
    :param verify: whether to verify the server's certificate, or the path of a CA bundle to verify it with
    :param proxy: URL of a proxy for all requests; without it the environment's proxies count
    :param policy: how often and how patiently a request is repeated
    :param user_agent: sent as ``User-Agent``
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
    ) -> None:
        key = (api_key or "").strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise SecodaConfigurationError("the API key is empty or holds signs that no key has: set `password`")
        self.base_url = resolve_base_url(host=base_url)
        self.tally = Tally()
        self._policy = policy or RetryPolicy()
        self._auth = _BearerAuth(key)
        self._timeout = timeout
        self._verify = verify
        self._proxy = proxy
        self._user_agent = user_agent
        self._session: requests.Session | None = None

    def __repr__(self) -> str:
        return f"SecodaClient({self.base_url!r})"

    def __enter__(self) -> SecodaClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client opens new ones when it is used again."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def list_audit_logs(
        self,
        filter: Mapping[str, Any] | str | None = None,  # noqa: A002 - the API's name
        sort: Sort | Mapping[str, Any] | None = None,
        page: int = 1,
    ) -> dict[str, Any]:
        """
        Return one documented page of the workspace's audit logs.

        :return: ``results`` (list of logs), ``count``, ``total_pages``, ``meta``
        """
        params = [("page", str(page))]
        encoded = encode_filter(parse_filter(filter))
        if encoded is not None:
            params.append(("filter", encoded))
        if sort is not None:
            params.append(("sort", sort.encode() if isinstance(sort, Sort) else (encode_filter(dict(sort)) or "")))
        return self._one(Request(AUDIT_LOGS_PATH, tuple(params)), "results")

    def list_resource_logs(self, resource_id: str, page: int = 1) -> dict[str, Any]:
        """
        Return one documented page of a resource's logs.

        :return: ``version_histories``, ``non_versioned_logs``, ``count``, ``total_pages``, ``meta``
        """
        request = Request(RESOURCE_LOGS_PATH, (("resource_id", resource_id), ("page", str(page))))
        return self._one(request, "version_histories")

    def iter_logs(
        self,
        start: datetime,
        end: datetime,
        *,
        filter: Filter | str | None = None,  # noqa: A002 - the API's name
        timestamp_field: TimestampField = "logged_at",
        concurrency: int = 4,
        date_operators: Mapping[str, str] | None = None,
        report: Report | None = None,
    ) -> Iterator[list[Log]]:
        """
        Stream the logs of ``[start, end)`` in batches, newest first, each once; raise rather than leave one out.

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
            parse_filter(filter),
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
        return self.value(once(Call(request, partial(read_json, listing=listing))))  # type: ignore[no-any-return]

    def value(self, flow: Flow[R], *, concurrency: int = 1) -> R:
        """Run a rule that emits nothing; return its value."""
        result: list[R] = []

        def keep() -> Flow[None]:
            result.append((yield from flow))

        for _ in self.run(keep(), concurrency=concurrency):
            pass
        return result[0]

    def run(self, flow: Flow[Any], *, concurrency: int = 1) -> Iterator[Any]:
        """Run a rule; yield what it emits."""
        wire = exchange(
            flow, base_url=self.base_url, policy=self._policy, concurrency=concurrency, tally=self.tally
        )
        session, stopped = self._open(), threading.Event()
        done: queue.SimpleQueue[tuple[Attempt, Outcome]] = queue.SimpleQueue()

        def work(attempt: Attempt) -> None:
            outcome: Outcome = SecodaConnectionError("the read was given up")
            try:
                if not stopped.wait(attempt.pause) if attempt.pause else not stopped.is_set():
                    outcome = self._send(session, attempt.request)
            finally:
                done.put((attempt, outcome))

        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="secoda")
        try:
            step = next(wire)
            while True:
                if isinstance(step, Emit):
                    yield step.value
                    step = next(wire)
                else:
                    for attempt in step:
                        pool.submit(work, attempt)
                    step = wire.send(done.get())
        except StopIteration:
            return
        finally:
            stopped.set()
            wire.close()
            pool.shutdown(wait=False, cancel_futures=True)

    def _open(self) -> requests.Session:
        if self._session is None:
            session = requests.Session()
            # On loopback there is no proxy to go through, and http to one would show it the key.
            session.trust_env = not is_loopback(self.base_url)
            session.mount("http://", HTTPAdapter(pool_maxsize=64))
            session.mount("https://", HTTPAdapter(pool_maxsize=64))
            session.headers.update({"Accept": "application/json", "User-Agent": self._user_agent})
            self._session = session
        return self._session

    def _send(self, session: requests.Session, request: Request) -> Outcome:
        try:
            with session.get(
                self.base_url + request.path,
                params=list(request.params),
                auth=self._auth,
                timeout=self._timeout,
                verify=self._verify,
                proxies={"http": self._proxy, "https": self._proxy} if self._proxy else None,
                allow_redirects=False,
                stream=True,
            ) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                body = b"".join(answer.iter_content(_CHUNK))
            scrubbed = body if answer.status_code == 200 else self._auth.scrub(body)  # noqa: PLR2004
            return Response(answer.status_code, headers, scrubbed, time.time())
        except requests.RequestException as exc:
            return self._translate(exc)
        except Exception as exc:  # noqa: BLE001 - no foreign error leaves, whatever a library raises
            return SecodaConnectionError(f"{self.base_url}: {type(exc).__name__}")

    def _translate(self, exc: requests.RequestException) -> SecodaError:
        """Turn a foreign error into one of ours, in words, without the request that it carries."""
        where, text = self.base_url, str(exc)
        if isinstance(exc, requests.exceptions.SSLError):
            return SecodaTLSError(f"{where}: the server's certificate could not be verified ({_innermost(exc)})")
        if isinstance(exc, requests.exceptions.ProxyError):
            return SecodaConnectionError(f"{where}: the proxy does not let us through", reason="proxy")
        if isinstance(exc, requests.exceptions.Timeout):
            return SecodaTimeoutError(f"{where}: no answer within {self._timeout:g} s")
        if "NameResolution" in text or "getaddrinfo" in text or "Name or service" in text:
            return SecodaConnectionError(f"{where}: there is no such host", reason="dns")
        if "refused" in text:
            return SecodaConnectionError(f"{where}: the connection was refused", reason="refused")
        if isinstance(exc, requests.exceptions.InvalidSchema | requests.exceptions.InvalidProxyURL | OSError) and (
            "CA" in text and "bundle" in text
        ):
            return SecodaTLSError(f"{where}: {text}")
        return SecodaConnectionError(f"{where}: the connection broke ({type(exc).__name__}: {_innermost(exc)})")


def _innermost(exc: BaseException) -> str:
    """Return the text at the bottom of a wrapped error: the library's own wrapping repeats addresses."""
    reason = exc
    while True:
        inner = getattr(reason, "reason", None) or (reason.args[0] if reason.args else None)
        if not isinstance(inner, BaseException):
            return str(reason)[:200]
        reason = inner
