"""One page of a listing: which logs it shows and what it says about itself, under the faults set."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_secoda.sandbox.index import Entry, Order
from airflow_provider_secoda.sandbox.query import BadQueryError, parse_filter, parse_sort
from airflow_provider_secoda.sandbox.schema import AuditLogsPage, PageMeta, ResourceLogsPage
from airflow_provider_secoda.sandbox.timestamps import UTC
from airflow_provider_secoda.sandbox.versions import Version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from airflow_provider_secoda.sandbox.faults import Faults
    from airflow_provider_secoda.sandbox.index import Index
    from airflow_provider_secoda.sandbox.workspace import Workspace

_STALE_BY = 8
_LONGEST_NUMBER = 19


class RefusedError(Exception):
    """The listing has no such page; answered with this status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def audit_logs(
    workspace: Workspace, faults: Faults, random: Random, params: Mapping[str, str], page_size: int
) -> AuditLogsPage:
    """Return a page of the audit logs. Hold the workspace's lock.

    :param random: decides about shuffles and stale pages.
    :param params: the query: ``filter``, ``sort``, ``page``; others are ignored.
    :raises BadQueryError: the filter or the sort cannot be understood, or faults refuse it.
    :raises RefusedError: there is no such page.
    """
    order = _order(params.get("sort"), faults)
    index = _index(workspace, params.get("filter"), faults, order)
    rows: Sequence[Entry] = index.rows
    if faults.stale_rate and random.random() < faults.stale_rate:
        changes = list(workspace.changes)[-random.randint(1, _STALE_BY) :]
        rows = index.rewound(changes)
    if faults.order == "broken" and "sort" in params:
        rows = _broken(rows, faults)
    shown = len(rows) if faults.cap is None else min(faults.cap, len(rows))
    meta = _meta(len(rows), shown, params.get("page", "1"), page_size, faults)
    first = (meta.page - 1) * page_size
    after = min(first + page_size, shown)
    entries = list(rows[first:after])
    if faults.ties == "shuffled":
        entries = _shuffled(index, rows, first, after, random)
    if meta.page == faults.empty_page:
        entries = []
    if meta.page == faults.short_page:
        entries = entries[:-1]
    results = [msgspec.Raw(entry.raw) for entry in entries if entry.id not in faults.hide]
    return AuditLogsPage(results, meta.total_pages, meta.count, meta)


def resource_logs(workspace: Workspace, faults: Faults, params: Mapping[str, str], page_size: int) -> ResourceLogsPage:
    """Return a page of one resource's logs and versions, paged together. Hold the workspace's lock.

    :param params: the query: ``resource_id``, ``page``; others are ignored.
    :raises RefusedError: there is no such resource or page, or no resource is named.
    """
    if "resource_id" not in params:
        raise RefusedError(422, "resource_id is required")
    history = workspace.histories.get(params["resource_id"])
    if history is None:
        raise RefusedError(404, "Not found")
    items: list[tuple[int, str, Entry | Version]] = [(log.logged_at, log.id, log) for log in history.logs]
    items += [(version.latest, version.id, version) for version in history.versions.values()]
    by_id = faults.resource_order == "id"
    items.sort(key=lambda item: item[1] if by_id else item[:2], reverse=faults.resource_order == "newest")
    meta = _meta(len(items), len(items), params.get("page", "1"), page_size, faults)
    page = [item for _, _, item in items[(meta.page - 1) * page_size : meta.page * page_size]]
    now = datetime.now(UTC)
    return ResourceLogsPage(
        [msgspec.Raw(item.raw) for item in page if isinstance(item, Entry)],
        [item.document(now) for item in page if isinstance(item, Version)],
        meta.total_pages,
        meta.count,
        meta,
    )


def _order(text: str | None, faults: Faults) -> Order:
    field, direction = faults.default_sort
    default = Order(((field, direction == "desc"),))
    if text is None:
        return default
    order = parse_sort(text)
    if faults.order == "refused":
        raise BadQueryError("sort is not supported")
    if faults.order == "ignored":
        return default
    if len(order.keys) > 1 and faults.tie_breaker != "honoured":
        if faults.tie_breaker == "refused":
            raise BadQueryError("tie_breaker is not supported")
        order = Order(order.keys[:1])
    if faults.order == "reversed":
        order = Order(tuple((name, not descending) for name, descending in order.keys))
    return order


def _index(workspace: Workspace, text: str | None, faults: Faults, order: Order) -> Index:
    if text is None:
        return workspace.index(None, None, order)
    keep = parse_filter(text, faults.date_operators)
    key = json.dumps(json.loads(text), sort_keys=True), tuple(sorted(faults.date_operators.items()))
    return workspace.index(key, keep, order)


def _meta(rows: int, shown: int, page: str, page_size: int, faults: Faults) -> PageMeta:
    """Return where a page stands in a listing of so many ``rows``, of which only ``shown`` can be reached."""
    count = shown if faults.cap_count == "capped" else rows
    total_pages = -(-count // page_size) or faults.empty_listing_pages
    number = int(page) if page.isascii() and page.isdigit() and len(page) < _LONGEST_NUMBER else 0
    if number < 1:
        raise RefusedError(404, "Invalid page.")
    if shown <= (number - 1) * page_size < rows:
        if faults.beyond_cap != "empty":
            raise RefusedError(int(faults.beyond_cap), f"cannot go beyond {shown} results")
    elif number > max(total_pages, 1):
        if faults.page_out_of_range == "404":
            raise RefusedError(404, "Invalid page.")
        if faults.page_out_of_range == "last":
            number = max(total_pages, 1)
    return PageMeta(
        page=number,
        previous_page=number - 1 if number > 1 else None,
        next_page=number + 1 if number < total_pages else None,
        count=count,
        total_pages=total_pages,
    )


def _broken(rows: Sequence[Entry], faults: Faults) -> list[Entry]:
    """Return the rows with a few of them too late, so that the order fails in one place only."""
    at = int(len(rows) * faults.broken_at)
    until, back = at + faults.broken_logs, at + faults.broken_logs + faults.broken_by
    return [*rows[:at], *rows[until:back], *rows[at:until], *rows[back:]]


def _shuffled(index: Index, rows: Sequence[Entry], first: int, after: int, random: Random) -> list[Entry]:
    """Return rows ``first`` to ``after`` of a listing whose ties, also across its edges, lie at random."""
    if first >= after:
        return []
    head, _ = index.ties(rows, first)
    _, tail = index.ties(rows, after - 1)
    shuffled: list[Entry] = []
    at = head
    while at < tail:
        _, end = index.ties(rows, at)
        group = list(rows[at:end])
        random.shuffle(group)
        shuffled += group
        at = end
    return shuffled[first - head : after - head]
