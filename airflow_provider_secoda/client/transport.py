"""
One request over the wire, with the library `requests`: the only place that knows the key, proxies and TLS.

Foreign exceptions end here: what leaves is a :class:`~.errors.SecodaError` without request, header or key.
"""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from requests import exceptions
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import ReadTimeoutError

from airflow_provider_secoda.client.errors import (
    SecodaConfigurationError,
    SecodaConnectionError,
    SecodaError,
    SecodaTimeoutError,
    SecodaTLSError,
)
from airflow_provider_secoda.client.messages import Outcome, Request, Response
from airflow_provider_secoda.client.regions import check_proxy, is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_secoda.client.key import Key

_CHUNK = 1 << 16
_BROKEN_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_UNUSABLE = (exceptions.InvalidSchema, exceptions.InvalidProxyURL, exceptions.InvalidURL)


class _BearerAuth(AuthBase):
    """Adds the key at the last moment, and keeps requests from looking for another one in ``~/.netrc``."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._key.header()
        return request


class Transport:
    """
    Sends requests below one base URL; may be used from several threads.

    :param timeout: seconds to wait for a connection and for each piece of an answer
    :param verify: whether to verify the server's certificate, or the path of a CA bundle to verify it with
    :param proxy: URL of a proxy for all requests; without it the environment's proxies count
    :raises SecodaConfigurationError: naming ``verify`` or ``proxy``
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
    ) -> None:
        if proxy is not None:
            check_proxy(proxy, base_url)
        if isinstance(verify, str):
            _check_bundle(verify)
        self._base_url = base_url
        self._key = key
        self._timeout = timeout
        self._session = requests.Session()
        # On loopback there is no proxy to go through, and http to one would show it the key.
        self._session.trust_env = not is_loopback(base_url)
        self._session.mount("http://", HTTPAdapter(pool_maxsize=64))
        self._session.mount("https://", HTTPAdapter(pool_maxsize=64))
        self._session.headers.update({"Accept": "application/json", "User-Agent": user_agent})
        self._proxies = {"http": proxy, "https": proxy} if proxy else None
        self._verify = verify

    def close(self) -> None:
        """Close the connections; new ones are opened when it is used again."""
        self._session.close()

    def send(self, request: Request) -> Outcome:
        """Send one request; return what came back, or the error that it ended in."""
        try:
            with self._session.get(
                self._base_url + request.path,
                params=list(request.params),
                auth=_BearerAuth(self._key),
                timeout=self._timeout,
                verify=self._verify,
                proxies=self._proxies,
                allow_redirects=False,
                stream=True,
            ) as answer:
                body = b"".join(answer.iter_content(_CHUNK))
            scrub = self._key.scrub_text
            headers = {name.lower(): scrub(value) for name, value in answer.headers.items()}
            # Records are evidence, even should one hold the key; what else a server says is not.
            if answer.status_code != 200:  # noqa: PLR2004
                body = self._key.scrub(body)
            return Response(answer.status_code, headers, body, time.time())
        except exceptions.RequestException as exc:
            return self._translate(exc)
        except Exception as exc:  # noqa: BLE001 - no foreign error leaves, whatever a library raises
            return SecodaConnectionError(f"{self._base_url}: {type(exc).__name__}")

    def _translate(self, exc: exceptions.RequestException) -> SecodaError:
        """Turn a foreign error into one of ours, in words, without the request that it carries."""
        where, causes = self._base_url, list(_causes(exc))
        what = self._key.scrub_text(str(causes[-1])[:200])

        def has(*kinds: type[BaseException]) -> bool:
            return any(isinstance(cause, kinds) for cause in causes)

        error: SecodaError = SecodaConnectionError(f"{where}: the connection broke ({what})")
        if has(ssl.SSLCertVerificationError):
            error = SecodaTLSError(f"{where}: the server's certificate could not be verified ({what})")
        elif has(ssl.SSLError) and not has(*_BROKEN_TLS):
            error = SecodaTLSError(f"{where}: the server does not speak TLS as it should ({what})", reason="protocol")
        elif has(exceptions.Timeout, ReadTimeoutError, TimeoutError):
            error = SecodaTimeoutError(f"{where}: no answer within {self._timeout:g} s")
        elif has(exceptions.ProxyError):
            error = SecodaConnectionError(f"{where}: the proxy does not let us through", reason="proxy")
        elif has(socket.gaierror):
            error = SecodaConnectionError(f"{where}: there is no such host", reason="dns")
        elif has(ConnectionRefusedError):
            error = SecodaConnectionError(f"{where}: the connection was refused", reason="refused")
        elif has(*_UNUSABLE):
            error = SecodaConfigurationError(f"{where}: the proxy or the address cannot be used ({what})")
        return error


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it wraps, by any of the ways in which libraries wrap errors, innermost last."""
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        inside = (getattr(exc, "reason", None), *exc.args, exc.__cause__, exc.__context__)
        exc = next((one for one in inside if isinstance(one, BaseException) and id(one) not in seen), None)


def _check_bundle(path: str) -> None:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as exc:
        reason = "it holds no certificate" if isinstance(exc, ssl.SSLError) else exc
        raise SecodaConfigurationError(f"`verify` must be a CA bundle, which {path!r} is not: {reason}") from None
