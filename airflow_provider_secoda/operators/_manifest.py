"""The header of the manifest of a task's file."""

from __future__ import annotations

import platform
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.client._api.timestamps import format_datetime
from airflow_provider_secoda.operators._read import iso

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_secoda._storage.write import WrittenFile
    from airflow_provider_secoda.operators._read import WindowRead


def manifest_header(
    written: WrittenFile, read: WindowRead, *, count: int, settle: timedelta, context: Context
) -> dict[str, Any]:
    """Return the header of the manifest of a file: JSON values.

    It does not contain the API key; of the connection it contains the id and the address of the API.

    :param count: the number of records in the file
    :param settle: how long after the end of the window the task waited before it read
    """
    report, stats = read.report, read.stats
    return {
        "file": {
            "name": written.path.rpartition("/")[2],
            "format": written.format,
            "bytes": written.bytes,
            "sha256": written.sha256,
            "count": count,
            "untyped_values": written.untyped_values,
        },
        "query": read.query,
        "source": {"connection_id": read.hook.secoda_conn_id, "base_url": read.base_url},
        "listing": {
            "sort": report.sort,
            "oldest_timestamp": iso(report.history_from),
            "newest_timestamp": iso(report.history_to),
            "count": report.count,
            "total_pages": report.total_pages,
        },
        "read": {
            "started_at": format_datetime(read.started_at),
            "finished_at": format_datetime(datetime.now(timezone.utc)),
            "settle_seconds": settle.total_seconds(),
            "order": report.order,
            "turns": report.turns,
            "pages": report.pages,
            "requests": stats.requests,
            "retries": stats.retries,
            "throttled": stats.throttled,
            "rereads": report.rereads,
            "reread_reasons": report.reread_reasons,
            "duplicates_dropped": report.repeats_dropped,
            "first_timestamp": iso(read.first),
            "last_timestamp": iso(read.last),
            "max_lag_seconds": read.max_lag_seconds,
            "warnings": report.warnings,
            "page_ranges": [
                {
                    "sort": pages.sort,
                    "first_page": pages.first_page,
                    "last_page": pages.last_page,
                    "newest_timestamp": iso(pages.newest),
                    "oldest_timestamp": iso(pages.oldest),
                    "listing_count": pages.count,
                }
                for pages in report.verified_pages
            ],
        },
        "run": _run(context),
        "versions": _versions(written.format),
        **({} if written.signing_key is None else {"signing_key": written.signing_key}),
    }


def _run(context: Context) -> dict[str, Any]:
    # A caller who executes the operator by hand may pass no task instance, or a mock.
    instance, logical_date = context.get("ti"), context.get("logical_date")
    names = ("dag_id", "task_id", "run_id", "map_index", "try_number")
    values = {name: getattr(instance, name, None) for name in names}
    return {
        **{name: value if isinstance(value, str | int) else None for name, value in values.items()},
        "logical_date": format_datetime(logical_date) if isinstance(logical_date, datetime) else None,
    }


def _versions(file_format: str) -> dict[str, str]:
    import airflow  # noqa: PLC0415 - a lazy module

    from airflow_provider_secoda import __version__  # noqa: PLC0415

    versions = {
        "airflow_provider_secoda": __version__,
        "airflow": airflow.__version__,
        "python": platform.python_version(),
    }
    if file_format == "parquet":
        import pyarrow as pa  # noqa: PLC0415 - an extra

        versions["pyarrow"] = pa.__version__
    return versions
