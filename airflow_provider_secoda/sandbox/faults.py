"""What can go wrong with a listing, and what the reference leaves open: each a switch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeAlias, get_type_hints

import msgspec

from airflow_provider_secoda.sandbox.index import SCALARS

OneShot: TypeAlias = int | str | tuple[str, int, dict[str, str]]
_DATE_MEANINGS = frozenset({"ge", "gt", "le", "lt", "ge_day", "lt_day", "all", "none"})


@dataclass
class Faults:
    """Switches of a sandbox; without arguments a well-behaved server. Setting one that does not exist raises.

    **Order**

    :param order: what becomes of ``sort``: ``ignored`` (the default order is used), ``refused`` (400),
        ``reversed``, ``broken`` (honoured, but ``broken_logs`` logs at the fraction ``broken_at`` of the
        listing stand ``broken_by`` places too late).
    :param tie_breaker: what becomes of ``sort``'s ``tie_breaker``.
    :param ties: logs that no sort key tells apart stay as inserted, or are shuffled anew for each request.
    :param default_sort: (field, ``asc`` or ``desc``) when no sort is asked for; field ``serial`` is insertion
        order.
    :param resource_order: the order of resource logs, which the reference does not say.
    :param date_operators: name of an operator that ``filter`` then takes, and what it does: ``ge``, ``gt``,
        ``le``, ``lt``, or something wrong: ``ge_day`` and ``lt_day`` (compare the day only), ``all``,
        ``none``; with a suffix such as ``ge:created_at`` it looks at that field whatever the filter says.

    **Movement**, before every n-th audit-log request that is served

    :param arrivals_every: a new log arrives at the head (at the present, or just after the newest log if
        later).
    :param late_arrivals_every: a log arrives whose ``logged_at`` is ``late_at``: an aware datetime, or a
        fraction of the time from the oldest to the newest log. Its ``created_at`` is that of an arrival at
        the head.
    :param expire_every: the log with the oldest ``logged_at`` vanishes.

    **Missing logs**

    :param cap: no more than so many logs are shown over all pages.
    :param cap_count: whether ``count`` and ``total_pages`` show the true number or the capped one.
    :param beyond_cap: how a page is answered that exists but lies beyond the cap.
    :param page_out_of_range: how a page is answered that does not exist; ``last`` repeats the last page.
    :param empty_listing_pages: ``total_pages`` of a listing without logs.
    :param empty_page: this page number comes without logs.
    :param short_page: this page number lacks its last log.
    :param hide: ids of logs that are counted but never shown.
    :param stale_rate: probability that a page shows the listing as it was a few changes ago.

    **Answers**

    :param script: what happens to the next requests, one each, whoever asks: a status (429, 500, …);
        ``("status", code, headers)``; ``cut`` (the connection closes amid the body); ``html`` (a login page
        with status 200); ``reset`` (the connection closes without an answer); ``slow:SECONDS``;
        ``redirect:URL``; ``json:TEXT`` (that body with status 200).
    :param error_rate: probability of an answer out of ``error_statuses``.
    :param retry_after: ``Retry-After`` of those answers, in seconds or as an HTTP date.
    :param rate_limit: (requests, seconds): more requests than that in any such span answer 429 with
        ``Retry-After``.
    :param most_in_flight: more requests than that at the same time answer 429 with ``Retry-After: 1``; hardly two
        meet without ``latency``.
    :param latency: seconds that each answer takes.
    :param gzip: compress answers for those who accept it.
    :param seed: of the shuffles and probabilities; they start anew when the faults are replaced.
    """

    order: Literal["honoured", "ignored", "refused", "reversed", "broken"] = "honoured"
    broken_at: float = 0.5
    broken_logs: int = 3
    broken_by: int = 150
    tie_breaker: Literal["honoured", "ignored", "refused"] = "honoured"
    ties: Literal["stable", "shuffled"] = "stable"
    default_sort: tuple[str, Literal["asc", "desc"]] = ("created_at", "desc")
    resource_order: Literal["newest", "oldest", "id"] = "newest"
    date_operators: dict[str, str] = field(default_factory=dict)

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
        """Refuse a misspelt switch: a test that sets one would otherwise pass for the wrong reason."""
        if name not in _hints():
            raise AttributeError(f"Faults has no switch {name!r}")
        try:
            value = msgspec.convert(value, _hints()[name])
        except msgspec.ValidationError as error:
            raise ValueError(f"{name}: {error}") from None
        _CHECKS.get(name, _anything)(name, value)
        super().__setattr__(name, value)

    @classmethod
    def of(cls, switches: dict[str, Any]) -> Faults:
        """Return faults from a JSON object; switches not named stay off.

        :raises ValueError: a switch or its value does not exist.
        """
        if not isinstance(switches, dict):
            raise ValueError("faults are not an object")  # noqa: TRY004 - it came as JSON
        unknown = switches.keys() - {switch.name for switch in fields(cls)}
        if unknown:
            raise ValueError(f"unknown switches: {', '.join(sorted(unknown))}")
        return cls(**switches)


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Faults)


def _anything(name: str, value: Any) -> None:
    """Accept what its type accepts."""


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


def _meanings(name: str, value: dict[str, str]) -> None:
    unknown = {meaning for meaning in value.values() if meaning.partition(":")[0] not in _DATE_MEANINGS}
    if unknown:
        raise ValueError(f"{name}: unknown {sorted(unknown)}, known are {sorted(_DATE_MEANINGS)}")


def _sort(name: str, value: tuple[str, str]) -> None:
    if value[0] not in SCALARS | {"serial"}:
        raise ValueError(f"{name}: logs cannot be sorted by {value[0]!r}")


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
    "date_operators": _meanings,
}
