"""The window that tasks read when they are killed or disturbed, and how many points are tried."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from random import Random

import pytest

from airflow_provider_secoda.sandbox import Workspace

#: Whether all points are tried, which takes most of an hour, or a sample.
EVERY_POINT = os.environ.get("CRASH_POINTS") == "all"
ONLY_WITH_ALL = pytest.mark.skipif(not EVERY_POINT, reason="only with CRASH_POINTS=all")

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
START, END = UNTIL - timedelta(days=3), UNTIL - timedelta(days=2)


def grown() -> tuple[Workspace, Workspace]:
    """Return a workspace with a megabyte in its window as it was before half of its logs came, and as it is."""
    now = Workspace.generate(seed=3, logs=900, days=5, until=UNTIL)
    random = Random(3)
    for number in range(90):
        at = START + timedelta(minutes=16 * number)
        now.add_log(logged_at=at, created_at=at, metadata={"text": random.randbytes(8 << 10).hex()})
    before = Workspace()
    for raw in now.raw_logs[::2]:
        before.add_log(raw=raw)
    return before, now


def large(size: int) -> Workspace:
    """Return a workspace with 20 logs in its window, in all of about that size in bytes."""
    text = "x" * (size // 20)
    return Workspace(
        {"id": f"log-{n}", "logged_at": START, "created_at": START, "metadata": {"text": text}} for n in range(20)
    )
