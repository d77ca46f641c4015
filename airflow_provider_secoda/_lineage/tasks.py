"""What the operators and the sensor report to OpenLineage. OpenLineage is imported only when it calls them.

The audit logs are the operator's input, and the file is the output, with schema, counts and window. The manifest is not
an output: it describes the file. Without ``output_path`` there is no output, because a return value is not a dataset.
Datasets are named as in :mod:`airflow_provider_secoda.assets.secoda`, and files as Airflow's own asset converters name
them; the names contain no connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_secoda.hooks._connection import ConnectionSettings

#: How many files a verification reports: some receivers of lineage events limit their size.
_MAX_FILES = 500


class ResourceLineage:
    """Report the sensor's resource as input."""

    secoda_conn_id: str
    resource_id: str

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any] | None:
        """Return the input, which is the same at the end."""
        return lineage_on_start(self.secoda_conn_id, self.resource_id)


def lineage_on_start(secoda_conn_id: str, resource_id: str | None = None) -> OperatorLineage[Any, Any] | None:
    """Return the lineage of a task that starts; None if OpenLineage is not installed.

    :param resource_id: the resource that the task polls; None: the task reads the audit logs
    """
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415
    except ImportError:
        return None
    from airflow_provider_secoda._lineage.facets import audit_logs, input_dataset  # noqa: PLC0415
    from airflow_provider_secoda.hooks._connection import read_connection  # noqa: PLC0415
    from airflow_provider_secoda.hooks.secoda import SecodaHook  # noqa: PLC0415

    settings = read_connection(SecodaHook.get_connection(secoda_conn_id))
    return OperatorLineage(
        inputs=[audit_logs(settings) if resource_id is None else input_dataset(settings, resource_id)]
    )


def lineage_on_complete(
    settings: ConnectionSettings, query: Mapping[str, Any], summary: Mapping[str, Any] | None
) -> OperatorLineage[Any, Any] | None:
    """Return the lineage of an operator's task that has ended; None if OpenLineage is not installed.

    :param query: what was read: ``start``, ``end``, ``window_rule``, ``timestamp_field`` and ``filter``
    :param summary: the operator's summary; None if the task failed or was skipped
    """
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415
    except ImportError:
        return None
    from airflow_provider_secoda._lineage.facets import audit_logs, output_file, parameters  # noqa: PLC0415

    return OperatorLineage(
        inputs=[audit_logs(settings, query, summary)],
        outputs=[output_file(summary)] if summary is not None and _wrote_file(summary) else [],
        run_facets={"executionParameters": parameters(query)},
    )


def lineage_of_verification(findings: Mapping[str, Iterable[str]]) -> OperatorLineage[Any, Any] | None:
    """Return files that were verified as inputs, those with findings first; None if OpenLineage is not installed.

    :param findings: the kinds of findings of each path
    """
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415
    except ImportError:
        return None
    from airflow_provider_secoda._lineage.facets import verified_file  # noqa: PLC0415

    paths = sorted(findings, key=lambda path: not findings[path])
    return OperatorLineage(inputs=[verified_file(path, findings[path]) for path in paths[:_MAX_FILES]])


def _wrote_file(summary: Mapping[str, Any]) -> bool:
    """Return whether the task wrote a file: not without ``output_path``, and not if a supplement would be empty."""
    return "path" in summary and bool(summary.get("written", True))
