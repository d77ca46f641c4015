"""The way to a server: through which proxy, and whose certificates are trusted.

The environment is read as the library `requests` reads it, whichever library sends, so that what works for a task
works for a trigger too.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy

from airflow_provider_secoda.client._api.base_url import check_proxy, is_loopback
from airflow_provider_secoda.client.errors import SecodaConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Route:
    """How a server is reached.

    :param proxy: URL of the proxy to go through, which may hold a password; None for the direct way
    :param verify: whether to verify the server's certificate, or the path of a CA bundle to verify it with
    """

    proxy: str | None = field(repr=False)
    verify: bool | str
    _bundle: ssl.SSLContext | None = field(default=None, repr=False)

    def tls(self) -> ssl.SSLContext:
        """Return a context that trusts whom the route trusts; the usual authorities take some 50 ms to load."""
        if self.verify is not False:
            return self._bundle or _load(DEFAULT_CA_BUNDLE_PATH)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


def find_route(base_url: str, *, proxy: str | None, verify: bool | str) -> Route:
    """Return the way to a server that the arguments and, off loopback, the environment ask for.

    :param proxy: URL of a proxy for all requests; without it ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` count
    :param verify: as in :class:`Route`; with True ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE`` count
    :raises SecodaConfigurationError: naming ``verify``, ``proxy`` or the environment's variable

    Logs a warning when no certificate is to be verified.
    """
    if proxy is not None:
        check_proxy(proxy, base_url)
    with requests.Session() as session:
        # On loopback there is no proxy to go through, and http to one would show it the key.
        session.trust_env = not is_loopback(base_url)
        proxies = {"http": proxy, "https": proxy} if proxy else {}
        found: Mapping[str, Any] = session.merge_environment_settings(base_url, proxies, None, verify, None)
    bundle = None
    if isinstance(found["verify"], str):
        try:
            bundle = _load(found["verify"])
        except (OSError, ValueError) as exc:
            name = "verify" if isinstance(verify, str) else "REQUESTS_CA_BUNDLE"
            reason = "it holds no certificate" if isinstance(exc, ssl.SSLError) else exc
            raise SecodaConfigurationError(
                f"`{name}` must be a CA bundle, which {found['verify']!r} is not: {reason}"
            ) from None
    chosen = select_proxy(base_url, found["proxies"])
    if chosen and "://" not in chosen:
        chosen = f"http://{chosen}"
    if found["verify"] is False:
        # Also where somebody's patch of the library said so: it must never be silent.
        _log.warning(
            "The certificate of %s is not verified: anybody between here and there can read the API key", base_url
        )
    return Route(chosen or None, found["verify"], bundle)


def _load(bundle: str) -> ssl.SSLContext:
    if Path(bundle).is_dir():
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)
