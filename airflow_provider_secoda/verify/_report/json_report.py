"""The result as JSON; the docstring of the package describes it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.client._api.timestamps import format_instant

if TYPE_CHECKING:
    from airflow_provider_secoda.verify._result import FileResult, Findings, Result, SeriesKey, SeriesResult


def as_json(result: Result) -> str:
    """Return the result as JSON in ASCII, which can contain any name and any id."""
    numbers = {series.key: number for number, series in enumerate(result.series)}
    return json.dumps(
        {
            "status": result.status,
            "exit_code": result.exit_code,
            "checked_at": result.checked_at,
            "provider_version": result.provider_version,
            "paths": list(result.paths),
            "start": _timestamp(result.start),
            "end": _timestamp(result.end),
            "against_source": result.against_source,
            "totals": {
                "files": len(result.files),
                "series": len(result.series),
                "records": result.records,
                "findings": result.finding_count,
                "notes": result.note_count,
                "other_files": result.other_files,
            },
            "errors": result.errors,
            "series": [_series(series) for series in result.series],
            "files": [_file(file, numbers) for file in result.files],
        },
        indent=2,
    )


def _series(series: SeriesResult) -> dict[str, Any]:
    start, end = (None, None) if series.span is None else series.span.edges
    return {
        **asdict(series.key),
        "filter": None if series.key.filter is None else json.loads(series.key.filter),
        "start": start,
        "end": end,
        "windows": series.windows,
        "records": series.records,
        **_findings(series.findings),
    }


def _file(file: FileResult, numbers: dict[SeriesKey, int]) -> dict[str, Any]:
    window, manifest = None, None
    if file.window is not None:
        window = dict(zip(("start", "end"), file.window.edges, strict=True))
    if file.manifest_sha256 is not None:
        manifest = {
            "sha256": file.manifest_sha256,
            "file_sha256": file.recorded_sha256,
            "count": file.recorded_count,
        }
    return {
        "path": file.path,
        "format": file.format,
        "series": None if file.series is None else numbers.get(file.series),
        "window": window,
        "records": file.records,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "manifest": manifest,
        "compared_with_source": file.compared,
        "error": file.error,
        **_findings(file.findings),
    }


def _findings(findings: Findings) -> dict[str, Any]:
    return {"counts": dict(findings.counts), "findings": [asdict(finding) for finding in findings.listed]}


def _timestamp(at: int | None) -> str | None:
    return None if at is None else format_instant(at)
