"""Watch many resources as Airflow's triggerer does: its own trigger runner and shared streams, in this process."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@asynccontextmanager
async def watch(numbers: range, interval: float, fire: Callable[[int], None]) -> AsyncIterator[None]:
    """Run a watcher for each resource; call ``fire`` with its number when its event is stored."""
    from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryEventTrigger
    from tests.triggers.triggerer import Supervisor, Triggerer

    supervisor = Supervisor()

    async def tell() -> None:
        reported = 0
        while True:
            await asyncio.sleep(0.05)
            for number, _ in supervisor.stored[reported:]:
                fire(number)
            reported = len(supervisor.stored)

    async with Triggerer(supervisor) as triggerer:
        telling = asyncio.create_task(tell())
        try:
            for number in numbers:
                trigger = SecodaVersionHistoryEventTrigger(resource_id=f"r{number}", poke_interval=interval)
                triggerer.start(number, trigger, f"asset{number}")
            yield
        finally:
            telling.cancel()
