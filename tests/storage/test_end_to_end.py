"""End to end: the operator in real DAG runs writes from a sandbox to object storage, and the files are read there."""

from __future__ import annotations

import gzip
import hashlib
import json
from datetime import datetime, timezone

import pytest

from tests.helpers import gcs_server, s3_server

pytest.importorskip("starlette", reason="the sandbox needs it")

from airflow_provider_secoda.sandbox import Sandbox, Workspace
from airflow_provider_secoda.verify import verify

START, END = datetime(2026, 3, 1, tzinfo=timezone.utc), datetime(2026, 3, 2, tzinfo=timezone.utc)
FORMATS = ("jsonl", "jsonl.gz", "parquet")
ODD = (
    b'{ "zeta":1.50,"id":"odd-%d","created_at":"2026-03-01T12:00:00Z","logged_at":"2026-03-01T%s",'
    b'"activity_type":"VIEWED","big":9007199254740993,"name":"\\u00e9 \\/ \xc3\xa9"}'
)
DAG = """
from datetime import datetime, timezone
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

with DAG("end_to_end_{name}", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), schedule=None):
    for suffix in {formats}:
        SecodaAuditLogsOperator(
            task_id=suffix.replace(".", "_"), start="2026-03-01", end="2026-03-02",
            output_path="{url}/day={{start:%Y-%m-%d}}/logs." + suffix,
        )
"""


@pytest.fixture(scope="module")
def workspace():
    """Return a workspace with logs whose JSON no other writer would write in the same way."""
    found = Workspace.generate(seed=5, logs=900, days=3, until=datetime(2026, 3, 3, tzinfo=timezone.utc))
    for number, at in enumerate((b"00:00:00.000000Z", b"07:30:00+05:30", b"23:59:59.999999Z")):
        found.add_log(raw=ODD % (number, at))
    return found


@pytest.fixture(scope="module")
def truth(workspace):
    """Return the logs of the day, as the API sends them."""
    return workspace.window(START, END)


@pytest.fixture(scope="module")
def written(airflow, bucket, workspace):
    """Run the DAG twice; return the summaries by format and the contents of the bucket after each run."""
    with Sandbox(workspace, page_size=50) as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", sandbox.connection_json)
        source = DAG.format(name=bucket.url[:2], formats=FORMATS, url=bucket.url)
        (dag,) = airflow.load(source).values()
        runs = []
        for _ in range(2):
            ran = airflow.run_dag(dag)
            assert ran.state == "success", ran.log
            secrets = (*s3_server.SECRETS, *gcs_server.SECRETS)
            # Airflow 3.0 itself logs at DEBUG which secrets it masks.
            said = "".join(line for line in ran.log.splitlines() if "MaskSecret(" not in line)
            assert not any(secret in said + json.dumps(ran.xcoms) for secret in secrets)
            runs.append(({kind: ran.xcoms[kind.replace(".", "_")] for kind in FORMATS}, _all(bucket)))
        return runs


def _all(bucket):
    return {key: bucket.read(key) for key in bucket.keys()}  # noqa: SIM118 - not a dictionary


@pytest.fixture
def files(written):
    """Return the contents of the bucket, by format."""
    _, held = written[1]
    return {kind: held[f"day=2026-03-01/logs.{kind}"] for kind in FORMATS}


def test_three_files_and_their_manifests(bucket, written, files, truth):
    """A file of each format is complete, as its summary says, with its manifest, and there are no other objects."""
    (summaries, _), (_, held) = written
    names = {f"day=2026-03-01/logs.{kind}" for kind in FORMATS}
    assert set(held) == names | {name.replace("/", "/_manifests/_") + ".manifest" for name in names}
    for kind, summary in summaries.items():
        assert summary["path"] == f"{bucket.url}/day=2026-03-01/logs.{kind}"
        assert (summary["count"], summary["bytes"]) == (len(truth), len(files[kind]))
        assert summary["sha256"] == hashlib.sha256(files[kind]).hexdigest()


def test_lines_are_what_the_api_sent(files, truth):
    """Lines are the API's own bytes, compressed or not."""
    assert len(truth) > 100
    assert files["jsonl"] == gzip.decompress(files["jsonl.gz"]) == b"".join(raw + b"\n" for raw in truth)


def test_a_second_run_writes_the_same_bytes(written):
    """A second run of the window writes the same bytes, and manifests with the same records."""
    (_, first), (_, second) = written
    assert set(first) == set(second)
    for name, held in first.items():
        if name.endswith(".manifest"):
            assert json.loads(held)["records"] == json.loads(second[name])["records"]
        else:
            assert held == second[name]


def test_verify_finds_nothing(bucket, written):
    """``verify`` has no findings for the URL."""
    result = verify([bucket.url], start=START, end=END)
    assert (result.errors, result.exit_code, len(result.files)) == ([], 0, 3)


@pytest.fixture
def root(bucket):
    """Return the file system and the path of the bucket, as Airflow gives them to a task."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return ObjectStoragePath(bucket.url)


def test_parquet_in_pandas(root, written, truth):
    """Pandas reads the Parquet file from the store: times in UTC, and the bytes of each log."""
    pandas = pytest.importorskip("pandas")
    path = root / "day=2026-03-01" / "logs.parquet"
    with path.open("rb") as file:
        frame = pandas.read_parquet(file)
    by_url = pandas.read_parquet(path.path, filesystem=root.fs)
    assert frame.equals(by_url[frame.columns])  # some versions add the `day` of the path
    assert [text.encode() for text in frame["raw"]] == truth
    assert str(frame["logged_at"].dt.tz) == "UTC"
    assert list(frame["logged_at"]) == [_moment(raw) for raw in truth]
    assert frame["logged_at"].between(START, END, inclusive="left").all()


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz"])
def test_lines_in_pandas(root, written, truth, kind):
    """Pandas reads the lines from the store, compressed or not."""
    pandas = pytest.importorskip("pandas")
    with (root / "day=2026-03-01" / f"logs.{kind}").open("rb") as file:
        compression = "gzip" if kind.endswith("gz") else None
        frame = pandas.read_json(file, lines=True, compression=compression, dtype=False)
    assert list(frame["id"]) == [json.loads(raw)["id"] for raw in truth]
    logged_at = pandas.to_datetime(frame["logged_at"], utc=True, format="ISO8601")
    assert list(logged_at) == [_moment(raw) for raw in truth]


def test_in_duckdb(bucket, root, written, truth):
    """DuckDB reads all formats from the store, by name and by pattern, without the manifests, and with types."""
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.register_filesystem(root.fs)
        scheme, inner = bucket.url.partition(":")[0], (root / "day=2026-03-01" / "logs.parquet").path
        place = f"{scheme}://{inner.partition('/')[0]}/day=*"
        rows = connection.sql(f"select raw, logged_at, typeof(logged_at) from '{place}/*.parquet'").fetchall()
        assert [raw.encode() for raw, _, _ in rows] == truth
        assert [at for _, at, _ in rows] == [_moment(raw) for raw in truth]
        assert {kind for _, _, kind in rows} == {"TIMESTAMP WITH TIME ZONE"}
        for kind in ("jsonl", "jsonl.gz"):
            columns = "{id: 'VARCHAR', logged_at: 'TIMESTAMPTZ'}"
            rows = connection.sql(f"select id, logged_at from read_ndjson('{place}/*.{kind}', columns={columns})")
            assert rows.fetchall() == [(json.loads(raw)["id"], _moment(raw)) for raw in truth]


def _moment(raw):
    return datetime.fromisoformat(json.loads(raw)["logged_at"].replace("Z", "+00:00"))
