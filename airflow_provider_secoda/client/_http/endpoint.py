"""Where requests are sent to, and how: one value for clients, transports and hooks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.limits import Limits

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.key import Key

USER_AGENT = "airflow-provider-secoda"


@dataclass(frozen=True)
class Endpoint:
    """An API, the key for it, and the settings of connections to it.

    :param base_url: as :func:`~..._api.base_url.resolve_base_url` returns it
    :param key: sent as ``Authorization: Bearer …`` to ``base_url`` and nowhere else
    :param timeout: seconds to wait for a connection and for each piece of a response
    :param verify: whether to verify the server's certificate, or the path of a CA bundle to verify it with
    :param proxy: URL of a proxy for all requests, which may contain a password; None uses the environment's proxies
    :param user_agent: sent as ``User-Agent``
    :param limits: the largest and the slowest response that is accepted
    """

    base_url: str
    key: Key = field(repr=False)
    timeout: float = 60.0
    verify: bool | str = True
    proxy: str | None = field(default=None, repr=False)
    user_agent: str = USER_AGENT
    limits: Limits = field(default=Limits())
