"""
One request over the wire, with the library `requests`: it adds the key at the last moment, and nobody else knows it.

Foreign exceptions end here: what leaves is a :class:`~.errors.SecodaError` without request, header or key.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import requests
from requests import exceptions
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import ReadTimeoutError

from airflow_provider_secoda.client.errors import SecodaConnectionError
from airflow_provider_secoda.client.messages import Outcome, Request, Response
from airflow_provider_secoda.client.route import find_route
from airflow_provider_secoda.client.translation import Translation

if TYPE_CHECKING:
    from airflow_provider_secoda.client.key import Key

_CHUNK = 1 << 16
_TIMEOUTS = (exceptions.Timeout, ReadTimeoutError)
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
    ) -> None:
        route = find_route(base_url, proxy=proxy, verify=verify)
        self._base_url = base_url
        self._key = key
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False  # the route has what the environment says
        self._session.mount("http://", HTTPAdapter(pool_maxsize=64))
        self._session.mount("https://", HTTPAdapter(pool_maxsize=64))
        self._session.headers.update({"Accept": "application/json", "User-Agent": user_agent})
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
                body = b"".join(answer.iter_content(_CHUNK))
            scrub = self._key.scrub_text
            headers = {name.lower(): scrub(value) for name, value in answer.headers.items()}
            # Records are evidence, even should one hold the key; what else a server says is not.
            if answer.status_code != 200:  # noqa: PLR2004
                body = self._key.scrub(body)
            return Response(answer.status_code, headers, body, time.time())
        except exceptions.RequestException as exc:
            return self._words.error(exc)
        except Exception as exc:  # noqa: BLE001 - no foreign error leaves, whatever a library raises
            return SecodaConnectionError(f"{self._base_url}: {type(exc).__name__}")
