"""Keep ``execution_timeout`` across a deferral.

Airflow documents that it counts from the start of a try to its end, deferrals included. Airflow 2.11 does that. Airflow
3 counts it again in each process of the try, and does not count it during a deferral, except for a task that starts in
the triggerer.
"""

from __future__ import annotations

import signal
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

if TYPE_CHECKING:
    from collections.abc import Mapping


def execution_deadline(task: Any) -> datetime | None:
    """Return when the execution timeout of a task ends that starts now; None without an execution timeout."""
    return None if task.execution_timeout is None else datetime.now(timezone.utc) + task.execution_timeout


def apply_execution_deadline(deadline: datetime | None, message: str) -> None:
    """Let this process end at the deadline of its try: shorten the timer that Airflow has set.

    :param deadline: what :func:`execution_deadline` returned in the first process of the try
    :param message: what the task has not done
    :raises AirflowTaskTimeout: when the deadline has passed
    """
    if deadline is None:
        return
    left = (deadline - datetime.now(timezone.utc)).total_seconds()
    if left <= 0:
        raise AirflowTaskTimeout(message)
    if signal.getitimer(signal.ITIMER_REAL)[0] > left:
        signal.setitimer(signal.ITIMER_REAL, left)


def execution_timeout_passed(task: Any, context: Mapping[str, Any]) -> bool:
    """Return whether the execution timeout of a task's try has passed, as far as Airflow says when the try started.

    Airflow 3.0 to 3.2 say when the process started.
    """
    started = getattr(context.get("ti"), "start_date", None)
    if task.execution_timeout is None or started is None:
        return False
    return bool(datetime.now(timezone.utc) >= started + task.execution_timeout)
