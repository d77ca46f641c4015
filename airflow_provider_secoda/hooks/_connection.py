"""Read an Airflow connection of type ``secoda``.

Connections of the vendor's own package ``secoda-airflow`` (``host``, ``password``, extra ``integration_id``) work
unchanged.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider_secoda.client._api.base_url import check_proxy, resolve_base_url
from airflow_provider_secoda.client._api.endpoint import USER_AGENT, Endpoint, Key, Limits, require_key
from airflow_provider_secoda.client._api.web_app import resource_url
from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.get_provider_info import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow.providers.common.compat.sdk import Connection

DEFAULT_TIMEOUT = 60.0
#: What Airflow 2 shows in a form in place of a secret (``airflow.www.views.SENSITIVE_FIELD_PLACEHOLDER``).
_SAVED_SECRET = "RATHER_LONG_SENSITIVE_FIELD_PLACEHOLDER"  # noqa: S105 - not a password
#: Logged in every run, with the connection's id.
UNVERIFIED_WARNING = (
    "Connection %r does not verify the server's certificate: anyone on the network path can read the API key and "
    "change the data"
)
KNOWN_EXTRAS = (
    "region",
    "customer_domain",
    "timeout",
    "verify",
    "proxy",
    "workspace",
    "resource_url",
    "signing_conn_id",
    *(f"max_{limit.name}" for limit in fields(Limits)),
    "integration_id",  # only the vendor's own package uses it
)
#: From 0 to 1: how alike the names of two extras are if one may be a misspelling of the other.
_ALIKE = 0.75


@dataclass(frozen=True)
class ConnectionSettings:
    """The settings of a connection, checked.

    :param endpoint: the API, the key for it, and how requests are sent to it
    :param unknown_extras: names of extras that this provider does not use
    :param workspace: name of the workspace, where one host has several; it is part of assets and of lineage
    :param resource_url: template of the address of a resource's page in the web app
    :param signing_conn_id: of the connection whose private key signs manifests, unless a task names another
    """

    endpoint: Endpoint
    unknown_extras: tuple[str, ...] = ()
    workspace: str | None = None
    resource_url: str | None = None
    signing_conn_id: str | None = None

    @property
    def base_url(self) -> str:
        """The API's base URL, without a trailing slash."""
        return self.endpoint.base_url

    def check_extras(self) -> None:
        """Refuse an unknown extra whose name is like that of a known one.

        :raises SecodaConfigurationError: naming both
        """
        for name in self.unknown_extras:
            if known := _known_extra_like(name):
                raise SecodaConfigurationError(f"extra `{name}` is unknown: rename it to `{known}`, or remove it")


def describe_unknown(names: Iterable[str]) -> str:
    """Return names of unknown extras for the log, each with the known one that may be meant."""
    known = {name: _known_extra_like(name) for name in names}
    return ", ".join(f"{name} (is {like} meant?)" if like else name for name, like in known.items())


def _known_extra_like(name: str) -> str | None:
    """Return the known extra whose name is most like an unknown one (`regoin`, `verify_ssl`), or None."""
    plain = {re.sub("[^a-z]", "", known): known for known in KNOWN_EXTRAS}
    # The form of Airflow before 2.3 stored extras with such a prefix.
    found = get_close_matches(re.sub("[^a-z]", "", name.lower().removeprefix("extra__secoda__")), plain, 1, _ALIKE)
    return plain[found[0]] if found else None


def read_connection(connection: Connection) -> ConnectionSettings:
    """Return the settings of a connection.

    :raises SecodaConfigurationError: naming the connection and the field to set or to change
    """
    try:
        return _read(connection)
    except SecodaConfigurationError as exc:
        problem = f"connection {connection.conn_id!r}: {exc}"
    # Raised here, and without the connection: some error reporters show local variables, and its repr has the key.
    del connection
    raise SecodaConfigurationError(problem)


def _read(connection: Connection) -> ConnectionSettings:
    extra = _read_extra(connection.extra)
    key = require_key(Key.of(connection.password))
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
    verify, limits = _verify(extra.get("verify")), _limits(extra, timeout)
    return ConnectionSettings(
        Endpoint(base_url, key, timeout, verify, proxy, f"{USER_AGENT}/{__version__}", limits),
        unknown_extras=tuple(sorted(name for name in extra if name not in KNOWN_EXTRAS)),
        workspace=_text(extra, "workspace"),
        resource_url=page,
        signing_conn_id=_text(extra, "signing_conn_id"),
    )


def _read_extra(text: Any) -> dict[str, Any]:
    if not text:
        return {}
    try:
        extra = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise SecodaConfigurationError("`extra` is not valid JSON") from None
    if not isinstance(extra, dict):
        raise SecodaConfigurationError("`extra` must be a JSON object")
    return extra


def _text(extra: Mapping[str, Any], name: str) -> str | None:
    value = extra.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise SecodaConfigurationError(f"extra `{name}` must be a string")
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
    # A longer timeout for each piece of a response is a longer one for the complete response too.
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
    """Return the number that a form or a URI wrote as text; other text is returned as it is."""
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


def proxy_secrets(proxy: str | None) -> set[str]:
    """Return what must be masked of a proxy's URL: the password or, without one, the user, as written and decoded."""
    parts = urlsplit(proxy or "")
    secret = parts.password or parts.username or ""
    return {secret, unquote(secret)} - {""}


def form_widgets(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return the widgets of the form's own fields, which the provider info describes."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # noqa: PLC0415
    from flask_babel import lazy_gettext  # noqa: PLC0415
    from wtforms import PasswordField, StringField  # noqa: PLC0415
    from wtforms.validators import Optional, any_of  # noqa: PLC0415

    widgets = {}
    for name, spec in form.items():
        choices, is_secret = spec["schema"].get("enum"), spec["schema"].get("format") == "password"
        widgets[name] = (PasswordField if is_secret else StringField)(
            lazy_gettext(spec["label"]),
            widget=_render_secret if is_secret else BS3TextFieldWidget(),
            description=spec["description"],
            validators=[Optional(), *([any_of(choices)] if choices else [])],
        )
    return widgets


def _render_secret(field: Any, **kwargs: Any) -> Any:
    """Render a password field on Airflow 2 that shows a saved value as Airflow's placeholder.

    When the form is saved, Airflow 2 keeps an extra whose field contains this placeholder, and deletes one whose field
    is empty, as a password field otherwise is.
    """
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget  # noqa: PLC0415

    widget = BS3PasswordFieldWidget()
    widget.hide_value = False
    return widget(field, value=_SAVED_SECRET if field.data else "", **kwargs)
