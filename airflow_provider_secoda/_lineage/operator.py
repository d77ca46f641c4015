"""What the operator tells OpenLineage; nothing of it is run, nor anything imported for it, unless OpenLineage asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_secoda._windows.resolve import Window
    from airflow_provider_secoda.client._api.audit_log_page import TimestampField
    from airflow_provider_secoda.hooks.secoda import SecodaHook


class AuditLogsLineage:
    """The audit logs as input and the file as output, with schema, counts and window.

    Only the file: the manifest beside it is a note about it. Without ``output_path`` there is no output, for a
    return value is no dataset. Datasets are called as in :mod:`airflow_provider_secoda.assets.secoda` and as
    Airflow's own asset converters call files; connections do not stand in their names.
    """

    secoda_conn_id: str
    timestamp_field: TimestampField
    filter: Mapping[str, Any] | str | None
    _hook: SecodaHook | None
    _window: Window | None
    _told: dict[str, Any] | None

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any] | None:
        """Return the input: until there is a file, it has no name."""
        try:
            from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415
        except ImportError:
            return None
        from airflow_provider_secoda._lineage.facets import audit_logs  # noqa: PLC0415
        from airflow_provider_secoda.hooks._connection import read_connection  # noqa: PLC0415
        from airflow_provider_secoda.hooks.secoda import SecodaHook  # noqa: PLC0415

        return OperatorLineage(inputs=[audit_logs(read_connection(SecodaHook.get_connection(self.secoda_conn_id)))])

    def get_openlineage_facets_on_complete(self, ti: Any) -> OperatorLineage[Any, Any] | None:
        """Return what is known of the run, which OpenLineage asks for also when the task failed or was skipped.

        Then it is the input and the window; where not even these were found, nothing: to read the connection again,
        in the process that OpenLineage forks, would at best fail once more.
        """
        del ti
        try:
            from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415
        except ImportError:
            return None
        if self._hook is None or self._window is None:
            return None
        from airflow_provider_secoda._lineage.facets import audit_logs, output_file, parameters  # noqa: PLC0415

        asked, told = self._asked(self._window), self._told
        return OperatorLineage(
            inputs=[audit_logs(self._hook.settings, asked, told)],
            outputs=[output_file(told)] if told is not None and "path" in told else [],
            run_facets={"executionParameters": parameters(asked)},
        )

    def _asked(self, window: Window) -> dict[str, Any]:
        from airflow_provider_secoda.client.filters import Filter  # noqa: PLC0415

        parsed = Filter.parse(self.filter)
        return {
            "start": window.start.isoformat(),
            "end": window.end.isoformat(),
            "window_rule": window.rule,
            "timestamp_field": self.timestamp_field,
            "filter": None if parsed is None else parsed.as_dict(),
        }
