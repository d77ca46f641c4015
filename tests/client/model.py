"""A listing without sockets and clocks, and a driver that answers in any order.

The model is written against the API reference alone. Everything that can move, moves between two answers: that is the
finest grain at which a client can see it.
"""

from __future__ import annotations

import bisect
import functools
import json
import random
from dataclasses import dataclass

from airflow_provider_secoda.client._api.flow import Emit, Request, Response
from airflow_provider_secoda.client._api.timestamps import format_instant, parse_instant
from airflow_provider_secoda.client._http.exchange import RequestStats, exchange
from airflow_provider_secoda.client._http.retry import RetryPolicy

instant = functools.cache(parse_instant)
BASE_URL = "https://api.secoda.co"


def log(number: int, at: int, *, logged: int | None = None) -> dict:
    """Return a log as the API sends it; ``at`` in microseconds."""
    return {
        "id": f"log-{number:06d}",
        "activity_type": "UPDATE",
        "performer_type": "USER" if number % 3 else "API",
        "related_resource_ids": [],
        "event_blocks": [],
        "logged_at": format_instant(at if logged is None else logged),
        "created_at": format_instant(at),
        "updated_at": format_instant(at),
        "is_legacy": False,
    }


@dataclass
class Model:
    """A workspace's audit logs behind a page-numbered listing, with everything that may go wrong."""

    logs: list[dict]
    page_size: int = 5
    seed: int = 0
    sort: str = "honoured"  # honoured, ignored, refused, reversed, tie_breaker_refused, tie_breaker_ignored
    ties: str = "stable"  # stable, shuffled
    arrive: float = 0.0  # chance of an arrival at the head before an answer
    arrive_late: float = 0.0  # chance of an arrival in the middle before an answer
    late_range: tuple[int, int] = (0, 0)
    expire: float = 0.0  # chance that the oldest log expires before an answer
    stale: float = 0.0  # chance that an answer is a moment old
    fail: float = 0.0  # chance of a 429, a 5xx or a body that is not JSON
    cap: int | None = None
    cap_counts: bool = True  # whether the cap shows in count and total_pages
    beyond: str = "empty"  # what a page beyond the cap answers: empty or 404
    hidden: frozenset[str] = frozenset()
    requests: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.logs = sorted(self.logs, key=lambda item: instant(item["logged_at"]))
        self.past = list(self.logs)
        self.ever = {item["id"]: item for item in self.logs}
        self.expired: set[str] = set()
        self.late: set[str] = set()
        self.serial = 900_000

    def answer(self, request: Request) -> Response:
        """Answer one request, after the world has moved on."""
        self.requests += 1
        self._move()
        if self.rng.random() < self.fail:
            return self.rng.choice(
                [
                    Response(429, {"retry-after": "3"}),
                    Response(503),
                    Response(200, {"content-type": "text/html"}, b"<html>log in</html>"),
                    Response(200, {"content-type": "application/json"}, b'{"results": [{"id": "log'),
                ]
            )
        params = dict(request.params)
        rows = self.past if self.rng.random() < self.stale else self.logs
        if "filter" in params:
            rows = [row for row in rows if self._matches(row, json.loads(params["filter"]))]
        sort = json.loads(params["sort"]) if "sort" in params else None
        if sort and (self.sort == "refused" or (self.sort == "tie_breaker_refused" and "tie_breaker" in sort)):
            return Response(400, {}, b'{"detail": "cannot sort"}')
        rows = self._sorted(rows, sort)
        page, count = int(params["page"]), len(rows)
        total = max(1, -(-count // self.page_size))
        if self.cap is not None:
            rows = rows[: self.cap]
            if self.cap_counts:
                count, total = len(rows), max(1, -(-len(rows) // self.page_size))
        shown = rows[(page - 1) * self.page_size : page * self.page_size]
        if not shown and page > 1 and (page > total or self.beyond == "404"):
            return Response(404, {}, b'{"detail": "Invalid page."}')
        body = {
            "results": [row for row in shown if row["id"] not in self.hidden],
            "count": count,
            "total_pages": total,
            "meta": {"page": page, "count": count, "total_pages": total},
        }
        return Response(200, {"content-type": "application/json"}, json.dumps(body).encode())

    def _move(self) -> None:
        if self.rng.random() < self.stale:
            return  # the copy that lags stays a moment behind
        self.past = list(self.logs)
        if self.rng.random() < self.arrive:
            newest = instant(self.logs[-1]["logged_at"]) if self.logs else 1_000_000
            self._add(newest + self.rng.choice([0, 1, 1_000]))
        if self.rng.random() < self.arrive_late and self.late_range[0] < self.late_range[1]:
            self.late.add(self._add(self.rng.randrange(*self.late_range)))
        if self.logs and self.rng.random() < self.expire:
            self.expired.add(self.logs.pop(0)["id"])

    def _add(self, at: int) -> str:
        self.serial += 1
        new = log(self.serial, at)
        self.ever[new["id"]] = new
        bisect.insort(self.logs, new, key=lambda item: instant(item["logged_at"]))
        return new["id"]

    def _sorted(self, rows: list[dict], sort: dict | None) -> list[dict]:
        if sort is None or self.sort == "ignored":
            return rows[::-1] if self.seed % 2 else sorted(rows, key=lambda row: row["id"][::-1])
        rows = list(rows)
        descending = (sort["order"] == "desc") != (self.sort == "reversed")
        if self.ties == "shuffled" and ("tie_breaker" not in sort or self.sort == "tie_breaker_ignored"):
            self.rng.shuffle(rows)
        elif "tie_breaker" in sort and self.sort != "tie_breaker_ignored":
            rows.sort(key=lambda row: row["id"], reverse=sort["tie_breaker"]["order"] == "desc")
        elif descending:
            rows.reverse()
        rows.sort(key=lambda row: instant(row[sort["field"]]), reverse=descending)
        return rows

    def _matches(self, row: dict, node: dict) -> bool:
        return row.get(node["field"]) == node["value"]


def drive(flow, server: Model, *, concurrency: int = 4, seed: int = 0, stats: RequestStats | None = None) -> list:
    """Run a rule against a model; answers come in any order. Return what it emitted, flat."""
    rng = random.Random(seed)
    wire = exchange(
        flow,
        base_url=BASE_URL,
        policy=RetryPolicy(attempts=12),
        concurrency=concurrency,
        stats=stats,
        rng=rng,
    )
    emitted, under_way = [], []
    try:
        step = next(wire)
        while True:
            if isinstance(step, Emit):
                emitted += step.value
                step = next(wire)
                continue
            # A request is answered by the state of the world when it arrives; answers travel at their own pace.
            under_way += [(attempt, server.answer(attempt.request)) for attempt in rng.sample(step, len(step))]
            assert len(under_way) <= concurrency
            step = wire.send(under_way.pop(rng.randrange(len(under_way))))
    except StopIteration:
        return emitted
