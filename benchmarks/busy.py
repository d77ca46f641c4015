"""Read a window while the workspace is busy: requests and virtual seconds by rate of change and page size.

``python benchmarks/busy.py > benchmarks/busy.md``; ``--quick`` for fewer rates. Time is virtual, so the figures do not
depend on the machine: the reader of the package sends requests to a listing in memory that changes between them.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import table

from airflow_provider_secoda.client._api.flow import Emit, Request, Response
from airflow_provider_secoda.client._audit_logs.output import WindowReport
from airflow_provider_secoda.client._audit_logs.window import WindowQuery, read_window
from airflow_provider_secoda.client._http.exchange import exchange
from airflow_provider_secoda.client.errors import SecodaError
from tests.simulation.rows import BEGIN, SECOND, row

LATENCY = 0.3
SEEDS = 5
#: Requests after which a read is given up.
TOO_MANY = 4000


@dataclass(frozen=True)
class Busy:
    """A workspace of one log a minute, and how it changes.

    :param arrivals: logs a second that arrive at the head during the read
    :param expiries: logs a second that are removed from the tail during the read
    """

    page_size: int
    arrivals: float = 0.0
    expiries: float = 0.0
    concurrency: int = 4
    pages: int = 6
    logs: int = 20_000


class Listing:
    """The listing at a virtual time."""

    def __init__(self, busy: Busy) -> None:
        self.busy = busy

    def answer(self, request: Request, now: float) -> Response:
        """Respond to a request for a page at a time."""
        params = dict(request.params)
        first, end = int(now * self.busy.expiries), self.busy.logs + int(now * self.busy.arrivals)
        count, size, number = end - first, self.busy.page_size, int(params["page"])
        total = max(1, -(-count // size))
        if number > total:
            return Response(404, {}, b'{"detail": "Invalid page."}')
        begin, stop = (number - 1) * size, min(number * size, count)
        newest_first = '"asc"' not in params.get("sort", "")
        serials = [end - 1 - i if newest_first else first + i for i in range(begin, stop)]
        results = b", ".join(row(serial, BEGIN + serial * 60 * SECOND).raw for serial in serials)
        rest = {"total_pages": total, "count": count, "meta": {"page": number, "count": count, "total_pages": total}}
        body = b'{"results": [' + results + b"], " + json.dumps(rest).encode()[1:]
        return Response(200, {"content-type": "application/json"}, body, received_at=now)


def read(busy: Busy, seed: int) -> tuple[float, float, str]:
    """Read a window in the middle of the history.

    :return: requests over (the pages that hold the window at first + 2), virtual seconds, and the error if it failed
    """
    rng, listing = random.Random(seed), Listing(busy)
    begin = busy.logs // 2 + rng.randrange(busy.page_size)
    wanted = range(begin, begin + busy.pages * busy.page_size)
    newer = busy.logs - wanted.stop
    pages = (newer + len(wanted) - 1) // busy.page_size - newer // busy.page_size + 1
    query = WindowQuery(
        BEGIN + wanted.start * 60 * SECOND, BEGIN + wanted.stop * 60 * SECOND, concurrency=busy.concurrency
    )
    wire = exchange(
        read_window(query, WindowReport()), base_url="https://api.secoda.co", concurrency=busy.concurrency, rng=rng
    )
    now, requests, got, order = 0.0, 0, [], 0
    flight: list[tuple[float, int, Any, Response]] = []
    answer = None
    try:
        while requests < TOO_MANY:
            step = wire.send(answer)
            answer = None
            if isinstance(step, Emit):
                got += [log.id for log in step.value]
                continue
            for attempt in step:
                there, back = (LATENCY / 2 * rng.uniform(0.8, 1.2) for _ in range(2))
                sent = now + attempt.pause
                requests, order = requests + 1, order + 1
                response = listing.answer(attempt.request, sent + there)
                heapq.heappush(flight, (sent + there + back, order, attempt, response))
            now, _, attempt, response = heapq.heappop(flight)
            answer = attempt, response
    except StopIteration:
        assert len(got) == len(set(got)) == len(wanted), "a log is missing"
        return requests / (pages + 2), now, ""
    except SecodaError as error:
        return requests / (pages + 2), now, str(error)
    return requests / (pages + 2), now, "too many requests"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rates, one seed")
    options = parser.parse_args()
    rates = (1, 30) if options.quick else (0, 0.3, 1, 3, 10, 30, 100, 1000)
    worlds = [("arrivals", size, rate, Busy(size, arrivals=rate)) for size in (50, 20) for rate in rates]
    worlds += [
        (f"expiries, {width} in flight", 50, rate, Busy(50, expiries=rate, concurrency=width))
        for rate in rates[1:]
        for width in (1, 4)
    ]
    worlds += [("arrivals and expiries", 50, rate, Busy(50, arrivals=rate, expiries=rate)) for rate in rates[1:]]
    rows = []
    for what, size, rate, busy in worlds:
        reads = [read(busy, seed) for seed in range(1 if options.quick else SEEDS)]
        ratio = [requests for requests, _, error in reads if not error]
        failed = sum(bool(error) for *_, error in reads)
        rows.append(
            [
                what,
                size,
                f"{rate:g}",
                f"{statistics.median(ratio):.1f}" if ratio else "-",
                f"{statistics.median(seconds for _, seconds, _ in reads):.1f}",
                f"{failed} of {len(reads)}",
            ]
        )
    sys.stdout.write(
        "# A window that is read while the workspace is busy\n\nMade by `python benchmarks/busy.py`; "
        "[README.md](README.md#busypy) explains it. Virtual time.\n\n"
    )
    sys.stdout.write(
        table(["what changes", "page size", "logs a second", "requests / (pages + 2)", "seconds", "failed"], rows)
    )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
