"""Versions in hours of virtual time: each new one fires once, and old ones never."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda._events.version_watcher import VersionWatcher
from tests.triggers.test_watchers import version
from tests.triggers.virtual import BEGIN, SECOND, Life, Server, run_virtual

HOUR = 3600.0


def edit(server, *, id_, at, number, log_delay=0.0):
    """Create a version, or extend it, with a log that names it."""
    histories = server.versions.setdefault("r1", [])
    moment = BEGIN + round(at * SECOND)
    known = next((one for one in histories if one["id"] == id_), None)
    if known is None:
        histories.append(version(id_, moment))
    else:
        known.update(version(id_, moment), created_at=known["created_at"])
    fields = {"resource_id": "r1", "version_history_id": id_}
    server.arrivals.append((at + log_delay, partial(Server.add, at=moment, id_=f"{id_} {number}", **fields)))
    server.arrivals.sort(key=lambda arrival: arrival[0])


def world(seed, *, hours):
    """Return a server on which a resource is edited now and then, and how many edits each version has."""
    rng, edits = random.Random(seed), Counter()
    server = Server(latency=lambda: rng.choice([0.05, 0.05, 2.0, 20.0]))
    now, id_ = 60.0, ""
    for second in range(-1800, 0, 60):
        server.add(BEGIN + second * SECOND, f"before {second}")
    while (now := now + rng.expovariate(1 / 300.0)) < hours * HOUR:
        if not id_ or rng.random() < 0.5:
            id_ = f"v{len(edits):03d}"
        delay = rng.uniform(0.0, 800.0) if rng.random() < 0.2 else 0.0
        server.arrivals.append((now, partial(edit, id_=id_, at=now, number=edits[id_], log_delay=delay)))
        edits[id_] += 1
    for number in range(int(hours * 60)):
        at = number * 60.0
        server.arrivals.append((at, partial(Server.add, at=BEGIN + round(at * SECOND), id_=f"other {number}")))
    server.arrivals.sort(key=lambda arrival: arrival[0])
    return server, edits


@pytest.mark.parametrize("seed", range(2))
def test_a_version_fires_once(monkeypatch, seed):
    """A version that is edited several times, with late logs, fires once, however long the watcher runs."""
    server, edits = world(seed, hours=3)
    life = Life(lambda: VersionWatcher("r1", "new_version"), 60.0)
    run_virtual(monkeypatch, server, life.run(4 * HOUR))
    assert Counter(life.stored) == Counter(edits.keys())
