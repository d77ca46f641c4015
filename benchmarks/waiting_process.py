"""Wait for many resources at once, in this process alone: ``waiting_process.py job.json result.json``.

The triggers run as in Airflow's triggerer: each a task in one event loop. After a warm-up (everything is imported, and
a hundredth of the triggers polled once) all start; after their first poll the rounds are measured. Then versions are
added for a tenth of the resources, at random moments of an interval, and the delays until their events are taken.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import memory_usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

#: Over how many seconds the triggers are started, as a triggerer gets them in batches, too.
_SPREAD = 0.8


def trigger_of(job: dict[str, Any], number: int) -> Any:
    """Return the trigger that waits for one resource."""
    if job["reader"] == "sensors":
        from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryTrigger

        return SecodaVersionHistoryTrigger(
            secoda_conn_id="secoda_default",
            resource_id=f"r{number}",
            since=datetime.now(timezone.utc).isoformat(),
            poke_interval=job["interval"],
        )
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return HttpSensorTrigger(
        endpoint=f"api/v1/activity_log/resource_logs/?resource_id=late{number}&page=1",
        http_conn_id="benchmark_http",
        headers={"Authorization": f"Bearer {job['sandbox']['api_key']}"},
        poke_interval=job["interval"],
    )


async def wait_apart(job: dict[str, Any], fire: Callable[[int], None], numbers: range) -> AsyncIterator[None]:
    """Run a trigger for each resource; yield when all are started."""

    async def run(number: int, delay: float) -> None:
        await asyncio.sleep(delay)
        async for _ in trigger_of(job, number).run():
            fire(number)

    pause = job["interval"] * _SPREAD / max(1, len(numbers))
    tasks = [asyncio.create_task(run(number, pause * index)) for index, number in enumerate(numbers)]
    await asyncio.sleep(job["interval"] * _SPREAD)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def wait_together(job: dict[str, Any], fire: Callable[[int], None], numbers: range) -> AsyncIterator[None]:
    """Run a watcher for each resource, all on the stream that Airflow's own manager gives them."""
    from watchers import watch

    async with watch(numbers, job["interval"], fire):
        await asyncio.sleep(job["interval"] * _SPREAD)
        yield


async def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured: see the head of ``waiting.py``'s table."""
    wait = wait_together if job["reader"] == "watchers" else wait_apart
    fired: dict[int, float] = {}
    count, interval = job["count"], job["interval"]

    def fire(number: int) -> None:
        fired.setdefault(number, time.time())

    async for _ in wait(job, fire, range(count // 100)):
        await asyncio.sleep(0.5)
    before = memory_usage.start()
    async for _ in wait(job, fire, range(count)):
        await asyncio.sleep(interval)  # all triggers have polled once
        kib = (memory_usage.now() - before) * 1024 / count
        sent, clock, processor = await _requests(job), time.perf_counter(), time.process_time()
        await asyncio.sleep(interval * job["rounds"])
        requests = await _requests(job) - sent
        busy, seconds = time.process_time() - processor, time.perf_counter() - clock
        added = await _add(job, count // 10)
        await asyncio.sleep(interval * 1.5)
        delays = [fired[number] - at for number, at in added.items() if number in fired]
    return {
        "requests_a_minute": requests * 60 / seconds,
        "requests_an_interval": requests * interval / seconds,
        # A poll of the watchers is one resource for one interval, with any number of requests.
        "processor_ms": busy * 1000 / (count * seconds / interval if job["reader"] == "watchers" else requests),
        "processor_share": busy / seconds,
        "kib": kib,
        "largest_delay": max(delays, default=float("nan")),
        "fired": len(delays),
        "added": len(added),
    }


async def _requests(job: dict[str, Any]) -> int:
    found: int = (await asyncio.to_thread(_ask, job, "/sandbox/stats"))["requests"]
    return found


async def _add(job: dict[str, Any], count: int) -> dict[int, float]:
    """Add versions at random moments of an interval; return when each was there."""
    prefix = "late" if job["reader"] == "http" else "r"
    added = {}
    for number in random.Random(1).sample(range(job["count"]), count):
        body = json.dumps({"resource_id": f"{prefix}{number}"}).encode()
        await asyncio.to_thread(_ask, job, "/sandbox/versions", body)
        added[number] = time.time()
        await asyncio.sleep(random.Random(number).uniform(0, 2 * job["interval"] / count))
    return added


def _ask(job: dict[str, Any], path: str, body: bytes | None = None) -> dict[str, Any]:
    with urllib.request.urlopen(urllib.request.Request(job["sandbox"]["url"] + path, body)) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


if __name__ == "__main__":
    task, result = map(Path, sys.argv[1:])
    result.write_text(json.dumps(asyncio.run(measure(json.loads(task.read_text())))))
