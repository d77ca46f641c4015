"""What a read costs, and how often it fails although it need not, by family of worlds: figures with bounds."""

from __future__ import annotations

from random import Random
from statistics import median

import pytest

from airflow_provider_secoda.client._audit_logs.window import WindowQuery
from tests.helpers.figures import record
from tests.simulation.reading import SimulatedRead
from tests.simulation.world import BEGIN, SECOND, Manners, World, row

LOGS, PAGE_SIZE, READS = 800, 10, 20


def arrive(world: World) -> None:
    world.arrive(SECOND)


def arrive_late(world: World) -> None:
    world.arrive_late(BEGIN + 3 * SECOND)


#: What changes, and the bounds of the costs: their median, and the largest.
FAMILIES = {
    "nothing": ([], 1.3, 1.6),
    "arrivals": ([arrive], 1.9, 2.5),
    "expiries": ([World.expire], 2.2, 3.0),
    "arrivals and expiries": ([arrive, World.expire], 4.7, 6.0),
    "late arrivals": ([arrive_late], 2.8, 4.0),
}


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_costs(family, rate):
    """Where nothing moves within the window, a read succeeds, and its cost is bounded.

    The cost of a read is its requests over (the pages that hold the window at first + 2).

    :param rate: how often each change happens with each answer
    """
    changes, usual, largest = FAMILIES[family]
    costs, requests, pages, alarms = [], 0, 0, []
    for seed in range(READS):
        rng = Random(seed)
        world = World([row(serial, BEGIN + serial * SECOND) for serial in range(LOGS)], Manners(page_size=PAGE_SIZE))
        first = rng.randrange(LOGS // 4, LOGS - LOGS // 4)
        last = first + 6 * PAGE_SIZE
        reading = SimulatedRead(world, WindowQuery(BEGIN + first * SECOND, BEGIN + last * SECOND))
        while not reading.done:
            for change in changes:
                for _ in range(int(rate) + (rng.random() < rate % 1)):
                    change(world)
            index = rng.randrange(len(reading.flight))
            reading.serve(index)
            reading.deliver(index)
        if reading.error is not None:
            alarms.append(f"seed {seed}: {reading.error}")
        elif lost := reading.expected.lost(reading.got):
            pytest.fail(f"seed {seed}: {lost} are lost")
        holding = (LOGS - first - 1) // PAGE_SIZE - (LOGS - last) // PAGE_SIZE + 1
        costs.append(world.requests / (holding + 2))
        requests, pages = requests + world.requests, pages + holding + 2
    numbers = {"reads": READS, "requests": requests, "pages": pages, "alarms": len(alarms)}
    record("costs", **{f"{family} {name}": number for name, number in numbers.items()})
    assert not alarms
    assert median(costs) <= usual
    assert max(costs) <= largest
