"""One request over the wire without blocking, with the library `httpx`: it adds the key at the last moment.

`httpx.AsyncHTTPTransport` is used and `httpx.AsyncClient` is not: the client writes an INFO line a request, keeps
cookies, reads ``~/.netrc``, and takes more processor time. Foreign exceptions end here: what leaves is a
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

from airflow_provider_secoda.client._api.flow import Outcome, Request, Response
from airflow_provider_secoda.client._http.body import ACCEPT_ENCODING, Body
from airflow_provider_secoda.client._http.deadline import too_slow
from airflow_provider_secoda.client._http.error_translation import Translation, causes
from airflow_provider_secoda.client._http.proxy_and_tls import find_route
from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaConnectionError, SecodaError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from airflow_provider_secoda.client._api.key import Key
    from airflow_provider_secoda.client._api.limits import Limits

_log = logging.getLogger(__name__)

#: Seconds after which an idle connection is not used again; many servers and balancers close theirs after 60.
KEEP_ALIVE = 50.0
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEP_ALIVE)
_HUNG_UP = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
_UNUSABLE = (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError)

#: A connection with all that keeps it; `httpx` opens it anew when the server closed it.
_Line: TypeAlias = httpx.AsyncHTTPTransport

#: Whether what runs is a request of ours.
_ours: ContextVar[bool] = ContextVar("secoda_request", default=False)


def _is_of_others(_record: logging.LogRecord) -> bool:
    return not _ours.get()


# At DEBUG the library shows all headers of an answer, and some servers repeat the key in theirs.
for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"):
    logging.getLogger(_name).addFilter(_is_of_others)


class AsyncTransport:
    """Sends requests below one base URL; for one event loop.

    Each connection has an `httpx` transport of its own: a common one loses a place in its pool for good whenever TLS
    fails behind a proxy, and cannot say whether it was an old connection that broke or a new one.

    :param timeout: seconds to wait for a connection and for each piece of an answer
    :param verify: whether to verify the server's certificate, or the path of a CA bundle to verify it with
    :param proxy: URL of a proxy for all requests; without it the environment's proxies count
    :param limits: the most that one answer may be
    :param max_connections: how many requests may be under way; those beyond wait, however long it takes
    :raises SecodaConfigurationError: as :func:`~.route.find_route` does
    """

    def __init__(
        self,
        base_url: str,
        key: Key,
        *,
        timeout: float,
        verify: bool | str,
        proxy: str | None,
        user_agent: str,
        limits: Limits,
        max_connections: int,
    ) -> None:
        self._base_url = base_url
        self._key = key
        self._limits = limits
        self._route = find_route(base_url, proxy=proxy, verify=verify)
        # Without TLS there is nobody to trust, and no need to load anybody's certificates.
        secure = base_url.startswith("https:") or self._has_https_proxy()
        self._tls = None if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._loading = asyncio.Lock()
        self._extensions = {"timeout": {"connect": timeout, "read": timeout, "write": timeout}}
        self._headers = [
            ("Accept", "application/json"),
            ("Accept-Encoding", ACCEPT_ENCODING),
            ("User-Agent", user_agent),
        ]
        self._words = Translation(base_url, timeout, key, (httpx.TimeoutException,), (httpx.ProxyError,), _UNUSABLE)
        self._room = asyncio.Semaphore(max_connections)
        #: The lines that nobody uses, each with the time of its last use; the last one is used next.
        self._idle: list[tuple[float, _Line]] = []

    async def aclose(self) -> None:
        """Close the connections, those in use when their request has ended; later requests open new ones."""
        idle, self._idle = self._idle, []
        for _, line in idle:
            await line.aclose()

    async def send(self, request: Request) -> Outcome:
        """Send one request; return what came back, or the error that it ended in."""
        async with self._room:
            token = _ours.set(True)
            try:
                response = await self._send(request)
            except asyncio.CancelledError as stop:
                # Without the frames of the sending: their local variables hold the key.
                stop.__context__ = None
                raise stop.with_traceback(None)  # noqa: B904 - it is the same one
            except SecodaError as error:
                error.__context__ = None
                return error.with_traceback(None)
            except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as exc:
                return self._words.error(exc, at_proxy=self._proxy_unreached(exc))
            except Exception as exc:  # noqa: BLE001 - no foreign error leaves, whatever a library raises
                return SecodaConnectionError(f"{self._base_url}: {type(exc).__name__}")
            finally:
                _ours.reset(token)
        _log.debug("GET %s %s: %s, %s bytes", request.path, request.params, response.status, len(response.body))
        return response

    async def _send(self, request: Request) -> Response:
        idle, line, answer, response, whole = self._idle, None, None, None, False
        try:
            with anyio.move_on_after(self._limits.answer_seconds):
                if idle:
                    _, line = idle.pop()
                    answer = await self._ask_again(line, request)
                if line is None or answer is None:
                    line = await self._open()
                    answer = await line.handle_async_request(self._request(request))
                response, whole = await self._read(answer)
            if response is None:
                raise too_slow(self._limits, self._base_url)  # noqa: TRY301 - the line is of no more use, as after others
        except BaseException:
            if line is not None:
                await line.aclose()
            raise
        assert line is not None
        if whole and idle is self._idle:
            await self._put_back(line)
        else:
            await line.aclose()
        return response

    async def _ask_again(self, line: _Line, request: Request) -> httpx.Response | None:
        """Ask over a line that was used before; return None when the server hung up meanwhile, as it may."""
        try:
            return await line.handle_async_request(self._request(request))
        except _HUNG_UP:
            await line.aclose()
            return None

    async def _read(self, answer: httpx.Response) -> tuple[Response, bool]:
        """Return a response, and whether all that was sent was read: else the line is of no more use."""
        encoding = answer.headers.get("content-encoding", "")
        body = Body(self._base_url, answer.status_code, encoding, self._limits)
        whole = True
        async with aclosing(cast("AsyncGenerator[bytes, None]", answer.aiter_raw())) as pieces:
            async for piece in pieces:
                if not body.feed(piece):
                    whole = False
                    break
                await asyncio.sleep(0)  # a million pieces can be there already, and others wait
        content = body.whole()
        headers = {name: self._key.scrub_text(value) for name, value in answer.headers.items()}
        # Records are evidence, even should one hold the key; what else a server says is not.
        if answer.status_code != 200:  # noqa: PLR2004
            content = self._key.scrub(content)
        return Response(answer.status_code, headers, content, time.time(), self._limits), whole

    async def _put_back(self, line: _Line) -> None:
        """Keep a line for the next request, and close those that were not needed for long."""
        now = time.monotonic()
        self._idle.append((now, line))
        while self._idle and self._idle[0][0] < now - KEEP_ALIVE:
            _, unneeded = self._idle.pop(0)
            await unneeded.aclose()

    def _request(self, request: Request) -> httpx.Request:
        headers = [*self._headers, ("Authorization", self._key.header())]
        return httpx.Request("GET", _url(self._base_url, request), headers=headers, extensions=self._extensions)

    async def _open(self) -> _Line:
        tls = self._tls or await self._load_tls()
        proxy = None
        try:
            if self._route.proxy:
                proxy = httpx.Proxy(self._route.proxy, ssl_context=tls if self._has_https_proxy() else None)
            return _Line(verify=tls, trust_env=False, limits=_LIMITS, proxy=proxy)
        except (ImportError, ValueError, httpx.InvalidURL):
            # Its URL is not repeated: it may hold a password.
            raise SecodaConfigurationError(f"{self._base_url}: the proxy cannot be used") from None

    async def _load_tls(self) -> ssl.SSLContext:
        async with self._loading:
            if self._tls is None:
                # In a thread: it takes long enough to make a whole event loop late.
                self._tls = await asyncio.to_thread(self._route.tls)
            return self._tls

    def _has_https_proxy(self) -> bool:
        return (self._route.proxy or "").startswith("https:")

    def _proxy_unreached(self, exc: Exception) -> bool:
        # Two libraries wrap the error: right below is that of the socket, as long as it is not even connected.
        found = list(causes(exc))[:3] if self._route.proxy and isinstance(exc, httpx.ConnectError) else []
        return any(isinstance(cause, OSError) for cause in found)


@lru_cache(maxsize=4096)
def _url(base_url: str, request: Request) -> httpx.URL:
    """Return a request's URL; kept, since polls ask for the same ones and parsing one takes a tenth of a request."""
    return httpx.URL(f"{base_url}{request.path}" + (f"?{urlencode(request.params)}" if request.params else ""))
