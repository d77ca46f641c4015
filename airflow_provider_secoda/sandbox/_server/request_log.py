"""Records of the requests, and the numbers that the control API shows."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class RequestRecord:
    """One request, in the order of arrival.

    :param at: ``time.monotonic()`` of its arrival, seconds.
    :param params: the decoded query.
    :param headers: names in lower case; ``authorization`` keeps only its scheme.
    :param authorized: whether it had a valid API key.
    :param status: status of the response; ``None`` before it, or when the connection was reset.
    """

    at: float
    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    authorized: bool
    status: int | None = None


@dataclass
class RequestLog:
    """All requests since the start or the last reset, without those of the control API."""

    requests: list[RequestRecord] = field(default_factory=list)
    in_flight: int = 0
    peak_in_flight: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    @contextmanager
    def record(
        self, method: str, path: str, params: dict[str, str], headers: dict[str, str], authorized: bool
    ) -> Iterator[RequestRecord]:
        """Record a request, which is in flight until the block ends."""
        if "authorization" in headers:
            headers["authorization"] = headers["authorization"].partition(" ")[0] + " ***"
        request = RequestRecord(time.monotonic(), method, path, params, headers, authorized)
        with self._lock:
            self.requests.append(request)
            self.in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            yield request
        finally:
            with self._lock:
                self.in_flight -= 1

    def reset(self) -> None:
        """Clear the requests."""
        with self._lock:
            self.requests.clear()
            self.peak_in_flight = self.in_flight

    def stats(self) -> dict[str, Any]:
        """Return the numbers: ``requests``, ``by_path`` (path to status to number), ``peak_in_flight``."""
        with self._lock:
            requests = list(self.requests)
            peak = self.peak_in_flight
        paths: dict[str, Counter[str]] = {}
        for request in requests:
            paths.setdefault(request.path, Counter())[str(request.status)] += 1
        by_path = {path: dict(sorted(counts.items())) for path, counts in sorted(paths.items())}
        return {"requests": len(requests), "by_path": by_path, "peak_in_flight": peak}
