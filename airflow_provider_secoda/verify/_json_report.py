"""The result as JSON.

::

    {
      "verdict": "ok" | "findings" | "not_checked",   the same as exit_code 0, 1, 2
      "exit_code": 0,
      "checked_at": "2026-11-23T11:10:02Z",
      "version": "0.4.0",                             of this provider
      "paths": ["..."],                               as given
      "start": iso | null, "end": iso | null,         what the series had to cover
      "against_source": false,
      "totals": {"files": 3, "series": 1, "records": 870, "findings": 0, "notes": 0, "others": 0},
      "errors": ["..."],                              what could not be checked, and why
      "series": [{
        "connection_id": "...", "base_url": "...", "timestamp_field": "...", "filter": {...} | null, "format": "...",
        "start": iso | null, "end": iso | null, "windows": 3, "records": 870, "counts": {...}, "findings": [...]
      }],
      "files": [{
        "path": "...", "format": "...", "series": 0 | null,         place in "series"
        "window": {"start": iso, "end": iso} | null,
        "records": 290, "bytes": 335528 | null, "sha256": "..." | null,        as found; null: the file is missing
        "manifest": {"sha256": "...", "file_sha256": "..." | null, "count": 290 | null} | null,
        "compared_with_source": false, "error": "..." | null, "counts": {"altered": 1}, "findings": [...]
      }]
    }

``counts`` has all findings of each kind, ``findings`` the first of each: ``{"kind", "text", "position", "id", "at",
"created_at", "other"}``, of which all but the first two may be null. Kinds:

=================  ====================================================================================================
no_manifest        the file has none
file_missing       the manifest has no file
manifest           the manifest is cut, altered in its form, or of an unknown version
other_file         the manifest names another file
contradiction      the manifest contradicts itself, or was altered
early              the window was read before it ended, or before it had settled
bytes              the file's size or sha256 is not the one listed
reencoded          the file's sha256 is not the one listed, and all its records are
damaged            the file cannot be read to its end
altered            a record has other bytes than listed
removed            a listed record is not in the file; ``position`` is that in the manifest
added              a record is not listed
moved              a record stands in another place than listed
columns            a typed column of a Parquet file does not say what the record says
not_json           a record is no JSON object with an id
no_timestamp       a record has no usable timestamp
outside            a record's timestamp lies outside the window
order              a record stands behind a later one
twice              an id stands twice in the file
in_two_files       an id stands in two files of the series; ``other`` is the first
gap, overlap       of the windows of a series, from ``at`` on
edge               the asked start or end lies inside a window
beyond             (a note) there are windows outside the asked span
late               the API shows a log that the file lacks
changed            the API shows a log with other bytes
expired            (a note) the API does not show a log any more
=================  ====================================================================================================
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.client._api.timestamps import format_instant

if TYPE_CHECKING:
    from airflow_provider_secoda.verify._result import FileResult, Findings, Result, SeriesKey, SeriesResult


def as_json(result: Result) -> str:
    """Return the result as JSON text in ASCII, so that any name and any id can stand in it."""
    numbers = {series.key: number for number, series in enumerate(result.series)}
    return json.dumps(
        {
            "verdict": ("ok", "findings", "not_checked")[result.exit_code],
            "exit_code": result.exit_code,
            "checked_at": result.checked_at,
            "version": result.version,
            "paths": list(result.paths),
            "start": None if result.start is None else format_instant(result.start),
            "end": None if result.end is None else format_instant(result.end),
            "against_source": result.against_source,
            "totals": {
                "files": len(result.files),
                "series": len(result.series),
                "records": sum(file.records for file in result.files),
                "findings": result.findings,
                "notes": result.notes,
                "others": result.others,
            },
            "errors": result.errors,
            "series": [_series(series) for series in result.series],
            "files": [_file(file, numbers) for file in result.files],
        },
        indent=2,
    )


def _series(series: SeriesResult) -> dict[str, Any]:
    key, span = series.key, series.span
    return {
        "connection_id": key.connection_id,
        "base_url": key.base_url,
        "timestamp_field": key.timestamp_field,
        "filter": None if key.filter is None else json.loads(key.filter),
        "format": key.format,
        "start": None if span is None else format_instant(span.start),
        "end": None if span is None else format_instant(span.end),
        "windows": series.windows,
        "records": series.records,
        **_findings(series.findings),
    }


def _file(file: FileResult, numbers: dict[SeriesKey, int]) -> dict[str, Any]:
    window = file.window
    return {
        "path": file.path,
        "format": file.format,
        "series": None if file.series is None else numbers.get(file.series),
        "window": None
        if window is None
        else {"start": format_instant(window.start), "end": format_instant(window.end)},
        "records": file.records,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "manifest": None
        if file.manifest_sha256 is None
        else {"sha256": file.manifest_sha256, "file_sha256": file.stated_sha256, "count": file.stated_count},
        "compared_with_source": file.compared,
        "error": file.error,
        **_findings(file.findings),
    }


def _findings(findings: Findings) -> dict[str, Any]:
    return {"counts": dict(findings.counts), "findings": [asdict(finding) for finding in findings.kept]}
