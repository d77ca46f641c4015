"""Refuse to replace a file by one that contains fewer logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_secoda._storage.manifest import ManifestError, manifest_path, read_manifest
from airflow_provider_secoda._storage.target import resolve_target

if TYPE_CHECKING:
    from airflow_provider_secoda._storage.spool import Spool
    from airflow_provider_secoda.operators._read import ReadResult


def check_replaced(path: str, result: ReadResult, spool: Spool) -> None:
    """Check that a file which is about to be replaced contains no log that was not read again.

    A task that is cleared after logs have expired in Secoda would replace a file by one that contains fewer logs. The
    manifest of the file shows it; a manifest of another query does not count, as the path may not depend on the window.

    :param path: path or URL of the file
    :param result: what was read
    :param spool: the logs that were read
    :raises AirflowFailException: the file contains logs that were not read, or its manifest cannot be read
    """
    manifest = manifest_path(path)
    file = resolve_target(manifest).open_if_exists()
    if file is None:
        return
    missing, example = 0, ""
    with file:
        try:
            header, records = read_manifest(file)
            query, source = dict(header["query"]), header["source"]["base_url"]
            # The rule that chose the window does not matter: a run that is triggered by hand may use another one.
            if query | {"window_rule": None} != result.query.as_dict() | {"window_rule": None}:
                return
            for log_id, _ in records:
                if log_id not in spool:
                    missing, example = missing + 1, example or log_id
        except (ManifestError, LookupError, TypeError, ValueError) as exc:
            raise AirflowFailException(
                f"Cannot read manifest {manifest} ({exc}); refusing to replace the file. Move or delete the manifest "
                "and retry"
            ) from exc
    if missing:
        raise AirflowFailException(
            f"Refusing to replace {path}: it contains {missing} logs of {source}, such as {example!r}, that "
            f"{result.source['base_url']} no longer returns ({result.history}). Move the file and its manifest and "
            "retry, or write to another path"
        )
