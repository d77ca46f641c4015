"""The names of files in lineage are those of OpenLineage, and of Airflow's own converters of assets."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("airflow")
pytest.importorskip("airflow.providers.openlineage", reason="the converters need it")

from airflow.providers.common.compat.sdk import Asset, ObjectStoragePath

from airflow_provider_secoda._lineage.facets import file_names

KEYS = st.text(st.sampled_from("abcXYZ019-_.=+@ "), min_size=1, max_size=20).map(lambda key: f"logs/day={key}/a.jsonl")


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/data/day=2026-03-01/a.jsonl", ("file", "/data/day=2026-03-01/a.jsonl")),
        ("/data/#1?.jsonl", ("file", "/data/#1?.jsonl")),
        ("file:///data/a b.jsonl", ("file", "/data/a b.jsonl")),
        ("file:/data/a.jsonl", ("file", "/data/a.jsonl")),
        ("s3://bucket/day/a.parquet", ("s3://bucket", "day/a.parquet")),
        ("s3://my_conn@bucket/day/a.parquet", ("s3://bucket", "day/a.parquet")),
        ("S3A://my_conn@bucket/a@b.parquet", ("s3://bucket", "a@b.parquet")),
        ("s3://bucket//day/a.jsonl", ("s3://bucket", "day/a.jsonl")),
        ("gs://my_conn@bucket/day/a.jsonl.gz", ("gs://bucket", "day/a.jsonl.gz")),
        ("gcs://bucket/a.jsonl", ("gs://bucket", "a.jsonl")),
        ("abfs://my_conn@container/a.jsonl", ("abfs://container", "a.jsonl")),
        ("s3://key:secret@bucket/a.jsonl", ("s3://bucket", "a.jsonl")),
    ],
)
def test_a_file_has_the_name_of_openlineage(path, names):
    """Namespace and name follow OpenLineage's naming, without the connection."""
    assert file_names(path) == names


def test_a_relative_path_is_made_absolute():
    """A relative path is reported as an absolute path, which identifies the file."""
    assert file_names("logs/a.jsonl") == ("file", os.path.join(os.getcwd(), "logs", "a.jsonl"))  # noqa: PTH109, PTH118


@given(KEYS)
def test_an_object_has_the_name_of_the_amazon_provider(key):
    """An object that the operator wrote and an S3 asset with its URL are one dataset."""
    s3 = pytest.importorskip("airflow.providers.amazon.aws.assets.s3")
    asset = s3.create_asset(bucket="logs", key=key)
    theirs = s3.convert_asset_to_openlineage(asset, None)
    assert file_names(f"s3://my_conn@logs/{key}") == (theirs.namespace, theirs.name)


@given(KEYS)
def test_bucket_and_key_are_those_of_airflow(key):
    """Bucket and key are those that Airflow gets from the same URL."""
    path = ObjectStoragePath(f"s3://my_conn@logs/{key}")
    assert "/".join(file_names(str(path))) == f"s3://{path.path}"


@given(KEYS)
def test_a_local_file_has_the_name_of_the_common_io_provider(key):
    """A file that the operator wrote and a file asset with its path are one dataset."""
    file = pytest.importorskip("airflow.providers.common.io.assets.file")
    theirs = file.convert_asset_to_openlineage(file.create_asset(path=f"/data/{key}"), None)
    assert file_names(f"/data/{key}") == file_names(f"file:///data/{key}") == (theirs.namespace, theirs.name)


@pytest.mark.parametrize("name", ["audit_logs", "resource/50%25", "workspace/Data%20Team/resource/x"])
def test_assets_become_datasets_through_airflow(name):
    """OpenLineage finds the provider's converter of assets, which uses the URI as the name."""
    from airflow.providers.common.compat.openlineage.utils.utils import translate_airflow_asset

    found = translate_airflow_asset(Asset(uri=f"secoda://eu.secoda.co/{name}"), None)
    assert (found.namespace, found.name) == ("secoda://eapi.secoda.co", name)
