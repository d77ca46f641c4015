"""Decide through which proxy a server is reached, and which certificates are trusted.

The environment is read here, whichever library sends, so that what works for a task works for a trigger too: as the
library `requests` reads it, and ``SSL_CERT_FILE``, which most other software uses.
"""

from __future__ import annotations

import base64
import logging
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy

from airflow_provider_secoda.client._api.base_url import check_proxy, is_loopback
from airflow_provider_secoda.client.errors import SecodaConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda.client._api.endpoint import Endpoint

_log = logging.getLogger(__name__)

#: The environment's variables that name a CA bundle; the first one that is set counts.
_CA_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True)
class NetworkSettings:
    """Through which proxy a server is reached, and which certificates are trusted.

    :param proxy: URL of the proxy, without user and password if it is an HTTP proxy; None for a direct connection
    :param proxy_headers: what an HTTP proxy is sent with each connection: user and password
    :param verify: whether to verify the server's certificate, or the path of a CA bundle to verify it with
    """

    proxy: str | None = field(repr=False)
    proxy_headers: dict[str, str] = field(repr=False)
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
    ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE`` and ``SSL_CERT_FILE`` are, in this order. Logs a warning if no
    certificate is verified.

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
    trusted = found["verify"]
    if trusted is True and session.trust_env:
        trusted = os.environ.get("SSL_CERT_FILE") or True
    if trusted is False:
        # Also where a patch of the library switched it off: it must never be silent.
        _log.warning("The certificate of %s is not verified: anyone on the network path can read the API key", base_url)
    bundle = _load_bundle(trusted, is_own=isinstance(verify, str)) if isinstance(trusted, str) else None
    url, headers = _split_credentials(select_proxy(base_url, found["proxies"]) or "")
    return NetworkSettings(url or None, headers, trusted, bundle)


def _load_bundle(path: str, *, is_own: bool) -> ssl.SSLContext:
    """Load a CA bundle.

    :param is_own: whether it is the endpoint's, and not the environment's
    """
    try:
        return _load(path)
    except (OSError, ValueError) as exc:
        name = "verify" if is_own else next(filter(os.environ.get, _CA_BUNDLE_VARIABLES), "verify")
        reason = "it contains no certificate" if isinstance(exc, ssl.SSLError) else exc
        raise SecodaConfigurationError(f"`{name}` must be the path of a CA bundle; {path!r} is not: {reason}") from None


def _split_credentials(proxy: str) -> tuple[str, dict[str, str]]:
    """Return the URL of an HTTP proxy without user and password, and the header that has them.

    They are sent in UTF-8 (RFC 7617, section 2.1); percent-encoded bytes and bytes of the environment that are not
    UTF-8 are sent as they are. The libraries encode them in different ways, and each refuses others.
    """
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    try:
        parts = urlsplit(proxy)
    except ValueError:
        problem = "the environment's proxy is not a valid URL: correct `HTTPS_PROXY` or `ALL_PROXY`"
        raise SecodaConfigurationError(problem) from None
    credentials, at, server = parts.netloc.rpartition("@")
    if not at or parts.scheme not in ("http", "https"):
        return proxy, {}
    user, _, password = credentials.partition(":")
    both = b":".join(unquote_to_bytes(text.encode("utf-8", "surrogateescape")) for text in (user, password))
    return f"{parts.scheme}://{server}", {"Proxy-Authorization": f"Basic {base64.b64encode(both).decode()}"}


def _load(bundle: str) -> ssl.SSLContext:
    if Path(bundle).is_dir():
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)
