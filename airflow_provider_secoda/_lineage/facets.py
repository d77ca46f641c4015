"""OpenLineage datasets and facets of Secoda and of files; all facets are standard ones.

Import this module only when OpenLineage calls: it needs OpenLineage's client, which is not a dependency.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
from openlineage.client.generated.base import DatasetFacet, InputDataset, InputDatasetFacet, OutputDataset, RunFacet
from openlineage.client.generated.data_quality_metrics_input_dataset import (
    ColumnMetrics,
    DataQualityMetricsInputDatasetFacet,
)
from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet
from openlineage.client.generated.datasource_dataset import DatasourceDatasetFacet
from openlineage.client.generated.input_statistics_input_dataset import InputStatisticsInputDatasetFacet
from openlineage.client.generated.output_statistics_output_dataset import OutputStatisticsOutputDatasetFacet
from openlineage.client.generated.schema_dataset import SchemaDatasetFacet, SchemaDatasetFacetFields

from airflow_provider_secoda._lineage.file_names import file_names
from airflow_provider_secoda.assets.secoda import Address, authority_of
from airflow_provider_secoda.client._api.fields import AUDIT_LOG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda.hooks._connection import ConnectionSettings

_SPEC = "https://openlineage.io/spec/facets/1-0-0"


@attrs.define
class InputSubset(InputDatasetFacet):
    """The part of an input that was read; OpenLineage clients of 2025 have no class for it."""

    inputCondition: dict[str, Any]  # noqa: N815 - OpenLineage's name

    @staticmethod
    def _get_schema() -> str:
        return f"{_SPEC}/BaseSubsetDatasetFacet.json#/$defs/InputSubsetInputDatasetFacet"


@attrs.define
class ExecutionParameters(RunFacet):
    """The parameters of a run; OpenLineage clients of 2025 have no class for it."""

    parameters: list[dict[str, str]]

    @staticmethod
    def _get_schema() -> str:
        return f"{_SPEC}/ExecutionParametersRunFacet.json#/$defs/ExecutionParametersRunFacet"


def resource(settings: ConnectionSettings, resource_id: str) -> InputDataset:
    """Return the resource that a sensor polls as an input."""
    return _input(settings, resource_id)


def audit_logs(
    settings: ConnectionSettings, query: Mapping[str, Any] | None = None, summary: Mapping[str, Any] | None = None
) -> InputDataset:
    """Return the audit logs as an input.

    :param query: what was read, as :func:`parameters` takes it; None before the task has resolved its window
    :param summary: the operator's summary; None before the task has succeeded
    """
    facets: dict[str, InputDatasetFacet] = {}
    if query is not None:
        facets["subset"] = InputSubset(_window(query))
    if summary is not None:
        count = summary["count"]
        facets["inputStatistics"] = InputStatisticsInputDatasetFacet(rowCount=count)
        # The operator guarantees that each log has an id and is read exactly once.
        facets["dataQualityMetrics"] = DataQualityMetricsInputDatasetFacet(
            rowCount=count, columnMetrics={"id": ColumnMetrics(nullCount=0, distinctCount=count)}
        )
    return _input(settings, None, facets, schema=_documented())


def parameters(query: Mapping[str, Any]) -> ExecutionParameters:
    """Return the parameters of a run: ``start``, ``end``, ``window_rule``, ``timestamp_field``, ``filter``."""
    return ExecutionParameters(
        [
            {"key": key, "value": value if isinstance(value, str) else json.dumps(value)}
            for key, value in query.items()
            if value is not None
        ]
    )


def output_file(summary: Mapping[str, Any]) -> OutputDataset:
    """Return the file that the operator wrote as an output.

    :param summary: the operator's summary
    """
    namespace, name = file_names(summary["path"])
    return OutputDataset(
        namespace,
        name,
        facets={
            "schema": _columns() if summary["format"] == "parquet" else _documented(),
            "version": DatasetVersionDatasetFacet(f"sha256:{summary['sha256']}"),
        },
        outputFacets={
            "outputStatistics": OutputStatisticsOutputDatasetFacet(
                rowCount=summary["count"], size=summary["bytes"], fileCount=1
            )
        },
    )


def _input(
    settings: ConnectionSettings,
    resource_id: str | None,
    input_facets: dict[str, InputDatasetFacet] | None = None,
    **facets: DatasetFacet,
) -> InputDataset:
    address = Address(authority_of(settings.base_url), settings.workspace, resource_id)
    source = DatasourceDatasetFacet(name=address.namespace, uri=settings.base_url)
    return InputDataset(
        address.namespace, address.name, facets={"dataSource": source, **facets}, inputFacets=input_facets or {}
    )


def _window(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the condition that the logs in a half-open window meet."""

    def compare(comparison: str, value: str) -> dict[str, Any]:
        return {
            "type": "compare",
            "left": {"type": "field", "field": query["timestamp_field"]},
            "comparison": comparison,
            "right": {"type": "literal", "value": value},
        }

    start, end = compare("GREATER_EQUAL_THAN", query["start"]), compare("LESS_THAN", query["end"])
    return {"type": "binary", "operator": "AND", "left": start, "right": end}


def _documented() -> SchemaDatasetFacet:
    return SchemaDatasetFacet([_field(name, kind) for name, kind in AUDIT_LOG.items()])


def _field(name: str, kind: Any) -> SchemaDatasetFacetFields:
    if isinstance(kind, dict):
        return SchemaDatasetFacetFields(name, "struct", fields=[_field(*inner) for inner in kind.items()])
    if isinstance(kind, list):
        return SchemaDatasetFacetFields(name, "array", fields=[_field("_element", kind[0])])
    return (
        SchemaDatasetFacetFields(name, "string", "ISO 8601")
        if kind == "date-time"
        else SchemaDatasetFacetFields(name, kind)
    )


def _columns() -> SchemaDatasetFacet:
    """Return the columns of a Parquet file."""
    from airflow_provider_secoda._storage.parquet import SCHEMA  # noqa: PLC0415 - pyarrow is an extra

    return SchemaDatasetFacet([_column(field.name, field.type) for field in SCHEMA])


def _column(name: str, kind: Any) -> SchemaDatasetFacetFields:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if pa.types.is_struct(kind):
        return SchemaDatasetFacetFields(name, "struct", fields=[_column(inner.name, inner.type) for inner in kind])
    if pa.types.is_list(kind):
        return SchemaDatasetFacetFields(name, "array", fields=[_column("_element", kind.value_type)])
    return SchemaDatasetFacetFields(name, str(kind))
