"""Split one large window into many, for Airflow's dynamic task mapping."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from airflow_provider_secoda._arguments import parse_datetime
from airflow_provider_secoda.client._api.timestamps import format_datetime


def split_window(
    start: datetime | str,
    end: datetime | str,
    *,
    every: timedelta = timedelta(days=1),
    at_most: int | None = None,
) -> list[dict[str, str]]:
    """Split a window into consecutive windows without gap or overlap; the first starts at its start.

    All have the length ``every``, except that the last may be shorter. Lengths are measured in UTC: a day has 24 hours,
    also where the clocks change. The result is what ``expand_kwargs`` takes::

        SecodaAuditLogsOperator.partial(task_id="fetch", output_path=…).expand_kwargs(split_window(…))

    :param start: inclusive: an aware datetime, or an ISO 8601 string; UTC if it has no offset
    :param end: exclusive, likewise
    :param every: the length of each window
    :param at_most: the largest number of windows; Airflow's ``[core] max_map_length`` by default
    :return: ``start`` and ``end`` of each window, in order, as ISO 8601 strings in UTC
    :raises ValueError: the arguments are not a window, or there would be more than ``at_most`` windows
    """
    first, last = parse_datetime("start", start), parse_datetime("end", end)
    if first >= last:
        raise ValueError(f"start={format_datetime(first)} is not before end={format_datetime(last)}.")
    if every <= timedelta(0):
        raise ValueError(f"`every` must be positive, not {every}.")
    count = -((first - last) // every)
    if count > (limit := _max_map_length() if at_most is None else at_most):
        raise ValueError(
            f"From {format_datetime(first)} to {format_datetime(last)} there are {count} windows of {every}, and a "
            f"task is mapped to at most {limit}. Make `every` longer, or increase Airflow's [core] max_map_length."
        )
    edges = [*(first + every * number for number in range(count)), last]
    return [{"start": format_datetime(one), "end": format_datetime(other)} for one, other in pairwise(edges)]


def _max_map_length() -> int:
    from airflow.providers.common.compat.sdk import conf  # noqa: PLC0415 - only the default needs Airflow

    limit: int = conf.getint("core", "max_map_length", fallback=1024)
    return limit
