"""Read a window into a file with its manifest, or into a list, and report it in the events of assets."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AssetAlias

from airflow_provider_secoda._compat import run_fact
from airflow_provider_secoda._persisted import REPLACED_KEY
from airflow_provider_secoda._storable import storable_record
from airflow_provider_secoda._storage.formats import format_of
from airflow_provider_secoda._storage.manifest import ManifestBuilder
from airflow_provider_secoda._storage.spool import Spool
from airflow_provider_secoda._storage.window_files import KnownLogs
from airflow_provider_secoda._storage.write import write_atomically
from airflow_provider_secoda.client._api.text import printable_line
from airflow_provider_secoda.operators._manifest import manifest_header
from airflow_provider_secoda.operators._supplements import WindowFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_secoda._storage.write import WrittenFile
    from airflow_provider_secoda.client._api.audit_log_page import Log
    from airflow_provider_secoda.operators._read import WindowRead
    from airflow_provider_secoda.operators._replacing import ReplaceCheck
    from airflow_provider_secoda.signing import Signer

#: What the spool needs of a log.
_RECORD = attrgetter("at", "id", "raw")


def write_file(
    read: WindowRead,
    replace: ReplaceCheck,
    context: Context,
    *,
    settle: timedelta,
    write_manifest: bool,
    signer: Signer | None,
) -> dict[str, Any]:
    """Write the logs of a window to a file, its manifest and the signature of that; return the summary.

    :param replace: the path of the file, and what may be replaced there
    :param settle: how long after the end of the window the task waited, for the manifest
    :raises AirflowFailException: what :class:`.ReplaceCheck` or :meth:`.WindowRead.finish` raises
    """
    path = replace.path
    with _read_all(read) as spool, ManifestBuilder(format_of(path)) as builder:

        def manifest(file: WrittenFile) -> Iterator[bytes]:
            header = manifest_header(file, read, count=builder.count, settle=settle, context=context)
            return builder.manifest(header)

        written = write_atomically(
            builder.watch(spool),
            path,
            manifest=manifest if write_manifest else None,
            signer=signer,
            check=lambda: replace.before_write(spool),
        )
    read.log.info(
        "Wrote %d logs of %s (%s) to %s: %d bytes, sha256 %s, %d pages, %d requests; manifest: sha256 %s, "
        "signing key %s",
        read.count, read.window, read.window.rule, written.path, written.bytes, written.sha256,
        read.report.pages, read.stats.requests, written.manifest_sha256, written.signing_key,
    )  # fmt: skip
    _warn_of_untyped_values(read, written.untyped_values)
    return {"path": written.path, "format": written.format, **read.summary(), **asdict(written)}


def write_late_logs(
    read: WindowRead, check: ReplaceCheck, context: Context, *, settle: timedelta, signer: Signer | None
) -> dict[str, Any]:
    """Write the logs of a window that its files lack, to a file of their own; return the summary.

    :param check: the path of the first file; parameters as of :func:`write_file`
    :raises AirflowFailException: what :class:`.WindowFiles` or :meth:`.WindowRead.finish` raises
    """
    with _read_all(read) as spool, KnownLogs() as known:
        files = WindowFiles(read, check, spool, known, context, settle, signer)
        summary = files.write()
    if files.written:
        _warn_of_untyped_values(read, summary["untyped_values"])
    return summary


@contextmanager
def _read_all(read: WindowRead) -> Iterator[Spool]:
    """Read the logs of a window into a spool."""
    with Spool() as spool:
        for batch in read.batches():
            spool.add(map(_RECORD, batch))
        read.report.repeats_dropped += spool.check()
        read.finish(spool.count, *spool.time_range())
        yield spool


def _warn_of_untyped_values(read: WindowRead, untyped_values: Mapping[str, Mapping[str, int]] | None) -> None:
    for field, reasons in (untyped_values or {}).items():
        read.log.warning(
            "The typed column of %s cannot contain %d values as they were sent (%s): they are null, or have U+FFFD for "
            "half a surrogate pair. The column raw has them",
            field, sum(reasons.values()), ", ".join(f"{reason}: {count}" for reason, count in reasons.items()),
        )  # fmt: skip


def return_logs(read: WindowRead, *, limit_bytes: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the logs of a window in ascending order of (timestamp, id), and the summary.

    A value that Airflow cannot store is replaced, and the log lists it; the summary has the number of such logs.

    :raises AirflowFailException: the logs are too large for XCom; also what :meth:`.WindowRead.finish` raises
    """
    found: dict[str, Log] = {}
    size = 0
    for batch in read.batches():
        for log in batch:
            found.setdefault(log.id, log)
        size += sum(len(log.raw) for log in batch)
        if size > limit_bytes:
            raise AirflowFailException(
                f"The logs of {read.window} have more than {limit_bytes} bytes, too many for XCom. Write them to "
                'a file: output_path="s3://my_conn@my-bucket/secoda/{start:%Y-%m-%d}.jsonl" '
                "(or increase `xcom_limit_bytes`)"
            )
    logs = sorted(found.values(), key=lambda log: (log.at, log.id))
    read.finish(len(logs), *((logs[0].at, logs[-1].at) if logs else (None, None)))
    read.log.info(
        "Read %d logs of %s (%s): %d pages, %d requests",
        read.count, read.window, read.window.rule, read.report.pages, read.stats.requests,
    )  # fmt: skip
    records = [storable_record(log.raw) for log in logs]
    changed = [log.id for log, record in zip(logs, records, strict=True) if REPLACED_KEY in record]
    if changed:
        read.log.warning(
            "%d of the %d logs have values that Airflow cannot store; they were replaced, and the key %s of each "
            "such log lists them. The first is log %s. Pass `output_path` to get the logs as the API sent them",
            len(changed), len(logs), REPLACED_KEY, printable_line(changed[0], 80),
        )  # fmt: skip
    return records, {**read.summary(), "changed_logs": len(changed)}


def add_outlet_event_extra(outlets: Iterable[Any], summary: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """Add the summary to the ``extra`` of the event of each asset in a task's ``outlets``.

    A DAG that the asset triggers reads from it which file was written and for which window. A partitioned run adds its
    ``partition_key`` too. Keys that the DAG's own code has set stay as they are. Asset aliases are skipped: only the
    DAG knows which asset a file belongs to.
    """
    events = context.get("outlet_events")
    if events is None:  # a caller executes the operator by hand
        return
    key = run_fact(context, "partition_key")
    added = {**summary, **({} if key is None else {"partition_key": key})}
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            continue
        try:
            extra = events[outlet].extra
        except TypeError:  # not an asset, but an outlet of a lineage tool
            continue
        extra.update({name: value for name, value in added.items() if name not in extra})
