"""Send one request with the library `httpx`, without blocking; the key is added at the last moment.

`httpx.AsyncHTTPTransport` is used and `httpx.AsyncClient` is not: the client logs an INFO line for each request, keeps
cookies, reads ``~/.netrc``, and takes more processor time. Errors of the library end here: what leaves is a
:class:`~.errors.SecodaError` without request, header or key.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from contextlib import aclosing
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias, cast
from urllib.parse import urlencode

import anyio
import httpx

from airflow_provider_secoda.client._http.body import ACCEPT_ENCODING, Body
from airflow_provider_secoda.client._http.error_translation import ErrorTranslator, causes
from airflow_provider_secoda.client._http.proxy_and_tls import read_network_settings
from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaConnectionError, SecodaError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from airflow_provider_secoda.client._api.endpoint import Endpoint
    from airflow_provider_secoda.client._api.flow import Request, Response
    from airflow_provider_secoda.client._http.exchange import Outcome
    from airflow_provider_secoda.client._http.gate import Gate

_log = logging.getLogger(__name__)

#: Seconds after which an idle connection is not used again; many servers and balancers close theirs after 60.
KEEP_ALIVE = 50.0
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEP_ALIVE)
_CONNECTION_CLOSED = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_UNUSABLE = (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError)

#: One connection; `httpx` opens it again when the server closed it.
_Connection: TypeAlias = httpx.AsyncHTTPTransport

#: Whether the library works for a request of this module.
_sending: ContextVar[bool] = ContextVar("secoda_request", default=False)


def _not_sending(_record: logging.LogRecord) -> bool:
    return not _sending.get()


# At DEBUG the library logs all headers of a response, and some servers repeat the key in theirs.
for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"):
    logging.getLogger(_name).addFilter(_not_sending)


class AsyncTransport:
    """Sends requests to one endpoint; for one event loop.

    Each connection has an `httpx` transport of its own: a common one permanently loses a slot of its pool whenever
    TLS fails behind a proxy, and does not report whether an old connection broke or a new one.

    :param max_connections: how many requests may be in flight; further ones wait as long as it takes
    :param gate: what each request waits for, and what a 429 closes
    """

    def __init__(self, endpoint: Endpoint, *, max_connections: int, gate: Gate | None = None) -> None:
        self._endpoint = endpoint
        self._gate = gate
        self._settings = read_network_settings(endpoint)
        self._https_proxy = (self._settings.proxy or "").startswith("https:")
        # Without TLS no certificates are needed.
        secure = endpoint.base_url.startswith("https:") or self._https_proxy
        self._tls = None if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._loading = asyncio.Lock()
        self._extensions = {"timeout": dict.fromkeys(("connect", "read", "write"), endpoint.timeout)}
        self._headers = [
            ("Accept", "application/json"),
            ("Accept-Encoding", ACCEPT_ENCODING),
            ("User-Agent", endpoint.user_agent),
        ]
        self._errors = ErrorTranslator(endpoint, (httpx.TimeoutException,), (httpx.ProxyError,), _UNUSABLE)
        self._capacity = asyncio.Semaphore(max_connections)
        #: The connections not in use, each with the time of its last use; the last one is used next.
        self._idle: list[tuple[float, _Connection]] = []

    async def aclose(self) -> None:
        """Close the connections, those in use when their request has ended; later requests open new ones."""
        idle, self._idle = self._idle, []
        for _, connection in idle:
            await connection.aclose()

    async def send(self, request: Request) -> Outcome:
        """Send one request; return the response, or the error with which it ended."""
        if self._gate is None:
            return await self._send(request)
        await self._gate.wait()
        outcome = await self._send(request)
        self._gate.close_after(outcome)
        return outcome

    async def _send(self, request: Request) -> Outcome:
        async with self._capacity:
            token = _sending.set(True)
            try:
                response = await self._fetch(request)
            except asyncio.CancelledError as stop:
                # Without the frames of the library: their local variables contain the key.
                stop.__context__ = None
                raise stop.with_traceback(None)  # noqa: B904 - it is the same one
            except SecodaError as error:
                error.__context__ = None
                return error.with_traceback(None)
            except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as exc:
                return self._errors.translate(exc, at_proxy=self._is_proxy_unreachable(exc))
            except Exception as exc:  # noqa: BLE001 - a library may raise anything, and no foreign error leaves
                return SecodaConnectionError(f"{self._endpoint.base_url}: {type(exc).__name__}")
            finally:
                _sending.reset(token)
        _log.debug("GET %s %s: %s, %s bytes", request.path, request.params, response.status, len(response.body))
        return response

    async def _fetch(self, request: Request) -> Response:
        limits, idle = self._endpoint.limits, self._idle
        connection, answer, response, complete = None, None, None, False
        try:
            with anyio.move_on_after(limits.answer_seconds):
                if idle:
                    _, connection = idle.pop()
                    answer = await self._request_on_idle(connection, request)
                if connection is None or answer is None:
                    connection = await self._open()
                    answer = await connection.handle_async_request(self._request(request))
                response, complete = await self._read(answer)
            if response is None:
                raise limits.too_slow(self._endpoint.base_url)  # noqa: TRY301 - closes the connection, as other errors
        except BaseException:
            if connection is not None:
                await connection.aclose()
            raise
        assert connection is not None
        if complete and idle is self._idle:
            await self._put_back(connection)
        else:
            await connection.aclose()
        return response

    async def _request_on_idle(self, connection: _Connection, request: Request) -> httpx.Response | None:
        """Send a request on a connection that was used before; return None if the server had closed it, as it may."""
        try:
            return await connection.handle_async_request(self._request(request))
        except _CONNECTION_CLOSED:
            await connection.aclose()
            return None

    async def _read(self, answer: httpx.Response) -> tuple[Response, bool]:
        """Return a response, and whether it was read completely: else the connection cannot be used again."""
        endpoint, encoding = self._endpoint, answer.headers.get("content-encoding", "")
        body = Body(endpoint.base_url, answer.status_code, encoding, endpoint.limits)
        complete = True
        async with aclosing(cast("AsyncGenerator[bytes, None]", answer.aiter_raw())) as pieces:
            async for piece in pieces:
                if not body.feed(piece):
                    complete = False
                    break
                await asyncio.sleep(0)  # a million pieces can be buffered, and other tasks must run
        return body.response(answer.headers.items(), endpoint.key), complete

    async def _put_back(self, connection: _Connection) -> None:
        """Keep a connection for the next request, and close those that were not used for long."""
        now = time.monotonic()
        self._idle.append((now, connection))
        while self._idle and self._idle[0][0] < now - KEEP_ALIVE:
            _, unneeded = self._idle.pop(0)
            await unneeded.aclose()

    def _request(self, request: Request) -> httpx.Request:
        headers = [*self._headers, ("Authorization", self._endpoint.key.header())]
        url = _url(self._endpoint.base_url, request)
        return httpx.Request("GET", url, headers=headers, extensions=self._extensions)

    async def _open(self) -> _Connection:
        tls = self._tls or await self._load_tls()
        proxy = None
        try:
            if self._settings.proxy:
                proxy = httpx.Proxy(
                    self._settings.proxy,
                    ssl_context=tls if self._https_proxy else None,
                    headers=self._settings.proxy_headers,
                )
            return _Connection(verify=tls, trust_env=False, limits=_LIMITS, proxy=proxy)
        except (ImportError, ValueError, httpx.InvalidURL):
            # The proxy's URL is not repeated: it may contain a password.
            raise SecodaConfigurationError(f"{self._endpoint.base_url}: the proxy cannot be used") from None

    async def _load_tls(self) -> ssl.SSLContext:
        async with self._loading:
            if self._tls is None:
                # In a thread: it takes long enough to delay all tasks of the event loop.
                self._tls = await asyncio.to_thread(self._settings.ssl_context)
            return self._tls

    def _is_proxy_unreachable(self, exc: Exception) -> bool:
        # Two libraries wrap the error: right below them is the socket's, as long as it is not even connected.
        found = list(causes(exc))[:3] if self._settings.proxy and isinstance(exc, httpx.ConnectError) else []
        return any(isinstance(cause, OSError) for cause in found)


@lru_cache(maxsize=4096)
def _url(base_url: str, request: Request) -> httpx.URL:
    """Return a request's URL; cached, because polls repeat the same ones and parsing one takes a tenth of a request."""
    return httpx.URL(f"{base_url}{request.path}" + (f"?{urlencode(request.params)}" if request.params else ""))
