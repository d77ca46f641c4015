"""Measure how long a hundred triggers that start at once, in a new process, block the event loop of a triggerer.

Prints both sides: a trigger of the same shape that does nothing, which is the cost of Airflow's trigger runner and of
this machine's load, and the triggers of this provider. *Processor* is the processor time that the loop's thread spent
between two turns of the loop; other work on the machine affects it less than the *wall* time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRIGGERS, SECONDS, RUNS = 100, 5.0, 3
ROOT = Path(__file__).parent.parent
KINDS = {
    "a trigger that only sleeps": "idle",
    "`SecodaVersionHistoryTrigger` (the deferred sensor)": "sensor",
    "`SecodaVersionHistoryEventTrigger`": "event",
}


async def _measure(kind: str) -> tuple[float, float]:
    """Return the longest block in milliseconds: wall time and processor time of the loop's thread."""
    import logging

    import structlog
    from airflow.sdk import Asset
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryEventTrigger, SecodaVersionHistoryTrigger
    from tests.triggers.triggerer import Supervisor, Triggerer

    class Idle(BaseTrigger):
        def serialize(self) -> tuple[str, dict[str, object]]:
            return f"{__name__}.Idle", {}

        async def run(self):
            await asyncio.sleep(1e6)
            yield

    globals()["Idle"] = Idle
    # A triggerer has imported what assets need, and each trigger's log lines are not what is measured.
    Asset(name="a", uri="x://a")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    blocks: list[tuple[float, float]] = []

    async def turn() -> None:
        while True:
            wall, processor = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.005)
            blocks.append((time.perf_counter() - wall - 0.005, time.thread_time() - processor))

    gc.disable()  # Airflow's garbage collection is not what is measured
    async with Triggerer(Supervisor()) as triggerer:
        turning = asyncio.create_task(turn())
        await asyncio.sleep(0.2)
        blocks.clear()
        for number in range(TRIGGERS):
            if kind == "event":
                triggerer.start(number, SecodaVersionHistoryEventTrigger(f"r{number}"), f"asset {number}")
            elif kind == "sensor":
                waits = {"since": "2030-01-01T00:00:00Z", "max_consecutive_failures": None}
                triggerer.start(
                    number,
                    SecodaVersionHistoryTrigger(secoda_conn_id="secoda_default", resource_id=f"r{number}", **waits),
                )
            else:
                triggerer.start(number, Idle())
            await asyncio.sleep(0)
        await asyncio.sleep(SECONDS)
        turning.cancel()
    return 1000 * max(wall for wall, _ in blocks), 1000 * max(processor for _, processor in blocks)


def main() -> None:
    """Measure each kind in new processes, and print a table."""
    from airflow_provider_secoda.sandbox import Sandbox, Workspace

    workspace = Workspace.generate(seed=5, logs=300, days=1)
    for number in range(TRIGGERS):
        workspace.add_version(f"r{number}")
    print(f"| {TRIGGERS} at once | wall, ms | processor, ms |\n|---|---:|---:|")
    with Sandbox(workspace) as sandbox, tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"AIRFLOW_CONN_SECODA_DEFAULT": sandbox.connection_json, "AIRFLOW_HOME": home}
        for name, kind in KINDS.items():
            found = []
            for _ in range(RUNS):
                command = [sys.executable, "-m", "benchmarks.starting_triggers", kind]
                ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
                found.append(json.loads(ran.stdout.splitlines()[-1]))
            print(f"| {name} | {min(wall for wall, _ in found):.0f} | {min(cpu for _, cpu in found):.0f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with contextlib.redirect_stdout(sys.stderr):
            longest = asyncio.run(_measure(sys.argv[1]))
        print(json.dumps(longest), flush=True)
        os._exit(0)
    main()
