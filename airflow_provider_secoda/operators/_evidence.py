"""What stands beside a file that was written: the manifest, and what keeps a file from being replaced by less."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_secoda.operators._window_read import iso

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_secoda._storage.spool import Spool
    from airflow_provider_secoda._storage.write import WrittenFile
    from airflow_provider_secoda.operators._window_read import WindowRead


def describe(read: WindowRead, spool: Spool, written: WrittenFile, context: Context) -> dict[str, Any]:
    """Return a manifest's header: what the file holds, where that came from, and who read it when.

    There is no key in it, and of the connection no more than its id and the address that it leads to.
    """
    report, stats = read.report, read.hook.get_conn().stats
    return {
        "file": {
            "name": written.path.rpartition("/")[2],
            "format": written.format,
            "bytes": written.bytes,
            "sha256": written.sha256,
            "count": spool.count,
        },
        "window": {**query_of(read), "rule": read.window.rule},
        "source": {"connection_id": read.task.secoda_conn_id, "base_url": read.hook.get_conn().base_url},
        "listing": {
            "order": report.order,
            "sort": report.sort,
            "oldest": iso(report.history_from),
            "newest": iso(report.history_to),
            "count": report.count,
            "total_pages": report.total_pages,
        },
        "reading": {
            "began": read.began.isoformat(),
            "ended": datetime.now(timezone.utc).isoformat(),
            "settle_seconds": read.task.settle.total_seconds(),
            "pages": report.pages,
            "requests": stats.requests,
            "retries": stats.retries,
            "throttled": stats.throttled,
            "rereads": report.rereads,
            "repeats_dropped": report.repeats_dropped,
            "first": iso(spool.first_timestamp),
            "last": iso(spool.last_timestamp),
            "max_lag_seconds": read.max_lag_seconds,
            "warnings": report.warnings,
            "pieces": [
                {
                    "sort": piece.sort,
                    "first_page": piece.first_page,
                    "last_page": piece.last_page,
                    "newest": iso(piece.newest),
                    "oldest": iso(piece.oldest),
                    "count": piece.count,
                }
                for piece in report.pieces
            ],
        },
        "run": _run(context),
        "versions": _versions(written.format),
    }


def query_of(read: WindowRead) -> dict[str, Any]:
    """Return what was asked for, as it stands in a manifest."""
    from airflow_provider_secoda.client.filters import Filter  # noqa: PLC0415 - DAG files are parsed often

    parsed = Filter.parse(read.task.filter)
    return {
        "start": read.window.start.isoformat(),
        "end": read.window.end.isoformat(),
        "timestamp_field": read.task.timestamp_field,
        "filter": None if parsed is None else parsed.as_dict(),
    }


def check_replaced(path: str, read: WindowRead, spool: Spool) -> None:
    """Refuse to replace a file by one that holds less, as a task cleared after a year would, when logs have expired.

    Only the manifest beside the file is asked, and only when it is of the same window and filter.

    :raises AirflowFailException: the file holds logs that the API does not show any more, or its manifest is broken
    """
    from airflow_provider_secoda._storage.manifest import ManifestError, manifest_path, read_manifest  # noqa: PLC0415
    from airflow_provider_secoda._storage.target import resolve_target  # noqa: PLC0415

    note = manifest_path(path)
    file = resolve_target(note).open_if_exists()
    if file is None:
        return
    lost, example = 0, ""
    with file:
        try:
            header, records = read_manifest(file)
            window, source = dict(header["window"]), header["source"]["base_url"]
            window.pop("rule", None)
            if window != query_of(read):
                return
            for name, _ in records:
                if name not in spool:
                    lost, example = lost + 1, example or name
        except (ManifestError, LookupError, TypeError, ValueError) as exc:
            raise AirflowFailException(
                f"{note} cannot be read ({exc}), so what it stands for is not replaced; move it away to write anew"
            ) from exc
    if lost:
        raise AirflowFailException(
            f"{path} is not replaced: it holds {lost} logs of {source}, such as {example!r}, that "
            f"{read.hook.get_conn().base_url} does not show any more ({read.history}). Move the file and its manifest "
            "away, or write to another path"
        )


def _run(context: Context) -> dict[str, Any]:
    instance: Any = context.get("ti")
    logical_date: datetime | None = context.get("logical_date")
    return {
        # Where somebody calls `execute` by hand there may be no task instance.
        **{name: getattr(instance, name, None) for name in ("dag_id", "task_id", "run_id", "map_index", "try_number")},
        "logical_date": None if logical_date is None else logical_date.isoformat(),
    }


def _versions(kind: str) -> dict[str, str]:
    import airflow  # noqa: PLC0415 - a lazy module

    from airflow_provider_secoda import __version__  # noqa: PLC0415

    versions = {
        "airflow_provider_secoda": __version__,
        "airflow": airflow.__version__,
        "python": platform.python_version(),
    }
    if kind == "parquet":
        import pyarrow as pa  # noqa: PLC0415 - an extra

        versions["pyarrow"] = pa.__version__
    return versions
