"""Compare what was checked with what the report before covers: what was removed or replaced since then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.timestamps import parse_optional_instant
from airflow_provider_secoda.verify._reports.covered import add_change, add_removed
from airflow_provider_secoda.verify._reports.document import store_of
from airflow_provider_secoda.verify._reports.reading import read_report
from airflow_provider_secoda.verify._result import Changes, Findings

if TYPE_CHECKING:
    from airflow_provider_secoda.verify._reports.document import Previous
    from airflow_provider_secoda.verify._reports.reading import Cover
    from airflow_provider_secoda.verify._result import Result

_MAX_LISTED = 100


def changes_since(previous: Previous, path: str, result: Result) -> Changes:
    """Return what was removed or replaced since a report, of the folders and the span that were checked now.

    :param path: path or URL of the JSON file of the report
    :raises UnreadableError: it cannot be read
    """
    findings = Findings(_MAX_LISTED)
    stored = read_report(path, None, findings)
    if stored is None or stored.members is None:
        return Changes(previous.sequence, findings)
    checked = {folder.rstrip("/") or "/" for folder in result.paths}
    files = {store_of(file, result.paths): file for file in result.files}
    for cover in stored.members.covers:
        store = stored.members.stores[cover.store]
        file = files.get((store, cover.path))
        name = f"{store.rstrip('/')}/{cover.path}"
        if not _is_in_span(cover, result) or (file is None and store not in checked):
            continue
        if file is None or (file.manifest_sha256 is None and file.error is None):
            add_removed(name, previous.sequence, findings)
        elif file.manifest_sha256 not in (None, cover.manifest_sha256):
            before = [(previous.sequence, previous.sequence, cover.manifest_sha256)]
            add_change(name, f"after report {previous.sequence}", str(file.manifest_sha256), before, findings)
    return Changes(previous.sequence, findings)


def _is_in_span(cover: Cover, result: Result) -> bool:
    start, end = parse_optional_instant(cover.start), parse_optional_instant(cover.end)
    if start is None or end is None:
        return True
    return (result.start is None or end > result.start) and (result.end is None or start < result.end)
