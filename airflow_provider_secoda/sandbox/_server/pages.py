"""Pages of the two listings, with their faults."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_secoda.sandbox._server.query import BadQueryError, parse_filter, parse_sort
from airflow_provider_secoda.sandbox._workspace.index import Entry, Order
from airflow_provider_secoda.sandbox._workspace.schema import AuditLogsPage, PageMeta, ResourceLogsPage
from airflow_provider_secoda.sandbox._workspace.timestamps import UTC
from airflow_provider_secoda.sandbox._workspace.versions import Version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from airflow_provider_secoda.sandbox._faults import Faults
    from airflow_provider_secoda.sandbox._workspace.index import Index
    from airflow_provider_secoda.sandbox._workspace.workspace import Workspace

_MAX_STALE_CHANGES = 8
_MAX_DIGITS = 19


class RefusedError(Exception):
    """The page does not exist; the response has this status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def audit_logs(
    workspace: Workspace, faults: Faults, random: Random, params: Mapping[str, str], page_size: int
) -> AuditLogsPage:
    """Return a page of the audit logs. Hold the lock of the workspace.

    :param random: source of shuffles and stale pages.
    :param params: the query: ``filter``, ``sort``, ``page``; others are ignored.
    :raises BadQueryError: the filter or the sort is invalid, or refused by a fault.
    :raises RefusedError: the page does not exist.
    """
    order = _order(params.get("sort"), faults)
    index = _index(workspace, params.get("filter"), order)
    rows: Sequence[Entry] = index.rows
    if faults.stale_rate and random.random() < faults.stale_rate:
        changes = list(workspace.changes)[-random.randint(1, _MAX_STALE_CHANGES) :]
        rows = index.rows_before(changes)
    if faults.order == "broken" and "sort" in params:
        rows = _out_of_order(rows, faults)
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
    """Return a page of the logs and versions of a resource. Hold the lock of the workspace.

    :param params: the query: ``resource_id``, ``page``; others are ignored.
    :raises RefusedError: the resource or the page does not exist, or ``resource_id`` is missing.
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


def _index(workspace: Workspace, text: str | None, order: Order) -> Index:
    if text is None:
        return workspace.index(None, None, order)
    matches = parse_filter(text)
    return workspace.index(json.dumps(json.loads(text), sort_keys=True), matches, order)


def _meta(rows: int, shown: int, page: str, page_size: int, faults: Faults) -> PageMeta:
    """Return the position of a page in a listing of ``rows`` logs, of which ``shown`` are within the cap."""
    count = shown if faults.cap_count == "capped" else rows
    total_pages = -(-count // page_size) or faults.empty_listing_pages
    number = int(page) if page.isascii() and page.isdigit() and len(page) < _MAX_DIGITS else 0
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


def _out_of_order(rows: Sequence[Entry], faults: Faults) -> list[Entry]:
    """Return the rows with a few of them too late, so that the order is wrong in one place only."""
    at = int(len(rows) * faults.broken_at)
    until, back = at + faults.broken_logs, at + faults.broken_logs + faults.broken_by
    return [*rows[:at], *rows[until:back], *rows[at:until], *rows[back:]]


def _shuffled(index: Index, rows: Sequence[Entry], first: int, after: int, random: Random) -> list[Entry]:
    """Return rows ``first`` to ``after`` with ties shuffled, also those that reach beyond the page."""
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
