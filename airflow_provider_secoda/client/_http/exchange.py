"""Send calls: what runs at the same time, what is sent again, and when.

:func:`exchange` is between a flow, which wants calls made, and a driver, which sends attempts. It has no clock, no
socket and no credentials: a pause is a value, and a response carries the time of its arrival. So
``exchange.send((attempt, Response(429, {"retry-after": "7"})))`` returns "the same request, in 7 seconds".
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from airflow_provider_secoda.client._api.flow import Call, Emit, Flow, Request, Response
from airflow_provider_secoda.client._http.responses import interpret
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client._http.retry_log import RetryLog
from airflow_provider_secoda.client.errors import SecodaError, SecodaRateLimitError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.endpoint import Endpoint

R = TypeVar("R")


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One attempt to send a call, by a driver.

    :param pause: seconds to wait before it is sent
    :param since: time of the response that the pause counts from, in epoch seconds; drivers do not need it
    :param failures: how often the call has failed, and ``redirects`` how many redirects it has followed
    """

    call: Call
    request: Request
    pause: float = 0.0
    since: float = 0.0
    failures: int = 0
    redirects: int = 0


#: How an attempt ended.
Outcome: TypeAlias = "Response | SecodaError"

#: What a driver runs: it yields attempts to start, and is sent one finished attempt with its outcome.
Exchange: TypeAlias = Generator["Sequence[Attempt] | Emit", "tuple[Attempt, Outcome] | None", R]


@dataclass
class RequestStats:
    """Counts of what was sent and received so far.

    :ivar requests: requests that were sent, retries included
    :ivar retries: requests that were sent again
    :ivar throttled: 429 responses, those that were not retried included
    :ivar pages: responses with the content that was requested
    """

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    pages: int = 0


@dataclass
class _Scheduler:
    """Which attempts are waiting, how many are in flight, and how many may be.

    :ivar limit: how many attempts may be in flight now
    :ivar probe: after a 429, the one call that is sent until it succeeds; all others wait
    :ivar now: time of the latest response in epoch seconds, in place of a clock
    """

    concurrency: int
    waiting: deque[Attempt] = field(default_factory=deque)
    in_flight: int = 0
    limit: int = 0
    probe: Call | None = None
    successes: int = 0
    now: float = 0.0

    def __post_init__(self) -> None:
        self.limit = self.concurrency

    def admit(self) -> list[Attempt]:
        """Return the attempts to send now."""
        admitted: list[Attempt] = []
        while self.in_flight < self.limit:
            chosen = next((a for a in self.waiting if self.probe is None or a.call is self.probe), None)
            if chosen is None:
                break
            self.waiting.remove(chosen)
            # A pause counts from the response that caused it: the pauses of one burst run at the same time.
            admitted.append(replace(chosen, pause=max(0.0, chosen.pause - (self.now - chosen.since))))
            self.in_flight += 1
        return admitted

    def finish(self, outcome: Outcome) -> None:
        """Record that an attempt ended."""
        self.in_flight -= 1
        if isinstance(outcome, Response):
            self.now = max(self.now, outcome.received_at)

    def repeat(self, attempt: Attempt, *, throttled: bool = False) -> None:
        """Send an attempt before those that are waiting.

        After a 429, send it alone until it succeeds; then allow half as many requests in flight.
        """
        if throttled and self.probe is None:
            self.probe = attempt.call
            self.limit = max(1, self.limit // 2)
        if throttled:
            self.successes = 0
        self.waiting.appendleft(replace(attempt, since=self.now))

    def settle(self, call: Call) -> None:
        """Record that a call ended; after enough of them allow one more at once."""
        if self.probe is call:
            self.probe = None
        self.successes += 1
        if self.limit < self.concurrency and self.successes >= 4 * self.limit:
            self.limit, self.successes = self.limit + 1, 0


def exchange(
    flow: Flow[R],
    *,
    base_url: str,
    policy: RetryPolicy | None = None,
    concurrency: int = 1,
    stats: RequestStats | None = None,
    rng: random.Random | None = None,
    retry_log: RetryLog | None = None,
) -> Exchange[R]:
    """Make a flow's calls: send them, retry what a retry can fix, and pass on values and final errors.

    All calls obey a 429: after it, send the refused call alone until it succeeds; then allow half as many requests in
    flight.

    :param retry_log: is passed each retry
    """
    policy, stats = policy or RetryPolicy(), stats or RequestStats()
    rng = rng or random.Random()  # noqa: S311 - jitter, no secret
    scheduler = _Scheduler(max(1, concurrency))
    answer: tuple[Call, Any] | None = None
    try:
        while True:
            step = flow.send(answer)
            answer = None
            if isinstance(step, Emit):
                yield step
                continue
            scheduler.waiting.extend(Attempt(call, call.request) for call in step)
            while answer is None:
                admitted = scheduler.admit()
                stats.requests += len(admitted)
                finished = yield admitted
                if finished is None:  # pragma: no cover - a driver that breaks the protocol
                    raise TypeError("a driver must answer attempts with an outcome")
                attempt, outcome = finished
                scheduler.finish(outcome)
                result = interpret(attempt.call, attempt.request, outcome, base_url, attempt.redirects)
                if isinstance(result, Request):
                    scheduler.repeat(replace(attempt, request=result, pause=0.0, redirects=attempt.redirects + 1))
                    continue
                delay, failures = None, attempt.failures + 1
                if isinstance(result, SecodaError):
                    delay = policy.delay(result, failures, rng, attempt.call.attempts)
                throttled = isinstance(result, SecodaRateLimitError)
                stats.throttled += throttled
                if delay is None:
                    stats.pages += not isinstance(result, SecodaError)
                    scheduler.settle(attempt.call)
                    answer = (attempt.call, result)
                else:
                    stats.retries += 1
                    attempt = replace(attempt, pause=delay, failures=failures)
                    if retry_log is not None:
                        retry_log.record(attempt, result, policy.attempts_after(result, attempt.call.attempts))
                    scheduler.repeat(attempt, throttled=throttled)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


class ClientBase:
    """An endpoint, a retry policy, and the counts of what was sent.

    :ivar stats: requests, retries, 429 responses and pages so far
    """

    def _set_up(self, endpoint: Endpoint, policy: RetryPolicy | None) -> None:
        self.stats = RequestStats()
        self._endpoint = endpoint
        self._policy = policy or RetryPolicy()
        self._retry_log = RetryLog(self._message)
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
            retry_log=self._retry_log,
        )

    def _complete(self, error: SecodaError) -> None:
        """Complete the message of an error that is raised."""
        error.args = (self._message(error),)

    def _message(self, error: SecodaError) -> str:
        """Return an error's message, with the server's address, and without the key, in case a server repeated it."""
        text = self._endpoint.key.scrub_text(str(error))
        return text if self.base_url in text else f"{self.base_url}: {text}"


def appending(flow: Flow[R], results: list[R]) -> Flow[None]:
    """Run a flow; append what it returns to a list."""
    results.append((yield from flow))
