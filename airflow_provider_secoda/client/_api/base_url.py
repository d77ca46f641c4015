"""Find the API's base URL from the fields of a connection: the one origin to which the API key is sent.

The base URLs are from the vendor's API reference ("Audit Logs", ``servers``). The hosts of the web app, which users
paste, are accepted too. A self-hosted workspace can have any domain.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from airflow_provider_secoda.client.errors import SecodaConfigurationError

ON_PREMISE = "on_premise"
REGIONS = {"us": "api.secoda.co", "eu": "eapi.secoda.co", "apac": "aapi.secoda.co"}
#: The hosts of the web app.
APPS = {"us": "app.secoda.co", "eu": "eu.secoda.co", "apac": "apac.secoda.co"}
_CLOUD_HOSTS = {host: region for hosts in (REGIONS, APPS) for region, host in hosts.items()}
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Libraries disagree about what else is allowed between `//` and the path.
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]*)?")
# Accepted by resolvers as an IPv4 address: `2130706433`, `0x7f.1`, `127.1` (WHATWG URL, "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_API_SUFFIX = re.compile(r"(/api(/v1(/.*)?)?)*/?$")
_SCHEMES = ("http", "https")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


class _Host(NamedTuple):
    scheme: str
    name: str
    port: int | None
    prefix: str

    @property
    def origin(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{self.scheme}://{name}" + (f":{self.port}" if self.port else "")


def resolve_base_url(
    *,
    region: str | None = None,
    customer_domain: str | None = None,
    host: str | None = None,
    port: int | None = None,
    scheme: str | None = None,
) -> str:
    """Return the base URL of the API, without a trailing slash: ``https://api.secoda.co``.

    :param region: ``us`` (the default), ``eu``, ``apac`` or ``on_premise``
    :param customer_domain: the DNS label before ``.secoda.co`` of an on-premise workspace
    :param host: any base URL or host, as users paste it; overrides the other two, but must not contradict them
    :param port: for a host without one
    :param scheme: ``http`` or ``https``, for a host without one
    :raises SecodaConfigurationError: naming the field to change, also if the key would be sent unencrypted
    """
    region, customer_domain = _blank(region), _blank(customer_domain)
    if region is not None:
        region = region.lower().replace("-", "_").replace(" ", "_")
        if region not in (*REGIONS, ON_PREMISE):
            raise SecodaConfigurationError(f"unknown `region` {_shown(region)}: set it to us, eu, apac or on_premise")
    if customer_domain is not None:
        # Some characters outside ASCII become ASCII in lower case.
        customer_domain = customer_domain.lower() if customer_domain.isascii() else customer_domain
        _check_domain(customer_domain, region)
    if port is not None and not 0 < port < 65_536:  # noqa: PLR2004 - what TCP has
        raise SecodaConfigurationError(f"`port` must be from 1 to 65535, not {port}")
    if _blank(host) is not None:
        found = _parse_host(str(host).strip(), port, _blank(scheme))
        _check_agreement(found, region, customer_domain)
        cloud = _CLOUD_HOSTS.get(found.name)
        return f"https://{REGIONS[cloud]}" if cloud else found.origin + found.prefix
    if customer_domain is not None:
        return f"https://{customer_domain}.secoda.co"
    if region == ON_PREMISE:
        raise SecodaConfigurationError(
            "region on_premise needs `customer_domain` (the name before .secoda.co) or `host` (any base URL)"
        )
    return f"https://{REGIONS[region or 'us']}"


def check_proxy(proxy: str, base_url: str) -> None:
    """Refuse a URL that is not a proxy's, or a proxy that would see the key.

    A proxy cannot read HTTPS. It could read plain HTTP, which is allowed on loopback only.

    :raises SecodaConfigurationError: naming `proxy`, without its value, which may contain a password
    """
    try:
        parts = urlsplit(proxy)
        # For some libraries the host ends at a backslash, for others it does not. User and password may be any text.
        plain = proxy.rpartition("@")[2].isascii() and proxy.isprintable() and not {"\\", " "} & set(proxy)
        usable = plain and parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SecodaConfigurationError("`proxy` must be a URL such as http://proxy.example.com:3128")
    if urlsplit(base_url).scheme == "http" and not is_loopback(proxy):
        raise SecodaConfigurationError(
            f"`proxy` would see the API key, which is sent unencrypted to {base_url}: clear `proxy`, or use https"
        )


def is_loopback(base_url: str) -> bool:
    """Return whether a base URL is on this machine: only there plain HTTP is allowed."""
    return _is_loopback_name(urlsplit(base_url).hostname or "")


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port, with the default port filled in, to compare two URLs' origins."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _blank(value: str | None) -> str | None:
    return None if value is None or not str(value).strip() else str(value).strip()


def _shown(text: str) -> str:
    # Text before an @ may be a password: it must not be repeated in an error.
    return "text with an @" if "@" in text else repr(text)


def _ip_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback_name(name: str) -> bool:
    address = _ip_address(name)
    return name == "localhost" or (address is not None and address.is_loopback)


def _check_domain(domain: str, region: str | None) -> None:
    if not _LABEL.fullmatch(domain):
        raise SecodaConfigurationError(
            f"`customer_domain` must be the NAME in https://NAME.secoda.co, not {_shown(domain)}"
        )
    if region not in (None, ON_PREMISE):
        raise SecodaConfigurationError(
            f"`customer_domain` {domain!r} is for region on_premise, but `region` is {region!r}: clear one"
        )
    if f"{domain}.secoda.co" in _CLOUD_HOSTS:
        raise SecodaConfigurationError(
            f"`customer_domain` {domain!r} is a cloud host, not an on-premise one: set `region` instead"
        )


def _parse_host(text: str, port: int | None, scheme: str | None) -> _Host:
    if "@" in text:
        # Text before an @ may be a password: it must not be repeated in an error.
        raise SecodaConfigurationError("`host` must not contain a user or a password (an @)")
    problem = f"`host` {text!r} is not a base URL such as https://secoda.example.com: "
    if not (text.isascii() and text.isprintable()) or any(character in text for character in "\\?#% "):
        raise SecodaConfigurationError(problem + "write the host in plain ASCII, without a query or spaces")
    if isinstance(_ip_address(text), ipaddress.IPv6Address):
        text = f"[{text}]"
    if "://" not in text:
        text = f"{scheme or ''}://{text.lstrip('/')}"
    is_guess = text.startswith("://")
    try:
        parts = urlsplit(f"https{text}" if is_guess else text)
        name, own_port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as exc:
        raise SecodaConfigurationError(problem + str(exc)) from None
    if not (_AUTHORITY.fullmatch(parts.netloc) and _valid_name(name)) or own_port == 0:
        raise SecodaConfigurationError(problem + "the host name or the port is not valid")
    scheme = "http" if is_guess and _is_loopback_name(name) else parts.scheme.lower()
    if scheme not in _SCHEMES:
        raise SecodaConfigurationError(problem + "only https is supported")
    if scheme == "http" and not _is_loopback_name(name):
        raise SecodaConfigurationError(problem + "use https; http would send the API key unencrypted")
    _check_place(name, parts.path, problem)
    path = re.sub("/{2,}", "/", parts.path)
    return _Host(scheme, name, own_port or port, _API_SUFFIX.sub("", path))


def _valid_name(name: str) -> bool:
    # `https:/x` and `https//x` are typing errors; no host has such a name.
    is_dns_name = len(name) < 254 and name not in _SCHEMES and all(map(_LABEL.fullmatch, name.split(".")))  # noqa: PLR2004
    return is_dns_name or _ip_address(name) is not None


def _check_place(name: str, path: str, problem: str) -> None:
    if _is_reserved(name):
        raise SecodaConfigurationError(problem + "no workspace can have this address")
    if {".", ".."} & set(path.split("/")):
        raise SecodaConfigurationError(problem + "write the path without dots")


def _is_reserved(name: str) -> bool:
    """Return whether an address, in any spelling, is one that no workspace can have.

    Clouds provide credentials at link-local addresses (169.254.169.254). Private addresses are allowed: self-hosted
    workspaces have them.
    """
    address = _ip_address(name)
    if address is None:
        return bool(_NUMBER.fullmatch(name.rpartition(".")[2]))
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    if address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    found = inner or address
    return found.is_link_local or found.is_multicast or found.is_unspecified or found == _BROADCAST


def _check_agreement(found: _Host, region: str | None, customer_domain: str | None) -> None:
    cloud = _CLOUD_HOSTS.get(found.name)
    if region is not None and region != (cloud or ON_PREMISE):
        belongs = f"belongs to region {cloud!r}" if cloud else "is self-hosted (region on_premise)"
        raise SecodaConfigurationError(
            f"`host` {found.name!r} {belongs}, but `region` is {region!r}: clear one of the two"
        )
    if customer_domain and found.name.endswith(".secoda.co") and found.name != f"{customer_domain}.secoda.co":
        raise SecodaConfigurationError(
            f"`host` {found.name!r} contradicts `customer_domain` {customer_domain!r}: clear one of the two"
        )
    if cloud and found.port not in (None, 443):
        raise SecodaConfigurationError(
            f"`host` {found.name!r} is Secoda's cloud, which has no port {found.port}: clear the port"
        )
