"""The result as plain text for an auditor, in lines of at most 120 columns, and as JSON."""

from __future__ import annotations

import json
import os
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._storage.window_files import split_window_file
from airflow_provider_secoda.client._api.timestamps import format_instant
from airflow_provider_secoda.verify._messages import escape, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_secoda.verify._result import FileResult, Findings, Result, SeriesKey, SeriesResult

_WIDTH = 120
_DIGITS = 16
_PATH_CHARACTERS = 1000
_ROW = "  {:<21} {:<21} {:>11}  {:<16}  {}"


def as_lines(result: Result) -> Iterator[str]:
    """Yield the lines of the report; none is longer than 120 characters."""
    yield "Secoda audit logs, checked against their manifests" + (" and the API" if result.against_source else "")
    for path in result.paths:
        yield from wrap(escape(path, _PATH_CHARACTERS), "  ")
    requested = [(name, edge) for name, edge in (("from", result.start), ("until", result.end)) if edge is not None]
    if requested:
        yield f"  requested span: {' '.join(f'{name} {format_instant(edge)}' for name, edge in requested)}"
    for key in result.public_keys or ():
        yield f"  signatures by key {key}"
    directory = _common_directory([file.path for file in result.files])
    if directory and [directory] != [f"{path.rstrip('/')}/" for path in result.paths]:
        yield from wrap(f"directory of the files: {escape(directory, _PATH_CHARACTERS)}", "  ")
    for number, series in enumerate(result.series, 1):
        yield ""
        yield from _series_lines(number, series)
        yield from _file_lines([file for file in result.files if file.series == series.key], directory)
    rest = [file for file in result.files if file.series is None]
    if rest:
        yield ""
        yield "Files of no known series"
        yield from _file_lines(rest, directory)
    if result.changes is not None and result.changes.findings.listed:
        yield ""
        yield f"Since report {result.changes.report}"
        yield from findings_as_lines(result.changes.findings)
    yield ""
    for error in result.errors:
        yield from wrap(f"NOT CHECKED  {error}", "", "             ")
    yield from _summary(result)


def _series_lines(number: int, series: SeriesResult) -> Iterator[str]:
    key = series.key
    about = f"{escape(key.connection_id)}, {escape(key.base_url)}, by {key.timestamp_field}, {escape(key.format)}"
    about += ", no filter" if key.filter is None else f", filter {escape(key.filter)}"
    about += "" if key.dag_id is None else f", DAG {escape(key.dag_id)}"
    yield from wrap(f"Series {number}: {about}", "", "          ")
    if series.span is not None:
        counts = series.findings.counts
        edges = [f"no {kind}" if not counts[kind] else plural(counts[kind], kind) for kind in ("gap", "overlap")]
        span = "from {} until {}".format(*series.span.edges)
        size = f"{plural(series.windows, 'window')}, {plural(series.records, 'record')}"
        yield from wrap(f"{span}, {size}, {', '.join(edges)}", "  ")
    yield from findings_as_lines(series.findings)


def _file_lines(files: list[FileResult], directory: str) -> Iterator[str]:
    yield _ROW.format("from", "until", "records", "manifest sha256", "result, file").rstrip()
    for file in sorted(files, key=lambda file: (file.window.start if file.window else 0, split_window_file(file.path))):
        start, end = ("-", "-") if file.window is None else file.window.edges
        digest = (file.manifest_sha256 or "-")[:_DIGITS]
        row = _ROW.format(start, end, f"{file.records:,}" if file.exists else "-", digest, "")
        name = escape(file.path.removeprefix(directory), _PATH_CHARACTERS)
        line = f"{row}{_file_status(file):<11}  {name}"
        if len(line) <= _WIDTH:
            yield line
        else:
            yield f"{row}{_file_status(file)}"
            yield from wrap(name, " " * 6)
        yield from findings_as_lines(file.findings)


def _common_directory(paths: list[str]) -> str:
    """Return the directory that contains all files, with a slash at its end, or an empty string."""
    directory, slash, _ = os.path.commonprefix(paths).rpartition("/")  # noqa: RUF071 - up to the last slash it is a path
    return directory + slash


