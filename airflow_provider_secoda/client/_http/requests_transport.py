"""One request over the wire, with the library `requests`: it adds the key at the last moment, and nobody else knows it.

Foreign exceptions end here: what leaves is a :class:`~.errors.SecodaError` without request, header or key.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import requests
from requests import exceptions
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, ReadTimeoutError

from airflow_provider_secoda.client._api.flow import Outcome, Request, Response
from airflow_provider_secoda.client._http.body import ACCEPT_ENCODING, Body
from airflow_provider_secoda.client._http.deadline import answer_class
from airflow_provider_secoda.client._http.error_translation import Translation
from airflow_provider_secoda.client._http.proxy_and_tls import find_route
from airflow_provider_secoda.client.errors import SecodaConnectionError, SecodaError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.key import Key
    from airflow_provider_secoda.client._api.limits import Limits

_CHUNK = 1 << 16
_TIMEOUTS = (exceptions.Timeout, ReadTimeoutError)
_UNUSABLE = (exceptions.InvalidSchema, exceptions.InvalidProxyURL, exceptions.InvalidURL, UnicodeError)


class _BearerAuth(AuthBase):
    """Adds the key at the last moment, and keeps requests from looking for another one in ``~/.netrc``."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._key.header()
        return request


class _Adapter(HTTPAdapter):
    """Makes connections whose answers end in time, directly and through any proxy."""

    def __init__(self, limits: Limits, where: str) -> None:
        super().__init__(pool_maxsize=64)
        self._changes = {"response_class": staticmethod(answer_class(limits, where))}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = pool.ConnectionCls
        if "response_class" not in vars(kind):
            pool.ConnectionCls = type(kind.__name__, (kind,), self._changes)
        return pool


class _Session(requests.Session):
    """Leaves redirects alone: the library reads their bodies whole, also when it is told not to follow them."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - the library's name
        return None


class Transport:
    """Sends requests below one base URL; may be used from several threads.

    :param timeout: seconds to wait for a connection and for each piece of an answer
    :param verify: whether to verify the server's certificate, or the path of a CA bundle to verify it with
    :param proxy: URL of a proxy for all requests; without it the environment's proxies count
    :param limits: the most that one answer may be
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
    ) -> None:
        route = find_route(base_url, proxy=proxy, verify=verify)
        self._base_url = base_url
        self._key = key
        self._timeout = timeout
        self._limits = limits
        self._session = _Session()
        self._session.trust_env = False  # the route has what the environment says
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(limits, base_url))
        self._session.headers.update(
            {"Accept": "application/json", "Accept-Encoding": ACCEPT_ENCODING, "User-Agent": user_agent}
        )
        self._proxies = {"http": route.proxy, "https": route.proxy} if route.proxy else None
        self._verify = route.verify
        self._words = Translation(base_url, timeout, key, _TIMEOUTS, (exceptions.ProxyError,), _UNUSABLE)

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
                return self._read(answer)
        except SecodaError as error:
            error.__context__ = None
            return error.with_traceback(None)
        except (exceptions.RequestException, HTTPError, UnicodeError) as exc:
            return self._words.error(exc)
        except Exception as exc:  # noqa: BLE001 - no foreign error leaves, whatever a library raises
            return SecodaConnectionError(f"{self._base_url}: {type(exc).__name__}")

    def _read(self, answer: requests.Response) -> Response:
        body = Body(self._base_url, answer.status_code, answer.headers.get("content-encoding", ""), self._limits)
        for piece in answer.raw.stream(_CHUNK, decode_content=False):
            if not body.feed(piece):
                break
        content, scrub = body.whole(), self._key.scrub_text
        headers = {name.lower(): scrub(value) for name, value in answer.headers.items()}
        # Records are evidence, even should one hold the key; what else a server says is not.
        if answer.status_code != 200:  # noqa: PLR2004
            content = self._key.scrub(content)
        return Response(answer.status_code, headers, content, time.time(), self._limits)
