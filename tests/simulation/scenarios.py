"""Small worlds in which given changes happen before given responses, for the named tests."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from airflow_provider_secoda.client._audit_logs.window import WindowQuery
from airflow_provider_secoda.client.errors import SecodaIncompleteError
from tests.simulation.reading import SimulatedRead
from tests.simulation.world import BEGIN, SECOND, World, row

Script = dict[int, list[Callable[[World], None]]]


def spaced(count: int, tie: int = 1) -> list[Any]:
    """Return this many logs, a second between ties of this length."""
    return [row(serial, BEGIN + serial // tie * SECOND) for serial in range(count)]


def read(
    world: World,
    first: float,
    last: float,
    script: Script | None = None,
    *,
    backwards: bool = False,
    copy: Callable[[int, int], int] = lambda *_: 0,
    hidden: Container[int] = (),
    **options: Any,
) -> SimulatedRead:
    """Read from one second to another; given changes happen before the n-th response.

    :param backwards: of requests under way the last one is answered first
    :param copy: from how old a state the n-th answer comes, which is of some page
    :param hidden: answers that say that there is no such page, if it is not the first
    """
    query = WindowQuery(BEGIN + int(first * SECOND), BEGIN + int(last * SECOND), **{"concurrency": 1} | options)
    begun = world.requests
    reading = SimulatedRead(world, query)
    while not reading.done:
        answer = world.requests - begun
        for move in (script or {}).get(answer, ()):
            move(world)
        index = len(reading.flight) - 1 if backwards else 0
        page = int(dict(reading.flight[index][0].request.params)["page"])
        fault = "page not shown once" if answer in hidden and page > 1 else ""
        reading.serve(index, fault, copy(answer, page))
        reading.deliver(index)
    return reading


def exact(reading: SimulatedRead, order: str = "") -> None:
    """Assert that a read returned all logs that it must; no loss is excused.

    :param order: how the listing was read: ``sorted`` is newest first or oldest first
    """
    assert reading.error is None, reading.error
    assert not reading.expected.contradicts(reading.got, failed=False)
    assert not reading.expected.lost(reading.got)
    orders = {"sorted": {"newest_first", "oldest_first"}}.get(order, {order})
    assert not order or reading.report.order in orders, reading.report.order


def refused(reading: SimulatedRead, words: str = "") -> None:
    """Assert that a read failed, with the reason in its error."""
    assert isinstance(reading.error, SecodaIncompleteError), (reading.error, reading.report.order)
    assert words in str(reading.error), str(reading.error)


def exact_or_refused(reading: SimulatedRead) -> None:
    """Assert that a read returned all logs that it must, or failed."""
    if reading.error is None:
        exact(reading)
