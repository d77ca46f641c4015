"""Read a window into a file with its manifest, or into a list."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_secoda._storage.formats import format_of
from airflow_provider_secoda._storage.manifest import ManifestBuilder
from airflow_provider_secoda._storage.spool import Spool
from airflow_provider_secoda._storage.write import write_atomically
from airflow_provider_secoda.operators._manifest import manifest_header
from airflow_provider_secoda.operators._replace import check_replaced

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.operators._read import WindowRead


def write_file(
    read: WindowRead, path: str, context: Context, *, settle: timedelta, write_manifest: bool
) -> dict[str, Any]:
    """Write the logs of a window to a file, and its manifest next to it; return the summary.

    :param read: the window to read
    :param path: path or URL of the file
    :param context: the context of the task, for the manifest
    :param settle: how long after the end of the window the task waited, for the manifest
    :param write_manifest: whether to write a manifest
    :raises AirflowFailException: the file contains logs that were not read again; also what :meth:`.WindowRead.result`
        raises
    """
    with Spool() as spool, ManifestBuilder(format_of(path)) as builder:
        for batch in read.batches():
            read.report.repeats_dropped += spool.add((log.at, log.id, log.raw) for log in batch)
        result = read.result(spool.count, spool.first_timestamp, spool.last_timestamp)
        check_replaced(path, result, spool)
        if write_manifest:
            written = write_atomically(
                builder.watch(spool),
                path,
                manifest=lambda file: builder.manifest(manifest_header(file, result, settle=settle, context=context)),
            )
        else:
            written = write_atomically(spool.raw(), path)
    read.log.info(
        "Wrote %d logs of %s (%s) to %s: %d bytes, sha256 %s, %d pages, %d requests; manifest: sha256 %s",
        result.count, read.query.window, read.query.window.rule, written.path, written.bytes, written.sha256,
        result.report.pages, result.stats.requests, written.manifest_sha256,
    )  # fmt: skip
    return {
        "path": written.path,
        "format": written.format,
        **result.summary(),
        "bytes": written.bytes,
        "sha256": written.sha256,
        "manifest": written.manifest,
        "manifest_sha256": written.manifest_sha256,
    }


def return_logs(read: WindowRead, *, limit_bytes: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the logs of a window in ascending order of (timestamp, id), and the summary.

    :param read: the window to read
    :param limit_bytes: how many bytes of logs may be returned
    :raises AirflowFailException: the logs are too large for XCom; also what :meth:`.WindowRead.result` raises
    """
    found: dict[str, Log] = {}
    size = 0
    for batch in read.batches():
        for log in batch:
            found.setdefault(log.id, log)
        size += sum(len(log.raw) for log in batch)
        if size > limit_bytes:
            raise AirflowFailException(
                f"The logs of {read.query.window} have more than {limit_bytes} bytes, too many for XCom. Write them to "
                'a file: output_path="s3://my_conn@my-bucket/secoda/{start:%Y-%m-%d}.jsonl" '
                "(or increase `xcom_limit_bytes`)"
            )
    logs = sorted(found.values(), key=lambda log: (log.at, log.id))
    result = read.result(len(logs), *((logs[0].at, logs[-1].at) if logs else (None, None)))
    read.log.info(
        "Read %d logs of %s (%s): %d pages, %d requests",
        result.count, read.query.window, read.query.window.rule, result.report.pages, result.stats.requests,
    )  # fmt: skip
    return [json.loads(log.raw) for log in logs], result.summary()
