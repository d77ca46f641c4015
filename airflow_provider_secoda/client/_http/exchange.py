"""Send, retry, back off, give up.

:func:`exchange` stands between a rule (which wants calls made) and a driver (which sends attempts). It holds no
clock, no socket and no credentials: pauses are data, the time of an answer comes with the answer. So
``flow.send((attempt, Response(429, {"retry-after": "7"})))`` answers "the same request, in 7 seconds".
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from airflow_provider_secoda.client._api.flow import (
    Attempt,
    Call,
    Emit,
    Exchange,
    Flow,
    Outcome,
    Request,
    Response,
)
from airflow_provider_secoda.client._http.responses import interpret
from airflow_provider_secoda.client.errors import SecodaError, SecodaRateLimitError, SecodaRetriableError

R = TypeVar("R")


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently one request is repeated."""

    attempts: int = 8
    #: Seconds before the first repeat; doubled each time up to ``cap``, of which a random half is taken off.
    base: float = 0.5
    cap: float = 30.0
    #: The longest ``Retry-After``, in seconds, that is waited for; beyond it the error is raised at once.
    max_retry_after: float = 900.0

    def backoff(self, failures: int, rng: random.Random) -> float:
        """Return the pause in seconds after so many failures of one request."""
        return min(self.cap, self.base * 2.0 ** (failures - 1)) * rng.uniform(0.5, 1.0)


@dataclass
class RequestStats:
    """What the exchange cost so far."""

    requests: int = 0
    retries: int = 0
    #: Answers 429, the one that was too many included.
    throttled: int = 0
    #: Answers that were what was asked for.
    pages: int = 0


@dataclass
class _Lane:
    """Which calls wait, which are under way, and how many may be."""

    concurrency: int
    waiting: deque[Attempt] = field(default_factory=deque)
    under_way: int = 0
    limit: int = 0
    #: After a 429 one call alone finds out whether the way is free again.
    scout: Call | None = None
    successes: int = 0
    #: The time of the latest answer, in epoch seconds: what there is instead of a clock.
    now: float = 0.0

    def __post_init__(self) -> None:
        self.limit = self.concurrency

    def admit(self) -> list[Attempt]:
        admitted: list[Attempt] = []
        while self.under_way < self.limit:
            chosen = next((a for a in self.waiting if self.scout is None or a.call is self.scout), None)
            if chosen is None:
                break
            self.waiting.remove(chosen)
            # Pauses count from the answer that asked for them: those of one burst pass together.
            admitted.append(replace(chosen, pause=max(0.0, chosen.pause - (self.now - chosen.since))))
            self.under_way += 1
        return admitted

    def write_atomically(self, outcome: Outcome) -> None:
        self.under_way -= 1
        if isinstance(outcome, Response):
            self.now = max(self.now, outcome.received_at)

    def repeat(self, attempt: Attempt) -> None:
        self.waiting.appendleft(replace(attempt, since=self.now))

    def slow_down(self, attempt: Attempt) -> None:
        if self.scout is None:
            self.scout = attempt.call
            self.limit = max(1, self.limit // 2)
        self.successes = 0
        self.repeat(attempt)

    def settle(self, call: Call) -> None:
        if self.scout is call:
            self.scout = None
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
) -> Exchange[R]:
    """Serve a rule's calls: admit so many at once, repeat what can be repeated, pass on values and final errors.

    A 429 is obeyed by all: until the refused call got through, nothing else is sent, and then half as many at once.
    """
    policy, stats = policy or RetryPolicy(), stats or RequestStats()
    rng = rng or random.Random()  # noqa: S311 - jitter, no secret
    lane, failures, hops = _Lane(max(1, concurrency)), dict[Call, int](), dict[Call, int]()
    answer: tuple[Call, Any] | None = None
    try:
        while True:
            step = flow.send(answer)
            answer = None
            if isinstance(step, Emit):
                yield step
                continue
            lane.waiting.extend(Attempt(call, call.request) for call in step)
            while answer is None:
                admitted = lane.admit()
                stats.requests += len(admitted)
                finished = yield admitted
                if finished is None:  # pragma: no cover - a driver that breaks the protocol
                    raise TypeError("a driver must answer attempts with an outcome")
                attempt, outcome = finished
                lane.write_atomically(outcome)
                verdict = interpret(attempt, outcome, base_url, hops)
                if isinstance(verdict, Request):
                    lane.repeat(Attempt(attempt.call, verdict))
                    continue
                again = _again(attempt, verdict, failures, policy, rng)
                throttled = isinstance(verdict, SecodaRateLimitError)
                stats.throttled += throttled
                if again is None:
                    stats.pages += not isinstance(verdict, SecodaError)
                    lane.settle(attempt.call)
                    answer = (attempt.call, verdict)
                    continue
                stats.retries += 1
                if throttled:
                    lane.slow_down(again)
                else:
                    lane.repeat(again)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _again(
    attempt: Attempt, verdict: Any, failures: dict[Call, int], policy: RetryPolicy, rng: random.Random
) -> Attempt | None:
    """Return the attempt to make next, or None when the verdict stands."""
    if not isinstance(verdict, SecodaRetriableError):
        return None
    failed = failures[attempt.call] = failures.get(attempt.call, 0) + 1
    wanted = verdict.retry_after
    attempts = policy.attempts if attempt.call.attempts is None else attempt.call.attempts
    if failed >= attempts or (wanted is not None and wanted > policy.max_retry_after):
        return None
    pause = policy.backoff(failed, rng) if wanted is None else wanted
    return Attempt(attempt.call, attempt.request, pause)
