"""Output files with manifests, as the operator writes them, without Airflow and without a server."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from airflow_provider_secoda._storage.formats import format_of
from airflow_provider_secoda._storage.manifest import ManifestBuilder
from airflow_provider_secoda._storage.write import write_atomically
from airflow_provider_secoda.client._api.audit_log_page import read_audit_logs
from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.sandbox import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY = timedelta(days=1)
UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
START = UNTIL - 3 * DAY
WORKSPACE = Workspace.generate(seed=5, logs=400, days=4, until=UNTIL)
SOURCE = {"connection_id": "secoda_default", "base_url": "https://api.secoda.co"}


def log(name: str, moment: datetime, **more) -> bytes:
    """Return a log that has only an id and a timestamp."""
    return json.dumps({"id": name, "logged_at": moment.isoformat(), **more}).encode()


def logs_of(start: datetime, end: datetime) -> list[bytes]:
    return WORKSPACE.window(start, end)


def write(
    path,
    start: datetime,
    end: datetime,
    records: Sequence[bytes] | None = None,
    field: str = "logged_at",
    filter: dict | None = None,  # noqa: A002
    source: dict = SOURCE,
    signer=None,
    **header,
):
    """Write a file and its manifest; return the path as it was given.

    :param records: by default the logs of the workspace in the window
    :param signer: signs the manifest; None: it is not signed
    :param header: other fields of the manifest's header, or other values of them
    """
    records = logs_of(start, end) if records is None else records
    body = b'{"results":[%s],"count":1,"total_pages":1}' % b",".join(records)
    page = read_audit_logs(Response(200, body=body), 1, field)
    triples = [(log.at, log.id, log.raw) for log in page.logs]
    name = str(path)
    with ManifestBuilder(format_of(name)) as builder:

        def manifest(written):
            file = {
                "name": name.rpartition("/")[2],
                "format": written.format,
                "bytes": written.bytes,
                "sha256": written.sha256,
                "count": len(triples),
            }
            query = {"start": start.isoformat(), "end": end.isoformat(), "timestamp_field": field, "filter": filter}
            key = {} if written.signing_key is None else {"signing_key": written.signing_key}
            return builder.manifest({"file": file, "query": query, "source": source, **key, **header})

        write_atomically(builder.watch(triples), name, manifest=manifest, signer=signer)
    return path


def write_days(directory, suffix: str = "jsonl", days: int = 3, signer=None) -> list:
    """Write the workspace's last days, a file each; return the paths in order."""
    starts = [UNTIL - number * DAY for number in range(days, 0, -1)]
    return [write(directory / f"{start:%Y-%m-%d}.{suffix}", start, start + DAY, signer=signer) for start in starts]


def manifest_of(path):
    return path.parent / "_manifests" / f"_{path.name}.manifest"


def lines_of(path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def found(result) -> list[tuple]:
    """Return kind, position and id of every finding of every file."""
    return [(finding.kind, finding.position, finding.id) for file in result.files for finding in file.findings.listed]
