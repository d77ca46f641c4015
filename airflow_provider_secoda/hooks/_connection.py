"""Read an Airflow connection of type ``secoda``, key by key: one pure function for every client there is.

Connections of the vendor's own package ``secoda-airflow`` (``host``, ``password``, extra ``integration_id``) are
read unchanged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.client._api.base_url import check_proxy, resolve_base_url
from airflow_provider_secoda.client._api.limits import Limits
from airflow_provider_secoda.client._api.web_app import resource_url
from airflow_provider_secoda.client.errors import SecodaConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Connection

DEFAULT_TIMEOUT = 60.0
#: Said in every run, of the connection's id.
UNVERIFIED_WARNING = (
    "Connection %r does not verify the server's certificate: anybody between here and Secoda can read the API key and "
    "change what is read"
)
KNOWN_EXTRAS = (
    "region",
    "customer_domain",
    "timeout",
    "verify",
    "proxy",
    "date_operators",
    "workspace",
    "resource_url",
    *(f"max_{limit.name}" for limit in fields(Limits)),
    "integration_id",  # the vendor's own package reads it; it means nothing here
)


@dataclass(frozen=True)
class ConnectionSettings:
    """What a connection says, checked."""

    base_url: str
    api_key: str = field(repr=False)
    timeout: float = DEFAULT_TIMEOUT
    verify: bool | str = True
    proxy: str | None = field(default=None, repr=False)
    #: Names of undocumented filter operators, by their meaning: ``from`` (at or after) and ``before``.
    date_operators: Mapping[str, str] | None = None
    unknown_extras: tuple[str, ...] = ()
    limits: Limits = field(default=Limits())
    #: What people call the workspace, where one host has several: it stands in assets and in lineage.
    workspace: str | None = None
    #: Template of the address of a resource's page in the web app.
    resource_url: str | None = None


def read_connection(connection: Connection) -> ConnectionSettings:
    """Return the settings of a connection.

    :raises SecodaConfigurationError: naming the connection and the field to fill or to change
    """
    try:
        return _read(connection)
    except SecodaConfigurationError as exc:
        problem = f"connection {connection.conn_id!r}: {exc}"
    # Raised from here, and without the connection: some error reporters show local variables, and it shows its key.
    del connection
    raise SecodaConfigurationError(problem)


def _read(connection: Connection) -> ConnectionSettings:
    extra = _read_extra(connection.extra)
    api_key = (connection.password or "").strip()
    if not api_key:
        raise SecodaConfigurationError("there is no API key: fill in `password`")
    base_url = resolve_base_url(
        region=_text(extra, "region"),
        customer_domain=_text(extra, "customer_domain"),
        host=connection.host,
        port=connection.port,
        scheme=connection.schema if connection.schema in ("http", "https") else None,
    )
    proxy = _text(extra, "proxy")
    if proxy is not None:
        check_proxy(proxy, base_url)
    timeout = _timeout(extra.get("timeout"))
    page = _text(extra, "resource_url")
    if page is not None:
        resource_url(page, base_url, "id")
    return ConnectionSettings(
        base_url=base_url,
        api_key=api_key,
        timeout=timeout,
        verify=_verify(extra.get("verify")),
        proxy=proxy,
        date_operators=_date_operators(extra.get("date_operators")),
        unknown_extras=tuple(sorted(key for key in extra if key not in KNOWN_EXTRAS)),
        limits=_limits(extra, timeout),
        workspace=_text(extra, "workspace"),
        resource_url=page,
    )


def _read_extra(text: Any) -> dict[str, Any]:
    if not text:
        return {}
    try:
        extra = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise SecodaConfigurationError("`extra` is no JSON") from None
    if not isinstance(extra, dict):
        raise SecodaConfigurationError("`extra` must be a JSON object")
    return extra


def _text(extra: Mapping[str, Any], name: str) -> str | None:
    value = extra.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise SecodaConfigurationError(f"extra `{name}` must be text")
    return value.strip() or None


def _timeout(value: Any) -> float:
    if value is None or value == "":
        return DEFAULT_TIMEOUT
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = 0.0
    if isinstance(value, bool) or not 0 < seconds <= 86_400:  # noqa: PLR2004 - a day, and no NaN
        raise SecodaConfigurationError(f"extra `timeout` must be a number of seconds above 0, not {value!r:.40}")
    return seconds


def _limits(extra: Mapping[str, Any], timeout: float) -> Limits:
    # Who is patient with each piece of an answer is so with the whole of it.
    given: dict[str, Any] = {"answer_seconds": max(timeout, Limits().answer_seconds)}
    for limit in fields(Limits):
        value = extra.get(f"max_{limit.name}")
        if isinstance(value, str):
            value = _number(value)
        if value is not None and value != "":
            given[limit.name] = value
    try:
        return Limits(**given)
    except SecodaConfigurationError as exc:
        raise SecodaConfigurationError(f"extra {exc}") from None


def _number(text: str) -> int | float | str:
    """Return the number that a form or a URI wrote as text; what is none stays as it is."""
    text = text.strip()
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text


def _verify(value: Any) -> bool | str:
    if value is None or isinstance(value, bool):
        return value is not False
    if not isinstance(value, str):
        raise SecodaConfigurationError("extra `verify` must be true, false or the path of a CA bundle")
    text = value.strip()
    if text.lower() in ("false", "no", "off", "0"):
        return False
    return True if text.lower() in ("", "true", "yes", "on", "1") else text


def _date_operators(value: Any) -> Mapping[str, str] | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if (
        not isinstance(value, dict)
        or set(value) != {"from", "before"}
        or not all(isinstance(name, str) and name for name in value.values())
    ):
        raise SecodaConfigurationError(
            'extra `date_operators` must name two operators, such as {"from": "gte", "before": "lt"}'
        )
    return value
