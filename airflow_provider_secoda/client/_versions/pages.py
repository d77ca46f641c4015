"""Read all version histories of a resource, in any order of the pages.

Neither the order of the entries nor the meaning of ``count`` is documented. So a read is complete when no page is empty
and the first and the last page are unchanged when they are read again after the others.
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
#: Far more than one resource has; a server that announces more is in error.
MAX_PAGES = 100_000


def resource_logs_call(resource_id: str, number: int, attempts: int | None = None) -> Call:
    """Return the call that reads one page of a resource's logs."""
    params = (("resource_id", resource_id), ("page", str(number)))
    return Call(Request(RESOURCE_LOGS_PATH, params), partial(read_resource_logs, number=number), attempts)


def read_version_histories(resource_id: str) -> Flow[list[bytes]]:
    """Return every version history of a resource, each once, as sent, in the order of the pages.

    :raises SecodaIncompleteError: when a page is missing, or the pages change in every read
    """
    pages = yield from read_all_pages(resource_id, twice=True)
    return list({version.id: version.raw for page in pages for version in page.versions}.values())


def read_all_pages(
    resource_id: str, *, twice: bool = False, first: VersionPage | None = None
) -> Flow[list[VersionPage]]:
    """Return all pages of a resource's logs.

    If there are several, the first and the last page are read again after the others. That detects an arrival on any
    page, but not an arrival and a deletion between the two, which cancel each other out there.

    :param twice: read all pages again instead; the result is then what all pages had at one instant
    :param first: page 1, if it was read just now
    :raises SecodaIncompleteError: when a page is missing, or the pages change in every read
    """
    if first is None:
        first = yield from once(resource_logs_call(resource_id, 1))
    for _ in range(MAX_READS):
        if first.total_pages > MAX_PAGES:
            raise SecodaIncompleteError(
                f"resource {resource_id}: total_pages is {first.total_pages}, above {MAX_PAGES}"
            )
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
        + (f"lack page {missing} of {len(pages)}" if missing else f"changed in each of {MAX_READS} reads")
    )


def read_pages(resource_id: str, numbers: Sequence[int]) -> Flow[list[VersionPage | None]]:
    """Return pages, read concurrently; None for a page that is missing, which may happen after a deletion."""
    outcomes = yield from several([resource_logs_call(resource_id, number) for number in numbers])
    return [_page_or_none(outcome, number) for outcome, number in zip(outcomes, numbers, strict=True)]


def _page_or_none(outcome: Any, number: int) -> VersionPage | None:
    if isinstance(outcome, SecodaNotFoundError) and number > 1:
        return None
    if isinstance(outcome, SecodaError):
        raise outcome
    page: VersionPage = outcome
    return None if page.empty else page
