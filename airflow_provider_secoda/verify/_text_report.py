"""The result as plain text that one can hand to an auditor; every line fits 120 columns."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.timestamps import format_instant
from airflow_provider_secoda.verify._messages import plural, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_secoda.verify._result import FileResult, Findings, Result, SeriesResult

_WIDTH = 120
_DIGITS = 16
_ROW = "  {:<21} {:<21} {:>11}  {:<16}  {}"


def table(result: Result) -> Iterator[str]:
    """Yield the lines."""
    yield "Audit logs of Secoda, checked against their manifests" + (
        " and against the source" if result.against_source else ""
    )
    below = _common([file.path for file in result.files])
    for path in result.paths:
        yield from _wrapped(shown(path, 1000), "  ")
    asked = [(name, edge) for name, edge in (("from", result.start), ("until", result.end)) if edge is not None]
    if asked:
        yield f"  to be covered {' '.join(f'{name} {format_instant(edge)}' for name, edge in asked)}"
    if below and [below] != [f"{path.rstrip('/')}/" for path in result.paths]:
        yield from _wrapped(f"files stand below {shown(below, 1000)}", "  ")
    for number, series in enumerate(result.series, 1):
        yield ""
        yield from _series(number, series)
        own = [file for file in result.files if file.series == series.key and file.window is not None]
        yield from _files(own, below)
    rest = [file for file in result.files if file.series is None or file.window is None]
    if rest:
        yield ""
        yield "Files of no known series"
        yield from _files(rest, below)
    yield ""
    for error in result.errors:
        yield from _wrapped(f"NOT CHECKED  {error}", "", "             ")
    yield from _verdict(result)


def _series(number: int, series: SeriesResult) -> Iterator[str]:
    key = series.key
    chosen = "no filter" if key.filter is None else f"filter {shown(key.filter)}"
    about = (
        f"{shown(key.connection_id)}, {shown(key.base_url)}, by {key.timestamp_field}, {shown(key.format)}, {chosen}"
    )
    yield from _wrapped(f"Series {number}: {about}", "", "          ")
    if series.span is not None:
        counts = series.findings.counts
        told = [f"no {kind}" if not counts[kind] else plural(counts[kind], kind) for kind in ("gap", "overlap")]
        span = f"from {format_instant(series.span.start)} until {format_instant(series.span.end)}"
        size = f"{plural(series.windows, 'window')}, {plural(series.records, 'record')}"
        yield from _wrapped(f"{span}, {size}, {', '.join(told)}", "  ")
    yield from _listed(series.findings)


def _files(files: list[FileResult], below: str) -> Iterator[str]:
    yield _ROW.format("from", "until", "records", "manifest sha256", "result, file").rstrip()
    for file in sorted(files, key=lambda file: (file.window.start if file.window else 0, file.path)):
        edges = ("-", "-") if file.window is None else (file.window.start, file.window.end)
        first, after = (edge if isinstance(edge, str) else format_instant(edge) for edge in edges)
        digest = (file.manifest_sha256 or "-")[:_DIGITS]
        row = _ROW.format(first, after, f"{file.records:,}" if file.present else "-", digest, "")
        name = shown(file.path.removeprefix(below), 1000)
        whole = f"{row}{_word(file):<11}  {name}"
        if len(whole) <= _WIDTH:
            yield whole
        else:
            yield f"{row}{_word(file)}"
            yield from _wrapped(name, " " * 6)
        yield from _listed(file.findings)


def _common(paths: list[str]) -> str:
    """Return the folder in which all files stand, with the slash behind it, or nothing."""
    folder, slash, _ = os.path.commonprefix(paths).rpartition("/")  # noqa: RUF071 - what is behind the last slash goes
    return folder + slash


def _word(file: FileResult) -> str:
    if file.error is not None:
        return "NOT CHECKED"
    if not file.findings.wrong:
        return "ok"
    return plural(file.findings.wrong, "FINDING").upper()


def _listed(findings: Findings) -> Iterator[str]:
    kinds = list(dict.fromkeys(finding.kind for finding in findings.kept))
    for kind in kinds:
        kept = [finding for finding in findings.kept if finding.kind == kind]
        for finding in kept:
            yield from _wrapped(f"{kind:<12} {finding.text}", " " * 6, " " * 19)
        more = findings.counts[kind] - len(kept)
        if more:
            yield f"{'':18} and {more:,} more of this kind"


def _verdict(result: Result) -> Iterator[str]:
    records = sum(file.records for file in result.files)
    size = f"{plural(len(result.files), 'file')}, {plural(len(result.series), 'series', 'series')}"
    counts = [size, plural(records, "record"), plural(result.findings, "finding")]
    if result.notes:
        counts.append(plural(result.notes, "note"))
    if result.errors:
        counts.append(f"{len(result.errors):,} not checked")
    verdict = {0: "ALL AS IT SHOULD BE", 1: "NOT AS IT SHOULD BE", 2: "NOT ALL COULD BE CHECKED"}[result.exit_code]
    about = f"{result.checked_at}, airflow-provider-secoda {result.version}"
    yield from _wrapped(f"{verdict}: {', '.join(counts)}; {about}", "", "  ")
    if result.others:
        yield f"({plural(result.others, 'other file')} passed over)"


def _wrapped(text: str, first: str, rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_on_hyphens=False,
        expand_tabs=False,
        replace_whitespace=False,
    )
