"""Fetch one window: into a file with its manifest, or as a list."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_secoda._storage.formats import format_of
from airflow_provider_secoda._storage.manifest import ManifestBuilder
from airflow_provider_secoda._storage.spool import Spool
from airflow_provider_secoda._storage.write import write_atomically
from airflow_provider_secoda.operators._evidence import check_replaced, describe

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.operators._window_read import WindowRead


def write_file(read: WindowRead, path: str, context: Context) -> dict[str, Any]:
    """Write the window's logs to a file, and a manifest beside it; return the summary.

    :raises AirflowSkipException: the window holds no log, and the task skips such
    :raises AirflowFailException: the history begins too late for the task, or the file that is there holds more
    """
    with Spool() as spool, ManifestBuilder(format_of(path)) as ledger:
        for batch in read.batches():
            read.report.repeats_dropped += spool.add((log.at, log.id, log.raw) for log in batch)
        _check(read, spool.count)
        check_replaced(path, read, spool)
        if read.task.write_manifest:
            written = write_atomically(
                ledger.watch(spool),
                path,
                manifest=lambda written: ledger.manifest(describe(read, spool, written, context)),
            )
        else:
            written = write_atomically(spool.raw(), path)
        told = read.summary(spool.count, spool.first_timestamp, spool.last_timestamp)
    told = {"path": written.path, "format": written.format, **told}
    told |= {"bytes": written.bytes, "sha256": written.sha256}
    told |= {"manifest": written.manifest, "manifest_sha256": written.manifest_sha256}
    read.task.log.info(
        "Wrote %d logs of %s (%s) to %s: %d bytes, sha256 %s, %d pages, %d requests; manifest: sha256 %s",
        told["count"], read.window, read.window.rule, written.path, written.bytes, written.sha256, told["pages"],
        told["requests"], written.manifest_sha256,
    )  # fmt: skip
    return told


def return_logs(read: WindowRead) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the window's logs, and the summary.

    :raises AirflowFailException: they are too long for XCom, or the history begins too late for the task
    :raises AirflowSkipException: the window holds no log, and the task skips such
    """
    found: dict[str, Log] = {}
    size, most = 0, read.task.xcom_limit_bytes
    for batch in read.batches():
        for log in batch:
            found.setdefault(log.id, log)
        size += sum(len(log.raw) for log in batch)
        if size > most:
            raise AirflowFailException(
                f"The logs of {read.window} are more than {most} bytes, too many for XCom. Write them "
                'to a file: output_path="s3://my_conn@my-bucket/secoda/{start:%Y-%m-%d}.jsonl" '
                "(or raise `xcom_limit_bytes`)"
            )
    _check(read, len(found))
    logs = sorted(found.values(), key=lambda log: (log.at, log.id))
    told = read.summary(len(logs), *((logs[0].at, logs[-1].at) if logs else (None, None)))
    read.task.log.info(
        "Read %d logs of %s (%s): %d pages, %d requests",
        len(logs), read.window, read.window.rule, told["pages"], told["requests"],
    )  # fmt: skip
    return [json.loads(log.raw) for log in logs], told


def _check(read: WindowRead, count: int) -> None:
    for warning in read.report.warnings:
        read.task.log.warning("%s", warning)
    if read.task.require_history and not read.reaches_back:
        raise AirflowFailException(
            f"`require_history`: {read.history} and the window begins at {read.window.start.isoformat()}"
        )
    if read.task.skip_if_empty and count == 0:
        raise AirflowSkipException(f"There are no logs in {read.window}")
