"""OpenLineage datasets and facets of Secoda and of files; all facets are standard ones.

Import this module only when OpenLineage calls: it needs OpenLineage's client, which is not a dependency.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import attrs
from openlineage.client.generated.base import DatasetFacet, InputDataset, InputDatasetFacet, OutputDataset, RunFacet
from openlineage.client.generated.data_quality_assertions_dataset import (
    Assertion,
    DataQualityAssertionsDatasetFacet,
)
from openlineage.client.generated.data_quality_metrics_input_dataset import (
    ColumnMetrics,
    DataQualityMetricsInputDatasetFacet,
)
from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet
from openlineage.client.generated.datasource_dataset import DatasourceDatasetFacet
from openlineage.client.generated.input_statistics_input_dataset import InputStatisticsInputDatasetFacet
from openlineage.client.generated.output_statistics_output_dataset import OutputStatisticsOutputDatasetFacet
from openlineage.client.generated.schema_dataset import SchemaDatasetFacet, SchemaDatasetFacetFields

from airflow_provider_secoda.assets.secoda import Address, authority_of
from airflow_provider_secoda.client._api.fields import AUDIT_LOG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_secoda.hooks._connection import ConnectionSettings

_SPEC = "https://openlineage.io/spec/facets/1-0-0"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
#: Other schemes of a store, and the one that OpenLineage uses.
_STORES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
#: Types of columns in Parquet files, where they have other names than the documented types.
_PARQUET_TYPES = {"boolean": "bool", "date-time": "timestamp[us, tz=UTC]", "object": "string"}


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
    return input_dataset(settings, None, facets, schema=_schema())


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
    """Return the file that the operator wrote as an output, from the operator's summary."""
    namespace, name = file_names(summary["path"])
    # A supplement has the late logs only.
    count = summary["late_logs"] if len(summary.get("paths", ())) > 1 else summary["count"]
    return OutputDataset(
        namespace,
        name,
        facets={
            "schema": _schema(parquet=summary["format"] == "parquet"),
            "version": DatasetVersionDatasetFacet(f"sha256:{summary['sha256']}"),
        },
        outputFacets={
            "outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=count, size=summary["bytes"], fileCount=1)
        },
    )


def verified_file(path: str, findings: Iterable[str]) -> InputDataset:
    """Return a file or folder that was verified; each kind of findings is an assertion that failed."""
    failed = [Assertion(kind, success=False) for kind in sorted(findings)]
    facet = DataQualityAssertionsDatasetFacet([Assertion("verified", success=not failed), *failed])
    return InputDataset(*file_names(path), inputFacets={"dataQualityAssertions": facet})


def file_names(path: str) -> tuple[str, str]:
    """Return OpenLineage's namespace and name of a file, from its path or URL, as Airflow's own asset converters do.

    An Airflow connection in a URL is not part of the name: it only says how the file is accessed.
    """
    url = _URL.match(path)
    if url is None:
        return "file", os.path.abspath(path)  # noqa: PTH100 - pathlib would keep dots or follow links
    scheme, rest = url[1].lower(), path[url.end() :]
    if scheme in {"file", "local"}:
        return "file", os.path.normpath("/" + rest.lstrip("/"))
    bucket, _, key = rest.removeprefix("/").partition("/")
    return f"{_STORES.get(scheme, scheme)}://{bucket.rpartition('@')[2]}", key.lstrip("/")


def input_dataset(
    settings: ConnectionSettings,
    resource_id: str | None,
    input_facets: dict[str, InputDatasetFacet] | None = None,
    **facets: DatasetFacet,
) -> InputDataset:
    """Return a resource as an input, or the audit logs, which have no id."""
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


def _schema(*, parquet: bool = False) -> SchemaDatasetFacet:
    """Return the documented fields, or the columns of a Parquet file."""
    fields = [_field(name, kind, parquet) for name, kind in AUDIT_LOG.items()]
    return SchemaDatasetFacet([*fields, SchemaDatasetFacetFields("raw", "string")] if parquet else fields)


def _field(name: str, kind: Any, parquet: bool) -> SchemaDatasetFacetFields:
    if isinstance(kind, dict):
        inner = [_field(*each, parquet) for each in kind.items()]
        return SchemaDatasetFacetFields(name, "struct", fields=inner)
    if isinstance(kind, list):
        return SchemaDatasetFacetFields(name, "array", fields=[_field("_element", kind[0], parquet)])
    if parquet:
        return SchemaDatasetFacetFields(name, _PARQUET_TYPES.get(kind, kind))
    if kind == "date-time":
        return SchemaDatasetFacetFields(name, "string", "ISO 8601")
    return SchemaDatasetFacetFields(name, kind)
