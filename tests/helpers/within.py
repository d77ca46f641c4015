"""End an asynchronous test that waits for something that does not happen."""

from __future__ import annotations

import asyncio
import functools


def within(seconds):
    """Return a decorator: the test fails with a TimeoutError after this number of seconds."""

    def decorate(test):
        @functools.wraps(test)
        async def limited(*args, **kwargs):
            await asyncio.wait_for(test(*args, **kwargs), seconds)

        return limited

    return decorate
