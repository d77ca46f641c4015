"""Look once whether a resource has new version history entries.

The order of the entries is not documented. The first look reads all pages and learns from them (:mod:`.order`). Where
they turn out to be ordered, later looks read the newest end only, down to a witness that is too old to count: one
request as a rule, two at most, whatever the length of the history. Where no order can be shown, every look reads all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.flow import Call, Flow, Response, once
from airflow_provider_secoda.client._api.resource_log_page import VersionPage
from airflow_provider_secoda.client._versions.page_order import PageOrder, learn
from airflow_provider_secoda.client._versions.pages import MAX_READS, read_all_pages, read_pages, resource_logs_call
from airflow_provider_secoda.client.errors import SecodaIncompleteError, SecodaNotFoundError

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.timestamps import Instant
    from airflow_provider_secoda.client._versions.history import Baseline, VersionEntry

#: A look is repeated at the next interval anyhow, so its first request is sent once.
FIRST_ATTEMPTS = 1


@dataclass(frozen=True)
class Poll:
    """What one look brought: the entries that count, oldest first, and what to hand to the next look."""

    entries: tuple[VersionEntry, ...]
    learned: PageOrder


def poll_versions(resource_id: str, baseline: Baseline, learned: PageOrder | None = None) -> Flow[Poll]:
    """Return the entries of a resource that count, all that there are at one instant.

    :param learned: what the last look returned; without it all pages are read
    :raises SecodaConfigurationError: when the baseline names a version that the resource does not have
    :raises SecodaIncompleteError: when a page is not shown, or the pages never hold still
    """
    number = 1 if learned is None or learned.newest_first else max(1, learned.pages)
    try:
        first = yield from once(_first_call(resource_id, number, baseline, learned))
    except SecodaNotFoundError:
        if number == 1:
            raise
        return (yield from _poll_all(resource_id, baseline))
    if learned is not None and not isinstance(first, VersionPage):
        return (yield from _poll_unchanged(resource_id, baseline, learned))
    if learned is not None and learned.newest and (baseline.version_id is None or learned.floor is not None):
        poll = yield from _poll_end(resource_id, baseline, learned, first)
        if poll is not None:
            return poll
    return (yield from _poll_all(resource_id, baseline, first if number == 1 else None))


def _first_call(resource_id: str, number: int, baseline: Baseline, learned: PageOrder | None) -> Call:
    """Return the call for the newest end, which gives None when that is, to the byte, what brought nothing before."""
    call = resource_logs_call(resource_id, number, FIRST_ATTEMPTS)

    def read(response: Response) -> VersionPage | None:
        digest = blake2b(b"%d\n%r\n%b" % (number, baseline, response.body), digest_size=12).hexdigest()
        if learned is not None and digest == learned.digest:
            return None
        page: VersionPage = call.read(response)
        return replace(page, digest=digest)

    return replace(call, read=read)


def _poll_unchanged(resource_id: str, baseline: Baseline, learned: PageOrder) -> Flow[Poll]:
    if _hides_growth(baseline, learned):
        return (yield from _look_in_passing(resource_id, baseline, learned, _floor(baseline, learned)))
    return Poll((), learned)


def _floor(baseline: Baseline, learned: PageOrder) -> Instant:
    return baseline.since if baseline.version_id is None or learned.floor is None else learned.floor


def _poll_all(resource_id: str, baseline: Baseline, first: VersionPage | None = None) -> Flow[Poll]:
    """Read all pages; when something counts, once more, to list all that does."""
    pages = yield from read_all_pages(resource_id, first=first)
    floor = baseline.floor(pages, resource_id)
    entries = baseline.entries(pages, floor)
    if entries and len(pages) > 1:
        pages = yield from read_all_pages(resource_id, twice=True)
        entries = baseline.entries(pages, floor)
    learned = learn(pages, floor)
    return Poll(entries, replace(learned, digest="" if entries or len(pages) > 1 else pages[0].digest))


def _poll_end(resource_id: str, baseline: Baseline, learned: PageOrder, first: VersionPage) -> Flow[Poll | None]:
    """Read from the newest end to a witness; return None when everything has to be read instead."""
    floor = _floor(baseline, learned)
    for _ in range(MAX_READS):
        end = yield from _read_end(resource_id, learned, first, min(floor, baseline.since))
        if end is None:
            return None
        pages, kept = end
        if len(pages) > 1:
            # What comes or goes above a page moves the next ones; then an entry may have been missed between two.
            again = yield from read_pages(resource_id, [page.number for page in pages])
            if again != pages:
                if again[0] is None:
                    return None
                first = again[0]
                continue
        entries = baseline.entries(pages, floor)
        kept = replace(kept, digest="" if entries or len(pages) > 1 else pages[0].digest)
        if not _hides_growth(baseline, kept):
            return Poll(entries, kept)
        if entries:
            return None  # others may count, too, deeper down
        return (yield from _look_in_passing(resource_id, baseline, kept, floor))
    raise SecodaIncompleteError(f"the logs of resource {resource_id} never held still in {MAX_READS} reads")


def _read_end(
    resource_id: str, learned: PageOrder, first: VersionPage, moment: Instant
) -> Flow[tuple[list[VersionPage], PageOrder] | None]:
    """Return the pages from the newest end to a witness from before a moment, and what still holds of the order."""
    pages = [first]
    while not learned.newest_first and pages[-1].number < pages[-1].total_pages:
        (page_after,) = yield from read_pages(resource_id, (pages[-1].number + 1,))
        if page_after is None:
            return None
        pages.append(page_after)
    kept = learned.fits(pages[-1] if not learned.newest_first else pages[0])
    deepest = pages[0]
    while kept is not None and not kept.reaches(deepest, moment):
        number = deepest.number + (1 if learned.newest_first else -1)
        if not 1 <= number <= deepest.total_pages:
            break
        (deeper,) = yield from read_pages(resource_id, (number,))
        if deeper is None:
            return None
        pages.append(deeper)
        deepest = deeper
    return None if kept is None else (pages, kept)


def _hides_growth(baseline: Baseline, learned: PageOrder) -> bool:
    """Return whether an old version could grow without coming to the newest end, as the pages may be by creation."""
    return baseline.match == "any_activity" and "created" in learned.newest and learned.pages > 1


def _look_in_passing(resource_id: str, baseline: Baseline, learned: PageOrder, floor: Instant) -> Flow[Poll]:
    """Read one more page, another each time, so that an old version that grew is found within a round."""
    turn = learned.turn % learned.pages + 1
    if turn == (1 if learned.newest_first else learned.pages):
        turn = turn % learned.pages + 1
    (page,) = yield from read_pages(resource_id, (turn,))
    if page is None or any(baseline.counts(version, floor) for version in page.versions):
        return (yield from _poll_all(resource_id, baseline))
    return Poll((), replace(learned, turn=turn))
