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
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import table

from airflow_provider_secoda.client._api.flow import Emit, Request, Response
from airflow_provider_secoda.client._audit_logs.output import WindowReport
from airflow_provider_secoda.client._audit_logs.window import WindowQuery, read_window
from airflow_provider_secoda.client._http.exchange import exchange
from airflow_provider_secoda.client.errors import SecodaError
from tests.simulation.rows import BEGIN, SECOND, row

if TYPE_CHECKING:
    from collections.abc import Callable

LATENCY = 0.3
SEEDS = 5
#: Requests after which a read is given up.
TOO_MANY = 6000
#: A number of logs that is not a multiple of the page size.
UNEVEN = 20_017
COLUMNS = ("what changes", "page size", "logs a second", "seconds", "failed")


@dataclass(frozen=True)
class Busy:
    """A workspace of one log a minute, and how it changes.

    :param arrivals: logs a second that arrive at the head during the read
    :param expiries: logs a second that are removed from the tail during the read
    :param place: where the window begins: from 0, the oldest log, to 1, so that it ends with the newest one
    :param sorts: whether the server honours a sort; otherwise it returns the newest logs first
    """

    page_size: int
    arrivals: float = 0.0
    expiries: float = 0.0
    concurrency: int = 4
    pages: int = 6
    logs: int = 20_000
    sorts: bool = True
    place: float = 0.5


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
        newest_first = not self.busy.sorts or '"asc"' not in params.get("sort", "")
        serials = [end - 1 - i if newest_first else first + i for i in range(begin, stop)]
        results = b", ".join(row(serial, BEGIN + serial * 60 * SECOND).raw for serial in serials)
        rest = {"total_pages": total, "count": count, "meta": {"page": number, "count": count, "total_pages": total}}
        body = b'{"results": [' + results + b"], " + json.dumps(rest).encode()[1:]
        return Response(200, {"content-type": "application/json"}, body, received_at=now)


def read(busy: Busy, seed: int) -> tuple[int, int, float, str]:
    """Read a window in the middle of the history.

    :return: requests, the pages that hold the window at first, virtual seconds, and the error if it failed
    """
    rng, listing = random.Random(seed), Listing(busy)
    begin = int((busy.logs - busy.pages * busy.page_size) * busy.place)
    begin = max(0, begin - rng.randrange(busy.page_size))
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
        expired = sum(serial < int(now * busy.expiries) for serial in wanted)
        assert len(wanted) - expired <= len(got) == len(set(got)), "a log is missing"
        return requests, pages, now, ""
    except SecodaError as error:
        return requests, pages, now, str(error)
    return requests, pages, now, "too many requests"


def measure(what: str, rate: float, busy: Busy, reads: int, cost: Callable[[int, int, int], float]) -> list[Any]:
    """Return a line of a table: the median of some reads.

    :param cost: of requests, the pages that hold the window at first, and all pages
    """
    done = [read(busy, seed) for seed in range(reads)]
    total = -(-busy.logs // busy.page_size)
    costs = [cost(requests, pages, total) for requests, pages, _, error in done if not error]
    failed = sum(bool(error) for *_, error in done)
    return [
        what,
        busy.page_size,
        f"{rate:g}",
        f"{statistics.median(costs):.1f}" if costs else "-",
        f"{statistics.median(seconds for _, _, seconds, _ in done):.1f}",
        f"{failed} of {reads}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rates, one seed")
    options = parser.parse_args()
    rates = (1, 30) if options.quick else (0, 0.3, 1, 3, 10, 30, 100, 1000)
    worlds = [("arrivals", size, rate, Busy(size, arrivals=rate)) for size in (50, 20) for rate in rates]
    worlds += [
        (f"expiries, {width} in flight", 50, rate, Busy(50, expiries=rate, concurrency=width, logs=UNEVEN))
        for rate in rates[1:]
        for width in (1, 4)
    ]
    worlds += [
        ("arrivals and expiries", 50, rate, Busy(50, arrivals=rate, expiries=rate, logs=UNEVEN)) for rate in rates[1:]
    ]
    # Then pages end at the same logs in both orders.
    worlds += [
        (f"{what}, a multiple of the page size", 50, 1, Busy(50, arrivals=arrivals, expiries=1))
        for what, arrivals in (("expiries", 0), ("arrivals and expiries", 1))
    ]
    rows = [
        measure(what, rate, busy, 1 if options.quick else SEEDS, lambda requests, pages, _: requests / (pages + 2))
        for what, _, rate, busy in worlds
    ]
    unsorted = [
        ("arrivals", rate, Busy(50, arrivals=rate, logs=22_500, sorts=False))
        for rate in ((0,) if options.quick else (0, 0.3, 1, 3, 10))
    ]
    unsorted += [
        ("expiries", rate, Busy(50, expiries=rate, logs=22_500, sorts=False))
        for rate in (() if options.quick else (0.3, 1, 3))
    ]
    places = [
        measure(place, 0, Busy(50, place=share, logs=50_000), 1 if options.quick else SEEDS, lambda *_: 0)
        for place, share in (("head", 1), ("middle", 0.5), ("far end", 0.003))
    ]
    print(
        "# A window that is read while the workspace is busy",
        "Made by `python benchmarks/busy.py`; [README.md](README.md#busypy) explains it. Virtual time.",
        table([*COLUMNS[:3], "requests / (pages + 2)", *COLUMNS[3:]], rows),
        "At rest, among 50,000 logs; one round trip is 0.3 s:",
        table(
            ["place", "round trips"], [[place, f"{float(seconds) / LATENCY:.1f}"] for place, *_, seconds, _ in places]
        ),
        "A server that ignores the sort, and 450 pages:",
        table(
            [*COLUMNS[:3], "requests / 450", *COLUMNS[3:]],
            [
                measure(what, rate, busy, 1, lambda requests, _, total: requests / total)
                for what, rate, busy in unsorted
            ],
        ),
        sep="\n\n",
    )


if __name__ == "__main__":
    main()
