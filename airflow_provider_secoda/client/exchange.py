"""
Send, retry, back off, give up: the one place that knows what a status means.

:func:`exchange` stands between a rule (which wants calls made) and a driver (which sends attempts). It holds no
clock, no socket and no credentials: pauses are data, the time of an answer comes with the answer. So
``flow.send((attempt, Response(429, {"retry-after": "7"})))`` answers "the same request, in 7 seconds".
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urljoin, urlsplit

import msgspec

from airflow_provider_secoda.client.errors import (
    SecodaAuthenticationError,
    SecodaError,
    SecodaFatalError,
    SecodaNotFoundError,
    SecodaPermissionError,
    SecodaRateLimitError,
    SecodaRedirectError,
    SecodaRequestError,
    SecodaResponseError,
    SecodaRetriableError,
    SecodaServerError,
)
from airflow_provider_secoda.client.messages import Attempt, Call, Emit, Flow, Outcome, Request, Response, Wire
from airflow_provider_secoda.client.regions import origin_of

R = TypeVar("R")

_FATAL: dict[int, type[SecodaFatalError]] = {
    401: SecodaAuthenticationError,
    403: SecodaPermissionError,
    404: SecodaNotFoundError,
}
_WHAT_TO_DO = {
    401: "the API key is wrong or was revoked",
    403: "the API key is valid, but the person who made it may not do this; audit logs need a workspace admin",
    404: "there is no such address or resource; check the connection's region or host, and the id",
    429: "too many requests",
}
_MAX_REDIRECTS = 3


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
class Tally:
    """What the exchange cost so far."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0


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

    def __post_init__(self) -> None:
        self.limit = self.concurrency

    def admit(self) -> list[Attempt]:
        admitted: list[Attempt] = []
        while self.under_way < self.limit:
            chosen = next((a for a in self.waiting if self.scout is None or a.call is self.scout), None)
            if chosen is None:
                break
            self.waiting.remove(chosen)
            admitted.append(chosen)
            self.under_way += 1
        return admitted

    def slow_down(self, attempt: Attempt) -> None:
        if self.scout is None:
            self.scout = attempt.call
            self.limit = max(1, self.limit // 2)
        self.successes = 0
        self.waiting.appendleft(attempt)

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
    tally: Tally | None = None,
    rng: random.Random | None = None,
) -> Wire[R]:
    """
    Serve a rule's calls: admit so many at once, repeat what can be repeated, pass on values and final errors.

    A 429 is obeyed by all: until the refused call got through, nothing else is sent, and then half as many at once.
    """
    policy, tally = policy or RetryPolicy(), tally or Tally()
    rng = rng or random.Random()  # noqa: S311 - jitter, no secret
    lane, failures, hops = _Lane(max(1, concurrency)), dict[Call, int](), dict[Call, int]()
    answer: tuple[Call, Any] | None = None
    try:
        while True:
            step = flow.send(answer)  # type: ignore[arg-type]
            answer = None
            if isinstance(step, Emit):
                yield step
                continue
            lane.waiting.extend(Attempt(call, call.request) for call in step)
            while answer is None:
                admitted = lane.admit()
                tally.requests += len(admitted)
                finished = yield admitted
                if finished is None:  # pragma: no cover - a driver that breaks the protocol
                    raise TypeError("a driver must answer attempts with an outcome")
                attempt, outcome = finished
                lane.under_way -= 1
                verdict = _judge(attempt, outcome, base_url, hops)
                if isinstance(verdict, Request):
                    lane.waiting.appendleft(Attempt(attempt.call, verdict))
                    continue
                again = _again(attempt, verdict, failures, policy, rng)
                if again is None:
                    lane.settle(attempt.call)
                    answer = (attempt.call, verdict)
                elif isinstance(verdict, SecodaRateLimitError):
                    tally.retries, tally.throttled = tally.retries + 1, tally.throttled + 1
                    lane.slow_down(again)
                else:
                    tally.retries += 1
                    lane.waiting.appendleft(again)
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
    if failed >= policy.attempts or (wanted is not None and wanted > policy.max_retry_after):
        return None
    pause = policy.backoff(failed, rng) if wanted is None else wanted
    return Attempt(attempt.call, attempt.request, pause)


def _judge(attempt: Attempt, outcome: Outcome, base_url: str, hops: dict[Call, int]) -> Any:
    """Turn an outcome into a value, an error, or the request that a redirect asks for."""
    if isinstance(outcome, SecodaError):
        return outcome
    status = outcome.status
    if status == 200:  # noqa: PLR2004 - the one status that the reference documents for success
        try:
            return attempt.call.read(outcome)
        except SecodaError as error:
            return error
    what = _describe(attempt.request, outcome)
    if status in (301, 302, 303, 307, 308):
        hops[attempt.call] = hops.get(attempt.call, 0) + 1
        return _redirect(attempt.request, outcome, base_url, hops[attempt.call])
    if status == 429:  # noqa: PLR2004
        return SecodaRateLimitError(what, status=status, retry_after=_retry_after(outcome))
    if status >= 500 or status == 408:  # noqa: PLR2004
        return SecodaServerError(what, status=status, retry_after=_retry_after(outcome))
    if 400 <= status < 500:  # noqa: PLR2004
        return _FATAL.get(status, SecodaRequestError)(what, status=status)
    return SecodaResponseError(what, status=status)


def _describe(request: Request, response: Response) -> str:
    text = f"Secoda answered {response.status} to {request.path}"
    if response.status in _WHAT_TO_DO:
        text += f": {_WHAT_TO_DO[response.status]}"
    try:
        detail = msgspec.json.decode(response.body)["detail"]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return text
    return f"{text} ({' '.join(str(detail).split())[:200]})"


def _retry_after(response: Response) -> float | None:
    """
    Return the seconds that ``Retry-After`` asks for, given as a number or as a date (RFC 9110, section 10.2.3).

    A date is read against the server's own ``Date``, so that a wrong clock on this side does no harm.
    """
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        until = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    try:
        now = parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        now = response.received_at
    return max(0.0, until - now)


def _redirect(request: Request, response: Response, base_url: str, hop: int) -> Request | SecodaError:
    """Follow a redirect within the origin only: nothing that a server sends decides where the key goes."""
    prefix, target = urlsplit(base_url).path, ""
    try:
        target = urljoin(base_url + request.path, response.headers["location"])
        same = origin_of(target) == origin_of(base_url) and urlsplit(target).path.startswith(prefix + "/")
    except (KeyError, ValueError):
        same = False
    if not same:
        where = target.split("?")[0].split("#")[0].rpartition("@")[2][:100]
        return SecodaRedirectError(
            f"Secoda redirected {request.path} to another origin ({where!r}), which would take the API key there; "
            "it was not followed. Set `host` to the address that answers without a redirect",
            status=response.status,
        )
    if hop > _MAX_REDIRECTS:
        return SecodaRedirectError(f"Secoda redirects {request.path} in a circle", status=response.status)
    parts = urlsplit(target)
    return Request(parts.path.removeprefix(prefix), tuple(parse_qsl(parts.query, keep_blank_values=True)))
