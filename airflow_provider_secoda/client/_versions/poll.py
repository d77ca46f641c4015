"""Poll once for new version history entries of a resource.

The order of the entries is not documented. The first poll reads all pages and detects their order
(:mod:`.page_order`). If they are ordered, later polls read from the page with the newest entries to an entry that is
too old to be new: usually one request, two at most, however long the history is. If no order can be detected, every
poll reads all pages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from msgspec import structs

from airflow_provider_secoda.client._api.flow import Call, Flow, Response, once
from airflow_provider_secoda.client._versions.page_order import PageOrder, detect_order
from airflow_provider_secoda.client._versions.pages import MAX_READS, read_all_pages, read_pages, resource_logs_call
from airflow_provider_secoda.client.errors import SecodaIncompleteError, SecodaNotFoundError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.resource_log_page import VersionPage
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client._versions.history import Baseline, VersionEntry


@dataclass(frozen=True)
class Poll:
    """The result of one poll.

    :param entries: the new entries, oldest first
    :param page_order: to be passed to the next poll
    """

    entries: tuple[VersionEntry, ...]
    page_order: PageOrder


def poll_versions(resource_id: str, baseline: Baseline, page_order: PageOrder | None = None) -> Flow[Poll]:
    """Return the new entries of a resource: all that exist at one instant.

    :param page_order: what the last poll returned; without it all pages are read
    :raises SecodaConfigurationError: when the baseline names a version that the resource does not have
    :raises SecodaIncompleteError: when a page is missing, or the pages change in every read
    """
    number = 1 if page_order is None or page_order.newest_first else max(1, page_order.total_pages)
    try:
        first = yield from once(_first_call(resource_id, number, baseline, page_order))
    except SecodaNotFoundError:
        if number == 1:
            raise
        return (yield from _poll_all(resource_id, baseline))
    poll: Poll | None = None
    if page_order is not None:
        new_since = baseline.since if baseline.version_id is None else page_order.new_since
        if new_since is not None and first is None:
            poll = yield from _poll_old_page(resource_id, baseline, page_order, new_since)
        elif new_since is not None and page_order.newest_times:
            poll = yield from _poll_newest(resource_id, baseline, page_order, new_since, first)
    if poll is not None:
        return poll
    return (yield from _poll_all(resource_id, baseline, first if number == 1 else None))


def _first_call(resource_id: str, number: int, baseline: Baseline, page_order: PageOrder | None) -> Call:
    """Return the call for the page with the newest entries; it returns None for the same body as before.

    "Before" is the last poll that had no new entries, with the same page number and baseline.
    """
    call = resource_logs_call(resource_id, number, attempts=1)  # not retried, as the next poll repeats it

    def read(response: Response) -> VersionPage | None:
        digest = blake2b(b"%d\n%r\n%b" % (number, baseline, response.body), digest_size=12).hexdigest()
        if page_order is not None and digest == page_order.body_digest:
            return None
        page: VersionPage = call.read(response)
        return replace(page, digest=digest)

    return replace(call, read=read)


def _poll_all(resource_id: str, baseline: Baseline, first: VersionPage | None = None) -> Flow[Poll]:
    """Read all pages; when there are new entries on several pages, read them twice to return all new entries."""
    pages = yield from read_all_pages(resource_id, first=first)
    new_since = baseline.new_since(pages, resource_id)
    entries = baseline.new_entries(pages, new_since)
    if entries and len(pages) > 1:
        pages = yield from read_all_pages(resource_id, twice=True)
        entries = baseline.new_entries(pages, new_since)
    digest = "" if entries or len(pages) > 1 else pages[0].digest
    return Poll(entries, structs.replace(detect_order(pages, new_since), body_digest=digest))


def _poll_newest(
    resource_id: str, baseline: Baseline, page_order: PageOrder, new_since: Instant, first: VersionPage
) -> Flow[Poll | None]:
    """Read from the newest entries to one that is too old to be new; None when all pages must be read instead."""
    for _ in range(MAX_READS):
        newest = yield from _read_newest(resource_id, page_order, first, min(new_since, baseline.since))
        if newest is None:
            return None
        pages, updated = newest
        if len(pages) > 1:
            # An arrival or a deletion moves entries between pages; an entry may have been missed between two reads.
            again = yield from read_pages(resource_id, [page.number for page in pages])
            if again != pages:
                if again[0] is None:
                    return None
                first = again[0]
                continue
        entries = baseline.new_entries(pages, new_since)
        updated = structs.replace(updated, body_digest="" if entries or len(pages) > 1 else pages[0].digest)
        if not entries:
            return (yield from _poll_old_page(resource_id, baseline, updated, new_since))
        # With new entries, there may be more on the other pages, too.
        return None if _may_be_elsewhere(baseline, updated) else Poll(entries, updated)
    raise SecodaIncompleteError(f"the logs of resource {resource_id} changed in each of {MAX_READS} reads")


def _read_newest(
    resource_id: str, page_order: PageOrder, first: VersionPage, instant: Instant
) -> Flow[tuple[list[VersionPage], PageOrder] | None]:
    """Return the pages from the newest entries to one older than an instant, and the updated order.

    None when a page is missing or the pages contradict the order.
    """
    pages = [first]
    while not page_order.newest_first and pages[-1].number < pages[-1].total_pages:
        (page_after,) = yield from read_pages(resource_id, (pages[-1].number + 1,))
        if page_after is None:
            return None
        pages.append(page_after)
    updated = page_order.updated(pages[-1] if not page_order.newest_first else pages[0])
    oldest = pages[0]
    while updated is not None and not updated.has_older(oldest, instant):
        number = oldest.number + (1 if page_order.newest_first else -1)
        if not 1 <= number <= oldest.total_pages:
            break
        (older,) = yield from read_pages(resource_id, (number,))
        if older is None:
            return None
        pages.append(older)
        oldest = older
    return None if updated is None else (pages, updated)


def _may_be_elsewhere(baseline: Baseline, page_order: PageOrder) -> bool:
    """Return whether a new entry may be on another page than the one with the newest entries.

    Activity moves an old version there only if the pages are sorted by the latest activity. Where logs without a
    version show the order, versions may be listed apart from them.
    """
    if page_order.total_pages <= 1:
        return False
    by_activity = page_order.newest_times.keys() == {"latest"}
    return not page_order.shown_by_versions or (baseline.match == "any_activity" and not by_activity)


def _poll_old_page(resource_id: str, baseline: Baseline, page_order: PageOrder, new_since: Instant) -> Flow[Poll]:
    """Return a poll without new entries; where there may be one on another page, read one more page first.

    Each poll reads the next page. So an entry on any page is found after at most as many polls as there are pages.
    """
    if not _may_be_elsewhere(baseline, page_order):
        return Poll((), page_order)
    number = page_order.last_old_page % page_order.total_pages + 1
    if number == (1 if page_order.newest_first else page_order.total_pages):
        number = number % page_order.total_pages + 1
    (page,) = yield from read_pages(resource_id, (number,))
    if page is None or any(baseline.is_new(version, new_since) for version in page.versions):
        return (yield from _poll_all(resource_id, baseline))
    return Poll((), structs.replace(page_order, last_old_page=number))
