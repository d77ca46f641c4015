"""Write the late logs that a verification has found to supplements of their windows."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._storage.window_files import split_window_file
from airflow_provider_secoda.client._api.timestamps import from_instant
from airflow_provider_secoda.hooks.secoda import SecodaHook
from airflow_provider_secoda.operators._fetch import write_late_logs
from airflow_provider_secoda.operators._read import WindowRead
from airflow_provider_secoda.operators._replacing import ReplaceCheck
from airflow_provider_secoda.verify._result import NOTES
from airflow_provider_secoda.windows import Window

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_secoda.operators._verification.operator import SecodaVerifyOperator
    from airflow_provider_secoda.signing import Signer
    from airflow_provider_secoda.verify import Result
    from airflow_provider_secoda.verify._result import FileResult

_CONCURRENCY = 4
#: Findings of a comparison with the API, which say nothing against the files.
_LATE = frozenset({"late", "changed"})


def write_supplements(
    result: Result, operator: SecodaVerifyOperator, signer: Signer | None, context: Context
) -> list[str]:
    """Add the late logs of each window, and make the findings notes; return the paths of the supplements.

    Each of these windows is read once more: what is written is a complete read of its own. Nothing is added to a window
    whose files are not as their manifests say: a log that somebody has removed from a file is not late.
    """
    paths = []
    for file in result.files:
        if not file.findings.counts["late"] or set(file.findings.counts) - _LATE - NOTES:
            continue
        summary = _write_supplement(file, operator, signer, context)
        if summary["late_logs"] >= file.findings.counts["late"]:
            file.findings.rename("late", "supplemented", f"; it was added in {summary['path']}")
            paths.append(summary["path"])
    return paths


def _write_supplement(
    file: FileResult, operator: SecodaVerifyOperator, signer: Signer | None, context: Context
) -> dict[str, Any]:
    series, window = file.series, file.window
    if series is None or window is None:
        raise RuntimeError(f"{file.path} was compared with the API without a valid manifest")
    read = WindowRead(
        hook=SecodaHook(operator.secoda_conn_id or series.connection_id),
        window=Window(from_instant(window.start), from_instant(window.end), "start_end"),
        timestamp_field=series.timestamp_field,
        filter=None if series.filter is None else json.loads(series.filter),
        concurrency=_CONCURRENCY,
        require_history=False,
        skip_if_empty=False,
        log=operator.log,
    )
    check = ReplaceCheck(split_window_file(file.path)[0], read, on_change="supplement")
    check.before_read()
    return write_late_logs(read, check, context, settle=timedelta(0), signer=signer)
