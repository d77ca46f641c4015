"""Decide through which proxy a server is reached, and which certificates are trusted.

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

    from airflow_provider_secoda.client._api.endpoint import Endpoint

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NetworkSettings:
    """Through which proxy a server is reached, and which certificates are trusted.

    :param proxy: URL of the proxy, which may contain a password; None for a direct connection
    :param verify: whether to verify the server's certificate, or the path of a CA bundle to verify it with
    """

    proxy: str | None = field(repr=False)
    verify: bool | str
    _bundle: ssl.SSLContext | None = field(default=None, repr=False)

    def ssl_context(self) -> ssl.SSLContext:
        """Return a TLS context; loading the default certificates takes some 50 ms."""
        if self.verify is not False:
            return self._bundle or _load(DEFAULT_CA_BUNDLE_PATH)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


def read_network_settings(endpoint: Endpoint) -> NetworkSettings:
    """Return the proxy and the certificates for an endpoint: its own, else, except on loopback, the environment's.

    Without ``proxy``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` are used; with ``verify=True``,
    ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE`` are. Logs a warning if no certificate is verified.

    :raises SecodaConfigurationError: naming ``verify``, ``proxy`` or the variable of the environment to change
    """
    base_url, proxy, verify = endpoint.base_url, endpoint.proxy, endpoint.verify
    if proxy is not None:
        check_proxy(proxy, base_url)
    with requests.Session() as session:
        # On loopback no proxy is needed, and with http a proxy would see the key.
        session.trust_env = not is_loopback(base_url)
        proxies = {"http": proxy, "https": proxy} if proxy else {}
        found: Mapping[str, Any] = session.merge_environment_settings(base_url, proxies, None, verify, None)
    bundle = None
    if isinstance(found["verify"], str):
        try:
            bundle = _load(found["verify"])
        except (OSError, ValueError) as exc:
            name = "verify" if isinstance(verify, str) else "REQUESTS_CA_BUNDLE"
            reason = "it contains no certificate" if isinstance(exc, ssl.SSLError) else exc
            raise SecodaConfigurationError(
                f"`{name}` must be the path of a CA bundle; {found['verify']!r} is not: {reason}"
            ) from None
    chosen = select_proxy(base_url, found["proxies"])
    if chosen and "://" not in chosen:
        chosen = f"http://{chosen}"
    if found["verify"] is False:
        # Also where a patch of the library switched it off: it must never be silent.
        _log.warning("The certificate of %s is not verified: anyone on the network path can read the API key", base_url)
    return NetworkSettings(chosen or None, found["verify"], bundle)


def _load(bundle: str) -> ssl.SSLContext:
    if Path(bundle).is_dir():
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)
