"""Late logs over restarts: in hours of virtual time, none is missed, and repeats are rare."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from functools import partial

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda._events.watchers import LogWatcher
from tests.triggers.virtual import BEGIN, SECOND, Life, Server, run_virtual

HOUR = 3600.0


def world(seed, *, hours, rate=0.2, late=0.05, latest=890.0):
    """Return a server that logs reach over some hours, and when each of them appears.

    :param rate: logs a second
    :param late: the part of them that appears late
    :param latest: by how many seconds at most
    """
    rng, now, number = random.Random(seed), 0.0, 0
    server, appears = Server(), {}
    for second in range(-3600, 0, 5):
        server.add(BEGIN + second * SECOND, f"before {second}")
    arrivals = []
    while (now := now + rng.expovariate(rate)) < hours * HOUR:
        number += 1
        id_ = f"log {number:05d}"
        at = now - (rng.uniform(0.0, latest) if rng.random() < late else rng.uniform(0.0, 2.0))
        arrivals.append((now, partial(Server.add, at=BEGIN + round(at * SECOND), id_=id_)))
        appears[id_] = now
    server.arrivals = arrivals
    return server, appears


async def live(life, rng, *, hours, kill):
    """Restart the triggerer every hour, and let it run until every sweep that is due has happened."""
    for _ in range(hours):
        await life.run(HOUR - 100.0, kill=kill)
        await asyncio.sleep(rng.uniform(5.0, 100.0))
    await life.run(70 * life.poke_interval)


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
@pytest.mark.parametrize("poke_interval", [60.0, 300.0])
def test_late_logs_are_not_missed_over_restarts(monkeypatch, poke_interval, kill):
    """Each log that appears up to 890 s late fires, also around restarts; only what a kill left open is repeated."""
    hours = 3
    server, appears = world(seed=11, hours=hours)
    life = Life(lambda: LogWatcher({}), poke_interval)
    run_virtual(monkeypatch, server, live(life, random.Random(11), hours=hours, kill=kill))
    expected = {id_ for id_, at in appears.items() if at > 60.0}
    assert len(expected) > 2000
    assert expected <= set(life.stored) <= appears.keys()
    repeats = Counter(life.stored) - Counter(set(life.stored))
    assert repeats == Counter(life.left_open)
    assert bool(repeats) is kill
