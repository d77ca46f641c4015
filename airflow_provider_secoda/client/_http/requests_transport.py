"""Send one request with the library `requests`; the key is added at the last moment and is known nowhere else.

Errors of the library end here: what leaves is a :class:`~.errors.SecodaError` without request, header or key.
"""

from __future__ import annotations

import io
import time
from functools import partial
from http import HTTPStatus
from http.client import HTTPResponse, parse_headers
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from requests import PreparedRequest, exceptions
from requests.adapters import HTTPAdapter
from urllib3 import Timeout
from urllib3.exceptions import HTTPError, ProxyError, ReadTimeoutError

from airflow_provider_secoda.client._http.body import ACCEPT_ENCODING, Body
from airflow_provider_secoda.client._http.error_translation import ErrorTranslator
from airflow_provider_secoda.client._http.proxy_and_tls import read_network_settings
from airflow_provider_secoda.client.errors import SecodaConnectionError, SecodaError

if TYPE_CHECKING:
    from socket import socket

    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

    from airflow_provider_secoda.client._api.endpoint import Endpoint
    from airflow_provider_secoda.client._api.flow import Request, Response
    from airflow_provider_secoda.client._http.exchange import Outcome

#: Most pages come in one piece.
_CHUNK = 1 << 18
#: Bytes that headers may have in addition to the body; `http.client` accepts 100 lines of 64 KiB.
_HEADERS = 8 << 20
_TIMEOUTS = (ReadTimeoutError,)
_PROXY_ERRORS = (ProxyError,)
_UNUSABLE = (exceptions.InvalidSchema, exceptions.InvalidProxyURL, exceptions.InvalidURL, UnicodeError)


class Transport:
    """Sends requests to one endpoint; may be used from several threads.

    The connections are those of an adapter of `requests`, which knows proxies and certificates. What `requests` does
    around them (redirects, cookies, ``~/.netrc``, a search for the pool of connections of each URL) is not wanted, and
    takes more processor time than they do.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        settings = read_network_settings(endpoint)
        self._endpoint = endpoint
        self._adapter = _Adapter(endpoint, settings.proxy_headers)
        self._proxies = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else None
        self._verify = settings.verify
        self._errors = ErrorTranslator(endpoint, _TIMEOUTS, _PROXY_ERRORS, _UNUSABLE)
        self._opened: tuple[HTTPConnectionPool, str] | None = None

    def close(self) -> None:
        """Close the connections; new ones are opened when the transport is used again."""
        self._opened = None
        self._adapter.close()

    def send(self, request: Request) -> Outcome:
        """Send one request; return the response, or the error with which it ended."""
        try:
            pool, prefix = self._open()
            answer = pool.urlopen(
                "GET",
                f"{prefix}{request.path}?{urlencode(request.params)}",
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": ACCEPT_ENCODING,
                    "Connection": "keep-alive",
                    "User-Agent": self._endpoint.user_agent,
                    "Authorization": self._endpoint.key.header(),
                },
                redirect=False,  # the library reads their complete bodies
                retries=self._adapter.max_retries,  # none
                timeout=Timeout(connect=self._endpoint.timeout, read=self._endpoint.timeout),
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                return self._read(answer)
            finally:
                answer.close()
                answer.release_conn()
        except SecodaError as error:
            error.__context__ = None
            return error.with_traceback(None)
        except (exceptions.RequestException, HTTPError, UnicodeError) as exc:
            return self._errors.translate(exc)
        except Exception as exc:  # noqa: BLE001 - a library may raise anything, and no foreign error leaves
            return SecodaConnectionError(f"{self._endpoint.base_url}: {type(exc).__name__}")

    def _open(self) -> tuple[HTTPConnectionPool, str]:
        """Return the connections to the endpoint or its proxy, and what is sent to them before the path."""
        if self._opened is None:
            base = PreparedRequest()
            base.prepare_url(self._endpoint.base_url, None)
            pool = self._adapter.get_connection_with_tls_context(base, self._verify, proxies=self._proxies)
            self._adapter.cert_verify(pool, base.url, self._verify, None)  # type: ignore[no-untyped-call]
            self._opened = pool, self._adapter.request_url(base, self._proxies).rstrip("/")
        return self._opened

    def _read(self, answer: BaseHTTPResponse) -> Response:
        endpoint, encoding = self._endpoint, answer.headers.get("content-encoding", "")
        body = Body(endpoint.base_url, answer.status, encoding, endpoint.limits)
        for piece in answer.stream(_CHUNK, decode_content=False):
            if not body.feed(piece):
                break
        return body.response(answer.headers.itermerged(), endpoint.key)


class _Adapter(HTTPAdapter):
    """Creates connections, direct and through any proxy, whose responses must end in time.

    A timeout of `http.client`, which `requests` uses, is for one piece: a server that sends a byte now and then would
    keep a thread busy without end, in the status line, the headers, between chunks or after the last one. So the time
    is measured where bytes are read from the socket.
    """

    def __init__(self, endpoint: Endpoint, proxy_headers: dict[str, str]) -> None:
        super().__init__(pool_maxsize=64)
        self._proxy_headers = proxy_headers
        self._changes = {"response_class": staticmethod(partial(_TimedResponse, endpoint))}

    def proxy_headers(self, proxy: str) -> dict[str, str]:  # noqa: ARG002 - the library's name
        return self._proxy_headers

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = pool.ConnectionCls
        if "response_class" not in vars(kind):
            pool.ConnectionCls = type(kind.__name__, (kind,), self._changes)
        return pool


class _TimedResponse(HTTPResponse):
    def __init__(self, endpoint: Endpoint, sock: socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        source = self.fp.detach()
        self.fp = io.BufferedReader(_TimedReader(source, sock, endpoint))

    def _read_status(self) -> tuple[str, int, str]:
        """Skip interim responses (RFC 9110, section 15.2): the library skips 100 only, and `httpx` skips all."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == HTTPStatus.SWITCHING_PROTOCOLS:  # noqa: PLR2004
                return version, status, reason
            parse_headers(self.fp)


class _TimedReader(io.RawIOBase):
    """Reads from a socket until the response's time is over or its size is exceeded, and raises then."""

    def __init__(self, source: io.RawIOBase, sock: socket, endpoint: Endpoint) -> None:
        self._source = source
        self._sock = sock
        self._limits = endpoint.limits
        self._where = endpoint.base_url
        self._timeout = sock.gettimeout()
        self._until = time.monotonic() + self._limits.answer_seconds
        # In addition to headers there are the frames of chunks, and what may follow the last one.
        self._left = 2 * self._limits.body_bytes + _HEADERS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise self._limits.too_slow(self._where)
        shortened = self._timeout is None or left < self._timeout
        self._sock.settimeout(left if shortened else self._timeout)
        try:
            size = self._source.readinto(buffer)
        except TimeoutError:
            if shortened:
                raise self._limits.too_slow(self._where) from None
            raise
        self._left -= size or 0
        if self._left < 0:
            raise self._limits.exceeded("body_bytes", self._where)
        return size

    def close(self) -> None:
        self._source.close()
        super().close()
