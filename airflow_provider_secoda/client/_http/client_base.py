"""What the synchronous and the asynchronous client have in common."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_secoda.client._http.exchange import RequestStats, exchange
from airflow_provider_secoda.client._http.retry import RetryPolicy

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.endpoint import Endpoint
    from airflow_provider_secoda.client._api.flow import Flow
    from airflow_provider_secoda.client._http.exchange import Exchange
    from airflow_provider_secoda.client.errors import SecodaError

R = TypeVar("R")


class ClientBase:
    """An endpoint, a retry policy, and the counts of what was sent.

    :ivar stats: requests, retries, 429 responses and pages so far
    """

    def _set_up(self, endpoint: Endpoint, policy: RetryPolicy | None) -> None:
        self.stats = RequestStats()
        self._endpoint = endpoint
        self._policy = policy or RetryPolicy()
        self._rng = random.Random()  # noqa: S311 - jitter, no secret

    @property
    def base_url(self) -> str:
        """The API's base URL, without a trailing slash."""
        return self._endpoint.base_url

    def __repr__(self) -> str:
        endpoint = getattr(self, "_endpoint", None)  # None while the client is being created
        return f"{type(self).__name__}({endpoint and endpoint.base_url!r})"

    def _exchange(self, flow: Flow[R], concurrency: int, policy: RetryPolicy | None) -> Exchange[R]:
        return exchange(
            flow,
            base_url=self.base_url,
            policy=policy or self._policy,
            concurrency=concurrency,
            stats=self.stats,
            rng=self._rng,
        )

    def _scrub(self, error: SecodaError) -> None:
        """Remove the key from an error's text, in case a server repeated it."""
        error.args = tuple(self._endpoint.key.scrub_text(str(arg)) for arg in error.args)


def appending(flow: Flow[R], results: list[R]) -> Flow[None]:
    """Run a flow; append what it returns to a list."""
    results.append((yield from flow))
