"""Waiting that ends early, and tasks that end for certain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection


async def pause(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, but not longer than so many seconds; None for any time.

    ``asyncio.wait_for`` would do, but before Python 3.12 it may lose a cancellation that comes together with the event.
    """
    timer = None if seconds is None else asyncio.get_running_loop().call_later(max(0.0, seconds), event.set)
    try:
        await event.wait()
    finally:
        if timer is not None:
            timer.cancel()


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks until all of them have ended."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1.0)
