"""A resource's history behind a page-numbered listing whose order is not documented, and a driver of polls."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client._api.timestamps import format_instant
from airflow_provider_secoda.client._http.exchange import RequestStats, exchange
from airflow_provider_secoda.client._http.retry import POLL_POLICY
from airflow_provider_secoda.client._versions.history import Baseline
from airflow_provider_secoda.client._versions.poll import poll_versions

SECOND = 1_000_000
BASE = "https://api.secoda.co"


@dataclass
class Entry:
    """A version (times in seconds), or a log that belongs to none.

    :param updated: by default the latest activity
    """

    id: str
    created: int
    latest: int
    log: bool = False
    updated: int | None = None

    @property
    def updated_at(self):
        return self.latest if self.updated is None else self.updated

    def document(self):
        if self.log:
            return {"id": self.id, "logged_at": format_instant(self.created * SECOND)}
        return {
            "id": self.id,
            "resource_id": "R",
            "created_at": format_instant(self.created * SECOND),
            "latest_activity_logged_at": format_instant(self.latest * SECOND),
            "updated_at": format_instant(self.updated_at * SECOND),
            "activity_logs": [],
        }


ORDERS = {
    "created, newest first": (lambda e: (e.created, e.id), True),
    "created, oldest first": (lambda e: (e.created, e.id), False),
    "latest, newest first": (lambda e: (e.latest, e.id), True),
    "latest, oldest first": (lambda e: (e.latest, e.id), False),
    "updated, newest first": (lambda e: (e.updated_at, e.id), True),
    "updated, oldest first": (lambda e: (e.updated_at, e.id), False),
    "versions before logs": (lambda e: (e.log, e.created, e.id), False),
    "logs before versions": (lambda e: (not e.log, e.created, e.id), False),
    "none": (lambda e: random.Random(e.id).random(), False),
    "as listed": (lambda _: 0, False),
}


@dataclass
class History:
    """A resource; ``before`` is called before each answer and may change ``entries``; ``misplaced`` come last."""

    entries: list = field(default_factory=list)
    order: str = "created, newest first"
    size: int = 5
    before: object = None
    beyond: str = "404"
    misplaced: set = field(default_factory=set)
    counts_logs_only: bool = False
    requested: list = field(default_factory=list)

    def answer(self, request):
        if self.before:
            self.before(self)
        number = int(dict(request.params)["page"])
        self.requested.append(number)
        key, reverse = ORDERS[self.order]
        rows = sorted(self.entries, key=key, reverse=reverse)
        rows.sort(key=lambda e: e.id in self.misplaced)
        pages = max(1, -(-len(rows) // self.size))
        if number > pages:
            if self.beyond == "404":
                return Response(404, {}, b'{"detail": "Invalid page."}')
            number = pages
        shown = rows[(number - 1) * self.size : number * self.size]
        count = sum(e.log or not self.counts_logs_only for e in rows)
        body = {
            "version_histories": [e.document() for e in shown if not e.log],
            "non_versioned_logs": [e.document() for e in shown if e.log],
            "count": count,
            "total_pages": pages,
            "meta": {"page": number, "count": count, "total_pages": pages},
        }
        return Response(200, {}, json.dumps(body).encode())

    def truth(self, since, match="new_version", other_than=None):
        """Return the ids that count, oldest first."""
        return [
            e.id
            for e in sorted(self.entries, key=lambda e: (e.created, e.id))
            if not e.log
            and ((e.created >= since and e.id != other_than) or (match == "any_activity" and e.latest >= since))
        ]


def poll(history, since, page_order=None, *, match="new_version", version_id=None, seed=0, concurrency=4):
    """Poll once; return the new ids and the page order. Responses come in any order."""
    rng = random.Random(seed)
    flow = poll_versions("R", Baseline(since * SECOND, version_id, match), page_order)
    wire = exchange(flow, base_url=BASE, policy=POLL_POLICY, concurrency=concurrency, stats=RequestStats(), rng=rng)
    under_way = []
    try:
        step = next(wire)
        while True:
            under_way += [(attempt, history.answer(attempt.request)) for attempt in rng.sample(step, len(step))]
            step = wire.send(under_way.pop(rng.randrange(len(under_way))))
    except StopIteration as stop:
        return [entry.id for entry in stop.value.entries], stop.value.page_order


def history_of(count, *, start=1000, step=10, **how):
    """Return a history of versions at equal distances."""
    return History([Entry(f"v{n:04}", start + n * step, start + n * step + 3) for n in range(count)], **how)
