"""The result of the check of a chain as plain text, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.verify._messages import escape, plural
from airflow_provider_secoda.verify._report import findings_as_dict, findings_as_lines, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_secoda.verify._reports.chain import ChainResult

_ROW = "  {:>6}  {:<20}  {:>7}  {:<64}  {}"


def chain_as_lines(result: ChainResult) -> Iterator[str]:
    """Yield the lines of the result; none is longer than 120 characters, except for a long name."""
    yield from wrap(f"Reports on Secoda audit logs, from {escape(result.report, 1000)} to the first", "", "  ")
    yield _ROW.format("number", "checked at", "files", "sha256", "report")
    for report in result.reports:
        row = (report.sequence or "-", escape(report.checked_at or "-"), f"{report.covers:,}", report.sha256 or "-")
        yield _ROW.format(*row, escape(report.name, 1000))
        yield from findings_as_lines(report.findings)
    if result.findings.listed:
        yield "Files that reports cover"
        yield from findings_as_lines(result.findings)
    for error in result.errors:
        yield from wrap(f"NOT CHECKED  {error}", "", "             ")
    counts = [
        plural(len(result.reports), "report"),
        plural(result.files, "file"),
        plural(result.finding_count, "finding"),
    ]
    if result.errors:
        counts.append(f"{len(result.errors):,} not checked")
    about = f"{result.checked_at}, airflow-provider-secoda {result.provider_version}"
    yield from wrap(f"{result.status.upper()}: {', '.join(counts)}; {about}", "", "  ")


def chain_as_json(result: ChainResult) -> str:
    """Return the result as JSON in ASCII; the docstring of the package describes it."""
    return json.dumps(
        {
            "status": result.status,
            "exit_code": result.exit_code,
            "checked_at": result.checked_at,
            "provider_version": result.provider_version,
            "report": result.report,
            "public_keys": result.public_keys,
            "totals": {"reports": len(result.reports), "files": result.files, "findings": result.finding_count},
            "errors": result.errors,
            **findings_as_dict(result.findings),
            "reports": [{**_members(asdict(report)), **findings_as_dict(report.findings)} for report in result.reports],
        },
        indent=2,
    )


def _members(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name != "findings"}
