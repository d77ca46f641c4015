"""Readers of folders read the logs and nothing else: neither manifests, nor what a killed task has left."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from airflow_provider_secoda._storage.manifest import ManifestBuilder, manifest_path
from airflow_provider_secoda._storage.window_files import window_file
from airflow_provider_secoda._storage.write import write_atomically
from airflow_provider_secoda.operators._output_path import replace_placeholders
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.windows import Window

MARCH = datetime(2026, 3, 1, tzinfo=timezone.utc)
WORKSPACE = Workspace.generate(seed=6, logs=40, days=2, until=MARCH + timedelta(days=2))
WINDOWS = [Window(MARCH + timedelta(days=day), MARCH + timedelta(days=day + 1), "start_end") for day in (0, 1)]
LOGS = [WORKSPACE.window(window.start, window.end) for window in WINDOWS]
IDS = sorted(json.loads(raw)["id"] for logs in LOGS for raw in logs)
PARTITIONS = {"2026-03-01": len(LOGS[0]), "2026-03-02": len(LOGS[1])}
(HIVE,) = re.findall(
    r'output_path="s3://my_aws@my-bucket/secoda/audit_logs/(dt=.*?)\.jsonl\.gz"',
    (Path(__file__).parents[2] / "docs" / "how-to" / "load.md").read_text(),
)


def fill(folder, pattern, suffix):
    """Write two days with supplements, and what a task leaves that was killed before it renamed its file."""
    parts = [(window, number, logs[number::2]) for window, logs in zip(WINDOWS, LOGS, strict=True) for number in (0, 1)]
    for window, number, logs in parts:
        path = window_file(replace_placeholders(f"{folder}/{pattern}.{suffix}", window), number)
        with ManifestBuilder(suffix) as builder:
            records = builder.watch((0, json.loads(raw)["id"], raw) for raw in logs)
            write_atomically(
                records, path, manifest=lambda written, make=builder.manifest: make({"file": vars(written)})
            )
        manifest = Path(manifest_path(path))
        assert manifest.is_file()
        (manifest.parent / ".secoda-0123.part").write_bytes(Path(path).read_bytes())
    return folder


@pytest.fixture(params=["{start:%Y-%m-%d}", HIVE], ids=["flat", "hive"])
def pattern(request):
    """Return how the files are named: all in one folder, or in Hive partitions, as the documents show them."""
    return request.param


def test_parquet_in_pandas_and_pyarrow(tmp_path, pattern):
    """Pandas and pyarrow read a folder of Parquet files."""
    pandas = pytest.importorskip("pandas")
    dataset = pytest.importorskip("pyarrow.dataset")
    fill(tmp_path, pattern, "parquet")
    assert sorted(pandas.read_parquet(tmp_path)["id"]) == IDS
    table = dataset.dataset(tmp_path, partitioning="hive").to_table()
    assert sorted(table["id"].to_pylist()) == IDS
    if pattern == HIVE:
        counts = table.group_by("dt").aggregate([("id", "count")]).to_pylist()
        assert {str(row["dt"]): row["id_count"] for row in counts} == PARTITIONS


def test_lines_in_pyarrow(tmp_path, pattern):
    """Pyarrow reads a folder of JSON lines."""
    dataset = pytest.importorskip("pyarrow.dataset")
    found = dataset.dataset(fill(tmp_path, pattern, "jsonl"), format="json", partitioning="hive")
    assert sorted(found.to_table(columns=["id"])["id"].to_pylist()) == IDS


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "parquet"])
def test_in_duckdb(tmp_path, pattern, suffix):
    """DuckDB reads a folder by the patterns ``*`` and ``**/*.suffix``, with partitions."""
    duckdb = pytest.importorskip("duckdb")
    fill(tmp_path, pattern, suffix)
    reader = "read_parquet" if suffix == "parquet" else "read_ndjson"
    # A pattern without a suffix does not show a compression.
    all_files = ["dt=*/*" if pattern == HIVE else "*"] if suffix != "jsonl.gz" else []
    for files in (*all_files, f"**/*.{suffix}"):
        columns = "" if suffix == "parquet" else ", columns={id: 'VARCHAR'}"
        rows = duckdb.sql(f"select id from {reader}('{tmp_path}/{files}'{columns})").fetchall()
        assert sorted(row[0] for row in rows) == IDS
    if pattern == HIVE:
        query = f"from {reader}('{tmp_path}/**/*.{suffix}', hive_partitioning=true) group by dt"
        counts = duckdb.sql(f"select dt::varchar, count(*) {query}").fetchall()
        assert dict(counts) == PARTITIONS
