"""Faults of the server, and behaviour that the reference does not specify: one switch each."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeAlias, get_type_hints

import msgspec

from airflow_provider_secoda.sandbox._workspace.schema import SCALARS

OneShot: TypeAlias = int | str | tuple[str, int, dict[str, str]]


@dataclass
class Faults:
    """Switches of a sandbox; without arguments the server works correctly. An unknown switch or value raises.

    **Order**

    :param order: what happens to ``sort``: ``honoured``, ``ignored`` (the default order is used), ``refused`` (400),
        ``reversed``, ``broken`` (honoured, but ``broken_logs`` logs at the fraction ``broken_at`` of the listing are
        ``broken_by`` places too late).
    :param tie_breaker: what happens to the ``tie_breaker`` of ``sort``.
    :param ties: logs with equal sort keys stay in insertion order, or are shuffled for each request.
    :param default_sort: (field, ``asc`` or ``desc``) without a ``sort``; the field ``serial`` is insertion order.
    :param resource_order: order of resource logs, which the reference does not specify.

    **Changes of the workspace**, before every n-th audit-log request that is served

    :param arrivals_every: a new log arrives, now or just after the newest log, whichever is later.
    :param late_arrivals_every: a log arrives with ``logged_at`` at ``late_at``: an aware datetime, or a fraction of
        the time from the oldest to the newest log. Its ``created_at`` is that of a new log.
    :param expire_every: the log with the oldest ``logged_at`` is removed.

    **Missing logs**

    :param cap: maximum number of logs over all pages.
    :param cap_count: whether ``count`` and ``total_pages`` are the true numbers or the capped ones.
    :param beyond_cap: response to a page after the cap.
    :param page_out_of_range: response to a page that does not exist; ``last`` repeats the last page.
    :param empty_listing_pages: ``total_pages`` of a listing without logs.
    :param empty_page: number of a page that is returned without logs.
    :param short_page: number of a page that is returned without its last log.
    :param hide: ids of logs that are counted but never returned.
    :param stale_rate: probability that a page shows the listing as it was a few changes ago.

    **Responses**

    :param script: faults of the next requests, one each: a status (429, 500, …); ``("status", code, headers)``;
        ``cut`` (the connection closes in the middle of the body); ``html`` (a login page with status 200); ``reset``
        (the connection is reset without a response); ``slow:SECONDS``; ``redirect:URL``; ``json:TEXT`` (this body
        with status 200).
    :param error_rate: probability of a response with one of ``error_statuses``.
    :param retry_after: ``Retry-After`` of these responses, in seconds or as an HTTP date.
    :param rate_limit: (requests, seconds): more requests in any such span get 429 with ``Retry-After``.
    :param most_in_flight: more concurrent requests get 429 with ``Retry-After: 1``. Set ``latency``, too: without it
        requests rarely overlap.
    :param latency: seconds before each response.
    :param gzip: compress responses for clients that accept it.
    :param seed: seed of shuffles and probabilities, which restart when the faults are replaced.
    """

    order: Literal["honoured", "ignored", "refused", "reversed", "broken"] = "honoured"
    broken_at: float = 0.5
    broken_logs: int = 3
    broken_by: int = 150
    tie_breaker: Literal["honoured", "ignored", "refused"] = "honoured"
    ties: Literal["stable", "shuffled"] = "stable"
    default_sort: tuple[str, Literal["asc", "desc"]] = ("created_at", "desc")
    resource_order: Literal["newest", "oldest", "id"] = "newest"

    arrivals_every: int | None = None
    late_arrivals_every: int | None = None
    late_at: datetime | float = 0.5
    expire_every: int | None = None

    cap: int | None = None
    cap_count: Literal["true", "capped"] = "true"
    beyond_cap: Literal["empty", "404", "400"] = "empty"
    page_out_of_range: Literal["404", "last", "empty"] = "404"
    empty_listing_pages: Literal[0, 1] = 1
    empty_page: int | None = None
    short_page: int | None = None
    hide: set[str] = field(default_factory=set)
    stale_rate: float = 0.0

    script: list[OneShot] = field(default_factory=list)
    error_rate: float = 0.0
    error_statuses: tuple[int, ...] = (500, 502, 503)
    retry_after: str | None = None
    rate_limit: tuple[int, float] | None = None
    most_in_flight: int | None = None
    latency: float = 0.0
    gzip: bool = False
    seed: int = 0

    def __setattr__(self, name: str, value: object) -> None:
        """Check the name and the value: a test with a misspelt switch would pass for the wrong reason."""
        if name not in _hints():
            raise AttributeError(f"Faults has no switch {name!r}")
        try:
            value = msgspec.convert(value, _hints()[name])
        except msgspec.ValidationError as error:
            raise ValueError(f"{name}: {error}") from None
        if check := _CHECKS.get(name):
            check(name, value)
        super().__setattr__(name, value)

    @classmethod
    def from_json(cls, switches: dict[str, Any]) -> Faults:
        """Return faults from a JSON object; other switches stay off.

        :raises ValueError: a switch or its value does not exist.
        """
        if not isinstance(switches, dict):
            raise ValueError("faults must be a JSON object")  # noqa: TRY004 - the JSON is wrong
        unknown = switches.keys() - {switch.name for switch in fields(cls)}
        if unknown:
            raise ValueError(f"unknown switches: {', '.join(sorted(unknown))}")
        return cls(**switches)


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Faults)


def _positive(name: str, value: Any) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{name}: must be at least 1, not {value}")


def _probability(name: str, value: Any) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: must be from 0 to 1, not {value}")


def _aware(name: str, value: Any) -> None:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name}: {value!r} has no time zone")
    else:
        _probability(name, value)


def _sort(name: str, value: tuple[str, str]) -> None:
    if value[0] not in SCALARS | {"serial"}:
        raise ValueError(f"{name}: cannot sort by {value[0]!r}")


_CHECKS = {
    "default_sort": _sort,
    "arrivals_every": _positive,
    "late_arrivals_every": _positive,
    "expire_every": _positive,
    "most_in_flight": _positive,
    "error_rate": _probability,
    "stale_rate": _probability,
    "broken_at": _probability,
    "late_at": _aware,
}
