"""The code in docs/loading.md: readers read the files, and templates of the DAGs name the right objects."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_secoda._storage.manifest import manifest_path
from airflow_provider_secoda._storage.write import write_atomically
from airflow_provider_secoda.sandbox import Workspace
from tests.helpers import s3_server

TEXT = (Path(__file__).parent.parent / "docs" / "loading.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
READERS = {name: block for block in BLOCKS for name in ("pandas", "duckdb") if f"import {name}\n" in block}
DAGS = {found[1]: block for block in BLOCKS if (found := re.search(r'dag_id="(\w+)"', block))}
PATHS = {
    "secoda_to_redshift": "s3://my_aws@my-bucket/secoda/audit_logs/2026-03-01.jsonl.gz",
    "secoda_to_snowflake": "s3://my_aws@my-bucket/secoda/audit_logs/2026-03-01.jsonl.gz",
    "secoda_to_bigquery": "gs://my_gcp@my-bucket/secoda/audit_logs/2026-03-01.parquet",
}


def test_every_block_is_tested():
    """Each block of code on the page is run by a test below."""
    assert (len(READERS), set(DAGS)) == (2, set(PATHS))
    assert len(BLOCKS) == len(READERS) + len(DAGS)


@pytest.fixture
def truth(airflow, monkeypatch):
    """Write two days in the formats and with the names of the page; return the logs of both."""
    server = s3_server.serve()
    monkeypatch.setenv("AIRFLOW_CONN_MY_AWS", server.connection())
    server.bucket("my-bucket")
    known = Workspace.generate(seed=6, logs=200, days=2, until=datetime(2026, 3, 3, tzinfo=timezone.utc))
    days = [known.window(*(datetime(2026, 3, day + add, tzinfo=timezone.utc) for add in (0, 1))) for day in (1, 2)]
    for number, logs in enumerate(days, 1):
        for suffix in ("parquet", "jsonl.gz"):
            url = f"s3://my_aws@my-bucket/secoda/audit_logs/2026-03-0{number}.{suffix}"
            write_atomically(logs, url, manifest=lambda written: [b"{}" if written else b""])
    return days


def test_the_pandas_block(truth):
    """The code with pandas reads the logs of one day, typed and as lines."""
    pytest.importorskip("pandas")
    found = {}
    exec(compile(READERS["pandas"], "loading.md", "exec"), found)
    assert [text.encode() for text in found["typed"]["raw"]] == truth[0]
    for frame in (found["typed"], found["lines"]):
        assert list(frame["logged_at"]) == [_moment(raw) for raw in truth[0]]
        assert str(frame["logged_at"].dt.tz) == "UTC"


def test_the_duckdb_block(truth):
    """The code with DuckDB reads all logs of all days, and no manifest."""
    pytest.importorskip("duckdb")
    found = {}
    exec(compile(READERS["duckdb"], "loading.md", "exec"), found)
    logs = [json.loads(raw) for day in truth for raw in day]
    assert sum(times for _, times, _ in found["what"]) == len(logs)
    assert {kind for kind, _, _ in found["what"]} == {log["activity_type"] for log in logs}
    assert max(latest for *_, latest in found["what"]) == _moment(truth[1][-1])
    untouched = sorted((name, text.encode()) for name, text in found["untouched"])  # files come in any order
    assert untouched == sorted((json.loads(raw)["id"], raw) for day in truth for raw in day)


def _moment(raw):
    return datetime.fromisoformat(json.loads(raw)["logged_at"].replace("Z", "+00:00"))


@pytest.fixture
def rendered(airflow, request):
    """Return the tasks of a DAG of the page by their ids, rendered as after the window of 1 March was written."""
    name = request.param
    for package in ("amazon",) if "redshift" in name else ("snowflake",) if "snowflake" in name else ("google",):
        pytest.importorskip(f"airflow.providers.{package}", reason=f"needs apache-airflow-providers-{package}")
    (dag,) = airflow.load(DAGS[name]).values()
    assert dag.dag_id == name
    summary = {"path": PATHS[name], "start": "2026-03-01T00:00:00+00:00", "end": "2026-03-02T00:00:00+00:00"}
    context = {"ti": SimpleNamespace(xcom_pull={"fetch_audit_logs": summary}.__getitem__)}
    for task in dag.tasks:
        task.render_template_fields(context)
    return {task.task_id: task for task in dag.tasks}


@pytest.mark.parametrize("rendered", ["secoda_to_redshift"], indirect=True)
def test_the_redshift_dag(rendered):
    """The list names the object that was written only, and the load uses the list; neither has a connection."""
    fetch, name_it, load = rendered.values()
    assert _named(fetch) == PATHS["secoda_to_redshift"]
    (entry,) = json.loads(name_it.data)["entries"]
    assert entry == {"url": "s3://my-bucket/secoda/audit_logs/2026-03-01.jsonl.gz", "mandatory": True}
    assert (load.s3_bucket, load.s3_key) == (name_it.s3_bucket, name_it.s3_key) != ("my-bucket", "")
    assert load.s3_key == "secoda/to_load/secoda/audit_logs/2026-03-01.jsonl.gz"
    assert (load.method, load.upsert_keys) == ("UPSERT", ["id"])
    query = load._build_copy_query("#audit_logs", "…", "", " ".join(load.copy_options))
    assert "FROM 's3://my-bucket/secoda/to_load/secoda/audit_logs/2026-03-01.jsonl.gz'" in query
    assert {"MANIFEST", "GZIP"} <= set(query.rstrip("; \n").split())
    assert load.upstream_task_ids == {"name_what_to_load"}


@pytest.mark.parametrize("rendered", ["secoda_to_redshift"], indirect=True)
def test_the_list_for_redshift_is_written(rendered, truth):
    """The operator and the connection of the page write the list to the bucket, and its objects exist."""
    rendered["name_what_to_load"].execute({})
    bucket = s3_server.serve().bucket("my-bucket")
    (entry,) = json.loads(bucket.read(rendered["load"].s3_key))["entries"]
    assert entry["url"].removeprefix("s3://my-bucket/") in bucket.keys("secoda/audit_logs/")


@pytest.mark.parametrize("rendered", ["secoda_to_snowflake"], indirect=True)
def test_the_snowflake_dag(rendered):
    """The rows of the window are deleted, then exactly the object that was written is loaded."""
    fetch, make_room, load = rendered.values()
    assert _named(fetch) == PATHS["secoda_to_snowflake"]
    assert "2026-03-01T00:00:00+00:00'::timestamp_tz" in make_room.sql
    assert "< '2026-03-02T00:00:00+00:00'::timestamp_tz" in make_room.sql
    assert load.files == ["secoda/audit_logs/2026-03-01.jsonl.gz"]
    assert load.copy_options == "FORCE = TRUE"
    assert load.upstream_task_ids == {"make_room"}


@pytest.mark.parametrize("rendered", ["secoda_to_bigquery"], indirect=True)
def test_the_bigquery_dag(rendered):
    """Exactly the object that was written replaces exactly its day of the table."""
    fetch, load = rendered.values()
    assert _named(fetch) == PATHS["secoda_to_bigquery"]
    assert (load.bucket, load.source_objects) == ("my-bucket", ["secoda/audit_logs/2026-03-01.parquet"])
    assert load.destination_project_dataset_table == "my-project.secoda.audit_logs$20260301"
    assert (load.source_format, load.write_disposition) == ("PARQUET", "WRITE_TRUNCATE")
    assert load.upstream_task_ids == {"fetch_audit_logs"}


def test_patterns_do_not_match_manifests():
    """The patterns for many files match data files, and not their manifests."""
    (pattern,) = re.findall(r'`pattern="(.*?)"`', TEXT)
    name = "secoda/audit_logs/2026-03-01.jsonl.gz"
    assert re.fullmatch(pattern, name)
    assert not re.fullmatch(pattern, manifest_path(name))


def _named(fetch):
    """Return the path that a task writes for the window of 1 March."""
    return fetch.output_path.replace("{start:%Y-%m-%d}", "2026-03-01")
