"""Split one large window into many, for Airflow's dynamic task mapping."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from airflow_provider_secoda._arguments import parse_datetime


def split_window(
    start: datetime | str,
    end: datetime | str,
    *,
    every: timedelta = timedelta(days=1),
    at_most: int | None = None,
) -> list[dict[str, str]]:
    """Cut a window into windows that tile it: each begins where the one before ends, the first at its start.

    All have the length ``every``, only the last may be shorter. Lengths are those of UTC, so a day has 24 hours
    whatever the clocks of a country do. The result is what ``expand_kwargs`` takes::

        SecodaAuditLogsOperator.partial(task_id="fetch", output_path=…).expand_kwargs(split_window(…))

    :param start: inclusive: an aware datetime, or ISO 8601 text; without offset, UTC
    :param end: exclusive; the same
    :param every: how long each window is
    :param at_most: how many windows there may be; by default Airflow's ``[core] max_map_length``
    :return: ``start`` and ``end`` of each window, in order, as ISO 8601 text in UTC
    :raises ValueError: the arguments make no window, or more windows than there may be
    """
    first, last = parse_datetime("start", start), parse_datetime("end", end)
    if first >= last:
        raise ValueError(f"start={first.isoformat()} is not before end={last.isoformat()}.")
    if every <= timedelta(0):
        raise ValueError(f"`every` must be a length of time, not {every}.")
    count = -((first - last) // every)
    if count > (limit := _map_length() if at_most is None else at_most):
        raise ValueError(
            f"From {first.isoformat()} to {last.isoformat()} there are {count} windows of {every}; one task is mapped "
            f"to at most {limit}. Make `every` longer, or raise Airflow's [core] max_map_length."
        )
    edges = [*(first + every * number for number in range(count)), last]
    return [{"start": since.isoformat(), "end": until.isoformat()} for since, until in pairwise(edges)]


def _map_length() -> int:
    from airflow.providers.common.compat.sdk import conf  # noqa: PLC0415 - the limit is Airflow's, the rest is not

    limit: int = conf.getint("core", "max_map_length", fallback=1024)
    return limit
