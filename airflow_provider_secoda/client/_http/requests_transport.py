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

from requests import PreparedRequest, exceptions
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ReadTimeoutError

from airflow_provider_secoda.client._http.body import ACCEPT_ENCODING, Body
from airflow_provider_secoda.client._http.error_translation import ErrorTranslator
from airflow_provider_secoda.client._http.proxy_and_tls import read_network_settings
from airflow_provider_secoda.client.errors import SecodaConnectionError, SecodaError

if TYPE_CHECKING:
    from socket import socket

    import requests

    from airflow_provider_secoda.client._api.endpoint import Endpoint
    from airflow_provider_secoda.client._api.flow import Request, Response
    from airflow_provider_secoda.client._http.exchange import Outcome

_CHUNK = 1 << 16
#: Bytes that headers may have in addition to the body; `http.client` accepts 100 lines of 64 KiB.
_HEADERS = 8 << 20
_TIMEOUTS = (exceptions.Timeout, ReadTimeoutError)
_UNUSABLE = (exceptions.InvalidSchema, exceptions.InvalidProxyURL, exceptions.InvalidURL, UnicodeError)


class Transport:
    """Sends requests to one endpoint; may be used from several threads.

    It uses an adapter of `requests` without a session. A session would follow redirects, keep cookies and read
    ``~/.netrc``, none of which is wanted, and takes as much processor time as sending the request.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        settings = read_network_settings(endpoint)
        self._endpoint = endpoint
        self._adapter = _Adapter(endpoint, settings.proxy_headers)
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": ACCEPT_ENCODING,
            "Connection": "keep-alive",
            "User-Agent": endpoint.user_agent,
        }
        self._proxies = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else None
        self._verify = settings.verify
        self._errors = ErrorTranslator(endpoint, _TIMEOUTS, (exceptions.ProxyError,), _UNUSABLE)

    def close(self) -> None:
        """Close the connections; new ones are opened when the transport is used again."""
        self._adapter.close()

    def send(self, request: Request) -> Outcome:
        """Send one request; return the response, or the error with which it ended."""
        try:
            with self._adapter.send(
                self._prepare(request),
                stream=True,
                timeout=self._endpoint.timeout,
                verify=self._verify,
                proxies=self._proxies,
            ) as answer:
                return self._read(answer)
        except SecodaError as error:
            error.__context__ = None
            return error.with_traceback(None)
        except (exceptions.RequestException, HTTPError, UnicodeError) as exc:
            return self._errors.translate(exc)
        except Exception as exc:  # noqa: BLE001 - a library may raise anything, and no foreign error leaves
            return SecodaConnectionError(f"{self._endpoint.base_url}: {type(exc).__name__}")

    def _prepare(self, request: Request) -> PreparedRequest:
        prepared = PreparedRequest()
        prepared.prepare_method("GET")
        prepared.prepare_url(self._endpoint.base_url + request.path, list(request.params))
        prepared.prepare_headers({**self._headers, "Authorization": self._endpoint.key.header()})
        return prepared

    def _read(self, answer: requests.Response) -> Response:
        endpoint, encoding = self._endpoint, answer.headers.get("content-encoding", "")
        body = Body(endpoint.base_url, answer.status_code, encoding, endpoint.limits)
        for piece in answer.raw.stream(_CHUNK, decode_content=False):
            if not body.feed(piece):
                break
        return body.response(answer.headers.items(), endpoint.key)


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
