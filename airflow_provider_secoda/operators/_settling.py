"""Wait until the window of a task has settled: in place, or deferred."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.timestamps import format_datetime

if TYPE_CHECKING:
    from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
    from airflow_provider_secoda.windows import Window

#: The longest time that a task which may be deferred waits in its worker slot.
_LONGEST_SLEEP = timedelta(seconds=5)
#: How long a deferred task waits for a triggerer, after the window has settled, before it fails.
_TRIGGER_GRACE = timedelta(minutes=10)


def wait_until_settled(
    task: SecodaAuditLogsOperator, window: Window, *, deferrable: bool, deadline: datetime | None
) -> None:
    """Return when the window has settled; defer the task if it may be and the wait is long.

    :param deadline: when the task's execution timeout ends, if the task may be deferred
    """
    settled = window.end + task.settle
    wait = settled - datetime.now(timezone.utc)
    if deferrable and wait > _LONGEST_SLEEP:
        _defer(task, window, settled, deadline)
    if wait > timedelta(0):
        task.log.info("Waiting %.1f s until window %s has settled", wait.total_seconds(), window)
        time.sleep(wait.total_seconds())


def _defer(task: SecodaAuditLogsOperator, window: Window, settled: datetime, deadline: datetime | None) -> None:
    """Defer the task until the window has settled, or until its execution timeout ends if that is earlier."""
    from airflow_provider_secoda._compat import datetime_trigger  # noqa: PLC0415 - only where it is used

    until, latest = settled, settled + _TRIGGER_GRACE
    task.log.info("Window %s settles at %s; the task is deferred until then", window, format_datetime(settled))
    if deadline is not None:
        until, latest = min(until, deadline), min(latest, deadline)
        if deadline < settled:
            task.log.warning("The window settles after execution_timeout, %s, has ended", task.execution_timeout)
    task.defer(
        trigger=datetime_trigger(until),
        method_name="execute_settled",
        kwargs={"window": window.as_dict(), "deadline": None if deadline is None else format_datetime(deadline)},
        timeout=max(latest - datetime.now(timezone.utc), timedelta(0)),
    )
