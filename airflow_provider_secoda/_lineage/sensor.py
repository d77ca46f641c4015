"""Report the sensor's input to OpenLineage; its modules are imported only when OpenLineage calls the method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


class ResourceLineage:
    """Report the resource as input, with the name that :mod:`airflow_provider_secoda.assets.secoda` gives it."""

    secoda_conn_id: str
    resource_id: str

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any] | None:
        """Return the input, which is the same at the end."""
        try:
            from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415
        except ImportError:
            return None
        from airflow_provider_secoda._lineage import facets  # noqa: PLC0415
        from airflow_provider_secoda.hooks._connection import read_connection  # noqa: PLC0415
        from airflow_provider_secoda.hooks.secoda import SecodaHook  # noqa: PLC0415

        settings = read_connection(SecodaHook.get_connection(self.secoda_conn_id))
        return OperatorLineage(inputs=[facets.input_dataset(settings, self.resource_id)])
