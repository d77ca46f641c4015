"""What came in: one record a request, and the counts that the control API shows."""

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

    :param at: ``time.monotonic()`` at its arrival, seconds.
    :param params: the decoded query.
    :param headers: with lower-case names; of ``authorization`` only the scheme is kept.
    :param authorized: whether it carried a key that this sandbox knows.
    :param status: of the answer; ``None`` while there is none, or when the connection was cut before it.
    """

    at: float
    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    authorized: bool
    status: int | None = None


@dataclass
class Traffic:
    """All requests since the start or the last reset; those of the control API are not among them."""

    requests: list[RequestRecord] = field(default_factory=list)
    in_flight: int = 0
    peak_in_flight: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    @contextmanager
    def record(
        self, method: str, path: str, params: dict[str, str], headers: dict[str, str], authorized: bool
    ) -> Iterator[RequestRecord]:
        """Keep a record of a request, which counts as in flight until the block ends."""
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
        """Forget all requests."""
        with self._lock:
            self.requests.clear()
            self.peak_in_flight = self.in_flight

    def stats(self) -> dict[str, Any]:
        """Return the counts: ``requests``, ``by_path`` (path to status to number), ``peak_in_flight``."""
        with self._lock:
            requests = list(self.requests)
            peak = self.peak_in_flight
        paths: dict[str, Counter[str]] = {}
        for request in requests:
            paths.setdefault(request.path, Counter())[str(request.status)] += 1
        by_path = {path: dict(sorted(counts.items())) for path, counts in sorted(paths.items())}
        return {"requests": len(requests), "by_path": by_path, "peak_in_flight": peak}
