"""Verify files in a task: which span, which report, and what the task does with the findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO, cast

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_secoda._arguments import ArgumentError
from airflow_provider_secoda._native_templates import keep_texts
from airflow_provider_secoda._persisted import SUMMARY_KEY
from airflow_provider_secoda._schedule_periods import last_period
from airflow_provider_secoda.client._api.timestamps import format_datetime
from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.hooks._metrics import record_finding_metrics
from airflow_provider_secoda.operators._fetch import add_outlet_event_extra
from airflow_provider_secoda.operators._output_path import replace_placeholders
from airflow_provider_secoda.operators._signing import load_signer
from airflow_provider_secoda.operators._verification.arguments import SEQUENCE, check_arguments, check_path
from airflow_provider_secoda.operators._verification.supplements import write_supplements
from airflow_provider_secoda.signing import KeyFormatError, load_public_keys
from airflow_provider_secoda.verify._result import NOTES
from airflow_provider_secoda.verify._verify import Progress, check_paths
from airflow_provider_secoda.windows import Window, WindowError, local_zone, resolve_window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_secoda.operators._verification.operator import SecodaVerifyOperator
    from airflow_provider_secoda.signing import Signer
    from airflow_provider_secoda.verify import Result
    from airflow_provider_secoda.verify._reports.write import WrittenReport
    from airflow_provider_secoda.verify._result import Finding, Findings

_FINDINGS_IN_SUMMARY = 20
_TEXT_CHARACTERS = 500
_PROGRESS_SECONDS = 10.0


def prepare(operator: SecodaVerifyOperator, context: Context) -> Verification:
    """Return what a task has to do, after checking what can be checked before the files are read.

    :raises AirflowFailException: an argument, a key or a connection cannot be used, or the run has no window
    """
    try:
        keep_texts(operator, operator._given)  # noqa: SLF001 - what the DAG file has passed
        check_arguments(vars(operator))
        span = _find_span(operator, context)
        report_path = None if operator.report_path is None else _find_report_path(operator.report_path, span, context)
        if operator.public_keys is not None:
            load_public_keys(operator.public_keys)
        signer = load_signer(operator.signing_conn_id, operator.signer)
    except (ArgumentError, KeyFormatError, OSError, SecodaConfigurationError, WindowError) as exc:
        raise AirflowFailException(f"Task {operator.task_id!r}: {exc}") from exc
    return Verification(operator, context, check_path(operator.path), span, report_path, signer)


def _find_report_path(path: str, span: Window | None, context: Context) -> str:
    """Return the path of the report, in which only the number is not known yet."""
    from airflow_provider_secoda.verify._reports.write import check_report_path  # noqa: PLC0415 - see `write_report`

    parts = path.split(SEQUENCE)
    if any("{" in part for part in parts):
        window = span or resolve_window(context)
        parts = [replace_placeholders(part, window, lambda: local_zone(context), "report_path") for part in parts]
    path = SEQUENCE.join(parts)
    check_report_path(path)
    return path


def _find_span(operator: SecodaVerifyOperator, context: Context) -> Window | None:
    if operator.start is not None or operator.end is not None:
        return resolve_window({}, start=operator.start, end=operator.end)
    if operator.last is None:
        return None
    window = resolve_window(context)
    start = window.start
    dag = context.get("dag")
    for _ in range(operator.last - 1):
        earlier = None if dag is None else last_period(dag.timetable, start, anchor=dag.start_date)
        if earlier is None or earlier.end != start:
            raise WindowError(
                f"`last`: the DAG's schedule has no period that ends at {format_datetime(start)}. Pass `start` and "
                "`end`"
            )
        start = earlier.start
    return Window(start, window.end, window.rule)


@dataclass
class Verification:
    """What a task has to do.

    :param span: what the windows must cover; None: everything at the paths is checked
    """

    operator: SecodaVerifyOperator
    context: Context
    paths: list[str]
    span: Window | None
    report_path: str | None
    signer: Signer | None
    _report: WrittenReport | None = field(default=None, init=False)
    _supplements: list[str] = field(default_factory=list, init=False)

    def verify(self) -> Result:
        """Check the files.

        :raises AirflowException: something could not be checked
        """
        operator, log = self.operator, self.operator.log
        log.info("Verifying %s, %s", ", ".join(self.paths), "all windows" if self.span is None else self.span)
        result = check_paths(
            self.paths,
            Progress(cast("TextIO", _LogStream(log)), _PROGRESS_SECONDS),
            start=None if self.span is None else self.span.start,
            end=None if self.span is None else self.span.end,
            start_is_edge=operator.last is None,
            against_source=operator.against_source,
            conn_id=operator.secoda_conn_id,
            public_keys=operator.public_keys,
            max_findings=operator.max_findings,
        )
        for path, finding in _listed(result):
            log.log(20 if finding.kind in NOTES else 30, "%s: %s: %s", path, finding.kind, finding.text)
        if result.errors:
            # No report: it would say that files are fine which were not read.
            raise AirflowException("Not everything could be verified: " + "; ".join(result.errors[:5]))
        if operator.on_finding == "supplement":
            self._supplements += write_supplements(result, operator, self.signer, self.context)
        return result

    def write_report(self, result: Result) -> str | None:
        """Write the report, and return its path; None without ``report_path``."""
        if self.report_path is None:
            return None
        from airflow_provider_secoda.verify._reports.write import write_report  # noqa: PLC0415 - only where it is used

        self._report = write_report(result, self.report_path, command=self._command(), signer=self.signer)
        for finding in [] if result.changes is None else result.changes.findings.listed:
            self.operator.log.warning("Since the report before: %s: %s", finding.kind, finding.text)
        log = self.operator.log
        log.info("Wrote the report %s; its JSON file has the sha256 %s", self._report.path, self._report.json_sha256)
        return self._report.path

    def finish(self, result: Result) -> dict[str, Any]:
        """Report what was found in metrics, asset events and the log; return the summary.

        :raises AirflowFailException: there are findings, with ``on_finding`` other than ``warn``
        """
        summary = self._summary(result)
        record_finding_metrics(result.finding_count, self.operator.dag_id, self.operator.task_id)
        add_outlet_event_extra(self.operator.outlets, summary, self.context)
        kinds = ", ".join(f"{kind}: {count}" for kind, count in summary["counts"].items() if kind not in NOTES)
        text = (
            f"{summary['findings']} findings{f' ({kinds})' if kinds else ''} in {summary['files']} files with "
            f"{summary['records']} records"
        )
        if not summary["findings"] or self.operator.on_finding == "warn":
            self.operator.log.info("Verified: %s", text)
            return summary
        instance: Any = self.context.get("ti")
        if hasattr(instance, "xcom_push"):
            instance.xcom_push(key=SUMMARY_KEY, value=summary)
        where = f"; see the report {self._report.path}" if self._report else ""
        first = summary["first_findings"][0]
        raise AirflowFailException(f"{text}. The first: {first['path']}: {first['kind']}: {first['text']}{where}")

    def _summary(self, result: Result) -> dict[str, Any]:
        report = self._report
        return {
            "status": result.status,
            "start": None if self.span is None else format_datetime(self.span.start),
            "end": None if self.span is None else format_datetime(self.span.end),
            "files": len(result.files),
            "records": result.records,
            "findings": result.finding_count,
            "notes": result.note_count,
            "counts": result.counts,
            "first_findings": [
                {"path": path, "kind": finding.kind, "text": finding.text[:_TEXT_CHARACTERS]}
                for path, finding in _first_errors(result)
            ],
            "supplements": self._supplements,
            "report": None if report is None else report.path,
            "report_sha256": None if report is None else report.sha256,
            "report_json_sha256": None if report is None else report.json_sha256,
            "signature": None if report is None else report.signature,
            "signing_key": None if report is None else report.signing_key,
        }

    def _command(self) -> str:
        """Return the command that checks the same."""
        import shlex  # noqa: PLC0415

        words = ["python", "-m", "airflow_provider_secoda.verify", *self.paths]
        if self.span is not None:
            words += ["--start", format_datetime(self.span.start), "--end", format_datetime(self.span.end)]
        if self.operator.against_source:
            words.append("--against-source")
        if self.operator.secoda_conn_id is not None:
            words += ["--conn-id", self.operator.secoda_conn_id]
        if self.operator.public_keys is not None:
            words += ["--public-key", "key.pub.pem"]
        return shlex.join(words)


def kinds_by_path(result: Result) -> dict[str, set[str]]:
    """Return the kinds of errors that were found in each file, and in the windows of the paths that were passed."""
    found: dict[str, set[str]] = {file.path: _error_kinds(file.findings) for file in result.files}
    kinds = {kind for series in result.series for kind in _error_kinds(series.findings)}
    for path in result.paths:
        found[path] = found.get(path, set()) | kinds
    return found


def _error_kinds(findings: Findings) -> set[str]:
    return set(findings.counts) - NOTES


class _LogStream:
    """A stream whose lines are written to the log of a task."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def write(self, text: str) -> None:
        self._log.info("%s", text.rstrip("\n"))

    def flush(self) -> None:
        pass


def _listed(result: Result) -> Iterator[tuple[str, Finding]]:
    """Yield the listed findings and notes, each with the path of its file or the number of its series."""
    for file in result.files:
        yield from ((file.path, finding) for finding in file.findings.listed)
    for number, series in enumerate(result.series, 1):
        yield from ((f"series {number}", finding) for finding in series.findings.listed)
    if result.changes is not None:
        yield from ((f"since report {result.changes.report}", finding) for finding in result.changes.findings.listed)


def _first_errors(result: Result) -> list[tuple[str, Finding]]:
    errors = ((path, finding) for path, finding in _listed(result) if finding.kind not in NOTES)
    return [found for found, _ in zip(errors, range(_FINDINGS_IN_SUMMARY), strict=False)]