def _file_status(file: FileResult) -> str:
    if file.error is not None:
        return "NOT CHECKED"
    if not file.findings.error_count:
        return "OK"
    return plural(file.findings.error_count, "FINDING", "FINDINGS")


def findings_as_lines(findings: Findings) -> Iterator[str]:
    """Yield the lines of the findings, each with its kind."""
    for kind in dict.fromkeys(finding.kind for finding in findings.listed):
        listed = [finding for finding in findings.listed if finding.kind == kind]
        for finding in listed:
            yield from wrap(f"{kind:<16} {finding.text}", " " * 6, " " * 23)
        more = findings.counts[kind] - len(listed)
        if more:
            yield f"{'':23}and {more:,} more of this kind"


def _summary(result: Result) -> Iterator[str]:
    counts = [
        plural(len(result.files), "file"),
        plural(len(result.series), "series", "series"),
        plural(result.records, "record"),
        plural(result.finding_count, "finding"),
    ]
    if result.note_count:
        counts.append(plural(result.note_count, "note"))
    if result.errors:
        counts.append(f"{len(result.errors):,} not checked")
    about = f"{result.checked_at}, airflow-provider-secoda {result.provider_version}"
    yield from wrap(f"{result.status.upper()}: {', '.join(counts)}; {about}", "", "  ")
    if result.other_files:
        yield f"({plural(result.other_files, 'other file')} ignored)"


def wrap(text: str, first_indent: str, indent: str | None = None) -> list[str]:
    """Return text in lines of at most 120 characters."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first_indent,
        subsequent_indent=first_indent if indent is None else indent,
        break_on_hyphens=False,
        expand_tabs=False,
        replace_whitespace=False,
    )


def as_json(result: Result) -> str:
    """Return the result as JSON in ASCII; the docstring of the package describes it."""
    return json.dumps(as_dict(result), indent=2)


def as_dict(result: Result) -> dict[str, Any]:
    """Return the result as :func:`as_json` does, as Python objects."""
    numbers = {series.key: number for number, series in enumerate(result.series)}
    return {
        "status": result.status,
        "exit_code": result.exit_code,
        "checked_at": result.checked_at,
        "provider_version": result.provider_version,
        "paths": result.paths,
        "start": None if result.start is None else format_instant(result.start),
        "end": None if result.end is None else format_instant(result.end),
        "against_source": result.against_source,
        "public_keys": result.public_keys,
        "totals": {
            "files": len(result.files),
            "series": len(result.series),
            "records": result.records,
            "findings": result.finding_count,
            "notes": result.note_count,
            "other_files": result.other_files,
        },
        "errors": result.errors,
        "changes": _changes(result),
        "series": [_series(series) for series in result.series],
        "files": [_file(file, numbers) for file in result.files],
    }


def _changes(result: Result) -> dict[str, Any] | None:
    if result.changes is None:
        return None
    return {"report": result.changes.report, **findings_as_dict(result.changes.findings)}


def _series(series: SeriesResult) -> dict[str, Any]:
    start, end = (None, None) if series.span is None else series.span.edges
    return {
        **asdict(series.key),
        "filter": None if series.key.filter is None else json.loads(series.key.filter),
        "start": start,
        "end": end,
        "windows": series.windows,
        "records": series.records,
        **findings_as_dict(series.findings),
    }


def _file(file: FileResult, numbers: dict[SeriesKey, int]) -> dict[str, Any]:
    manifest = {"sha256": file.manifest_sha256, "file_sha256": file.recorded_sha256, "count": file.recorded_count}
    return {
        "path": file.path,
        "format": file.format,
        "series": None if file.series is None else numbers.get(file.series),
        "window": None if file.window is None else dict(zip(("start", "end"), file.window.edges, strict=True)),
        "records": file.records,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "manifest": None if file.manifest_sha256 is None else manifest,
        "supplement": file.supplement,
        "signing_key": file.signing_key,
        "compared_with_source": file.compared,
        "error": file.error,
        **findings_as_dict(file.findings),
    }


def findings_as_dict(findings: Findings) -> dict[str, Any]:
    """Return the findings as Python objects."""
    return {"counts": findings.counts, "findings": [asdict(finding) for finding in findings.listed]}
