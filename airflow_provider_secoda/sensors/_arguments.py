"""What the sensor's arguments are before the task starts: templates, results of other tasks, and their defaults."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import parse_datetime
from airflow_provider_secoda._compat import run_fact
from airflow_provider_secoda.client.errors import SecodaConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What :func:`run_due_at` returns, as a template: Airflow renders it for a task that starts in the triggerer.
RUN_DUE_AT = (
    "{{ data_interval_end if data_interval_end is defined and data_interval_end else "
    "(dag_run.run_after or dag_run.start_date) }}"
)


def run_due_at(context: Mapping[str, Any]) -> datetime:
    """Return when a run was due, in UTC: the end of its data interval, else its ``run_after``, else its start.

    :raises SecodaConfigurationError: when the run has none of them
    """
    for name in ("data_interval_end", "run_after", "start_date"):
        if (value := run_fact(context, name)) is not None:
            return parse_datetime("since", value)
    raise SecodaConfigurationError("Pass `since`: the run has no data_interval_end, run_after or start_date")
