"""Read a resource's version histories: all of them, whatever order the pages come in.

The order of the entries is not documented and neither is what ``count`` counts, so completeness is shown by
reading: every page shows something, and the first and the last page, read again after the others, are what they were.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.client._api.flow import Call, Flow, Request, once, several
from airflow_provider_secoda.client._api.resource_log_page import VersionPage, read_resource_logs
from airflow_provider_secoda.client.errors import SecodaError, SecodaIncompleteError, SecodaNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

RESOURCE_LOGS_PATH = "/api/v1/activity_log/resource_logs/"
MAX_READS = 6
#: Far more than one resource has; a server that announces more is not to be believed.
MAX_PAGES = 100_000


def resource_logs_call(resource_id: str, number: int, attempts: int | None = None) -> Call:
    """Return the call that reads one page of a resource's logs."""
    params = (("resource_id", resource_id), ("page", str(number)))
    return Call(Request(RESOURCE_LOGS_PATH, params), partial(read_resource_logs, number=number), attempts)


def read_version_histories(resource_id: str) -> Flow[list[bytes]]:
    """Return every version history that the API shows for a resource, each once, as sent, in the order shown.

    :raises SecodaIncompleteError: when a page is not shown, or the pages never hold still
    """
    pages = yield from read_all_pages(resource_id, twice=True)
    return list({version.id: version.raw for page in pages for version in page.versions}.values())


def read_all_pages(
    resource_id: str, *, twice: bool = False, first: VersionPage | None = None
) -> Flow[list[VersionPage]]:
    """Return all pages of a resource's logs.

    Where there are several, the first and the last are read again after the others: that shows arrivals anywhere. An
    arrival and a deletion between them cancel out there.

    :param twice: read all pages again instead: what they show, they showed in one instant
    :param first: page 1, when it was read just now
    :raises SecodaIncompleteError: when a page is not shown, or the pages never hold still
    """
    if first is None:
        first = yield from once(resource_logs_call(resource_id, 1))
    for _ in range(MAX_READS):
        if first.total_pages > MAX_PAGES:
            raise SecodaIncompleteError(f"resource {resource_id} has {first.total_pages} pages, it is said")
        if first.total_pages <= 1:
            return [first]
        pages: list[VersionPage | None] = [first]
        pages += yield from read_pages(resource_id, range(2, first.total_pages + 1))
        numbers = range(1, len(pages) + 1) if twice else (1, len(pages))
        again = yield from read_pages(resource_id, numbers)
        if None not in pages and again == [pages[number - 1] for number in numbers]:
            return [page for page in pages if page is not None]
        first = again[0] or first
    missing = pages.index(None) + 1 if None in pages else 0
    raise SecodaIncompleteError(
        f"the logs of resource {resource_id} "
        + (f"lack page {missing} of {len(pages)}" if missing else f"never held still in {MAX_READS} reads")
    )


def read_pages(resource_id: str, numbers: Sequence[int]) -> Flow[list[VersionPage | None]]:
    """Read pages side by side; None stands for one that is not shown, which it may be after a change."""
    outcomes = yield from several([resource_logs_call(resource_id, number) for number in numbers])
    return [_shown(outcome, number) for outcome, number in zip(outcomes, numbers, strict=True)]


def _shown(outcome: Any, number: int) -> VersionPage | None:
    if isinstance(outcome, SecodaNotFoundError) and number > 1:
        return None
    if isinstance(outcome, SecodaError):
        raise outcome
    page: VersionPage = outcome
    return None if page.empty else page
