"""The code in docs/how-to/load.md: readers read the files, and templates of the DAGs name the right objects."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_secoda._storage.manifest import manifest_path
from airflow_provider_secoda._storage.window_files import window_file
from airflow_provider_secoda._storage.write import write_atomically
from airflow_provider_secoda.sandbox import Workspace
from tests.helpers import s3_server

TEXT = (Path(__file__).parent.parent / "docs" / "how-to" / "load.md").read_text()
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
            late = 0 if number == 1 else 3  # in a supplement
            for path, part in ((url, logs[late:]), *([(window_file(url, 1), logs[:late])] if late else [])):
                write_atomically(part, path, manifest=lambda written: [b"{}" if written else b""])
    return days


def test_the_pandas_block(truth):
    """The code with pandas reads the logs of one day, typed and as lines."""
    pytest.importorskip("pandas")
    found = {}
    exec(compile(READERS["pandas"], "load.md", "exec"), found)
    assert [text.encode() for text in found["typed"]["raw"]] == truth[0]
    for frame in (found["typed"], found["lines"]):
        assert list(frame["logged_at"]) == [_moment(raw) for raw in truth[0]]
        assert str(frame["logged_at"].dt.tz) == "UTC"


def test_the_duckdb_block(truth):
    """The code with DuckDB reads all logs of all days, also those of supplements, and no manifest."""
    duckdb = pytest.importorskip("duckdb")
    with suppress(duckdb.Error):  # another test may have registered it in this process
        duckdb.unregister_filesystem("s3")
    found = {}
    exec(compile(READERS["duckdb"], "load.md", "exec"), found)
    logs = [json.loads(raw) for day in truth for raw in day]
    assert sum(times for _, times, _ in found["what"]) == len(logs)
    assert {kind for kind, _, _ in found["what"]} == {log["activity_type"] for log in logs}
    assert max(latest for *_, latest in found["what"]) == _moment(truth[1][-1])
    untouched = sorted((name, text.encode()) for name, text in found["untouched"])  # files come in any order
    assert untouched == sorted((json.loads(raw)["id"], raw) for day in truth for raw in day)


MOMENT = '"logged_at":"2026-03-01T12:00:00Z"'
#: Logs that JSON allows, and which readers of JSON lines refuse them: those of the table "Odd logs".
ODD = {
    "half a pair": (f'{{"id":"odd",{MOMENT},"performer_id":"\\ud83d"}}', {"duckdb", "duckdb typed"}),
    "half a pair elsewhere": (f'{{"id":"odd",{MOMENT},"new":["\\udd86"]}}', {"duckdb", "duckdb typed"}),
    "half a pair in metadata": (f'{{"id":"odd",{MOMENT},"metadata":{{"a":"\\udd86"}}}}', {"duckdb", "duckdb typed"}),
    "long integer": (f'{{"id":"odd",{MOMENT},"new":18446744073709551616}}', {"pandas"}),
    "very long integer": (f'{{"id":"odd",{MOMENT},"new":{"9" * 5000}}}', {"pandas", "json"}),
    "leap second": ('{"id":"odd","logged_at":"2026-03-01T23:59:60Z"}', {"pandas", "duckdb typed"}),
    "blank": ('{"id":"odd","logged_at":"2026-03-01 12:00:00 +00"}', {"duckdb typed"}),
    "NUL": (f'{{"id":"odd",{MOMENT},"activity_type":"a\\u0000b"}}', set()),
    "infinite": (f'{{"id":"odd",{MOMENT},"new":1e999}}', set()),
    "name twice": (f'{{"id":"odd",{MOMENT},"new":1,"new":2}}', set()),
    "other types": (f'{{"id":"odd",{MOMENT},"is_legacy":"no","performer_metadata":3,"created_at":7}}', set()),
    "deep": (f'{{"id":"odd",{MOMENT},"new":{"[" * 150}{"]" * 150}}}', set()),
}
(_READ_RAW,) = re.findall("`(case when json_valid.* end)`", TEXT)
LINES = 'with (logs / "2026-03-01.jsonl.gz")'


@pytest.mark.parametrize("name", ODD)
def test_odd_logs(airflow, monkeypatch, name):
    """The code of the page with a log that readers may refuse: Parquet is read, and lines as the page says."""
    pytest.importorskip("pandas")
    duckdb = pytest.importorskip("duckdb")
    with suppress(duckdb.Error):  # another test may have registered it in this process
        duckdb.unregister_filesystem("s3")
    raw, refused_by = ODD[name]
    folder = name.replace(" ", "_")
    server = s3_server.serve()
    monkeypatch.setenv("AIRFLOW_CONN_MY_AWS", server.connection())
    server.bucket("my-bucket")
    raws = [raw.encode(), f'{{"id":"plain",{MOMENT},"activity_type":"update"}}'.encode()]
    for suffix in ("parquet", "jsonl.gz"):
        write_atomically(raws, f"s3://my_aws@my-bucket/{folder}/audit_logs/2026-03-01.{suffix}")
    typed, _, lines = READERS["pandas"].replace("/secoda/", f"/{folder}/").partition(LINES)
    what, _, untouched = READERS["duckdb"].replace("/secoda/", f"/{folder}/").partition("untouched =")
    found = {}
    _run(typed, found)
    _run(what, found)
    assert [text.encode() for text in found["typed"]["raw"]] == raws
    assert sum(times for _, times, _ in found["what"]) == len(raws)
    assert not found["typed"]["logged_at"].isna().any()
    place = f"s3://my-bucket/{folder}/audit_logs/2026-03-01"
    safe = _READ_RAW.replace("new_field", "id")
    rows = duckdb.sql(f"select {safe}, raw from '{place}.parquet'").fetchall()
    assert [text.encode() for _, text in rows] == raws
    assert rows[0][0] == (None if "half a pair" in name else "odd")
    columns = "columns={id: 'VARCHAR', logged_at: 'TIMESTAMPTZ'}"
    readers = {
        "pandas": lambda: _run(LINES + lines, found),
        "duckdb": lambda: _run("untouched =" + untouched, found),
        "duckdb typed": lambda: duckdb.sql(f"select * from read_ndjson('{place}.jsonl.gz', {columns})").fetchall(),
        "json": lambda: [json.loads(each) for each in raws],
    }
    assert {reader for reader, read in readers.items() if _refused(read, (ValueError, duckdb.Error))} == refused_by


def _run(code, names):
    exec(compile(code, "load.md", "exec"), names)


def _refused(read, errors):
    try:
        read()
    except errors:
        return True
    return False


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
    assert re.fullmatch(pattern, window_file(name, 1))
    assert not re.fullmatch(pattern, manifest_path(name))


def _named(fetch):
    """Return the path that a task writes for the window of 1 March."""
    return fetch.output_path.replace("{start:%Y-%m-%d}", "2026-03-01")
