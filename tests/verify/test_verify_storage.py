"""Files in object storage, by way of an Airflow connection: an S3 on loopback, the real client."""

from __future__ import annotations

import gzip
import json

import pytest
from output_files import DAY, START, found, log, write, write_days

from airflow_provider_secoda.verify import verify
from airflow_provider_secoda.verify.cli import main

boto3 = pytest.importorskip("boto3", reason="needs apache-airflow-providers-amazon[s3fs]")
pytest.importorskip("s3fs", reason="needs apache-airflow-providers-amazon[s3fs]")
moto = pytest.importorskip("moto.server", reason="needs moto[server]")

SECRET = "s3cr3t-of-the-store"


@pytest.fixture(scope="module")
def endpoint():
    """Serve S3 on loopback."""
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def connection(endpoint):
    return json.dumps(
        {
            "conn_type": "aws",
            "login": "someone-known",
            "password": SECRET,
            "extra": {"endpoint_url": endpoint, "region_name": "us-east-1"},
        }
    )


@pytest.fixture(scope="module")
def bucket(endpoint, tmp_path_factory):
    """Give a bucket with three days in two formats, and Airflow the connection ``moto_verify``."""
    known = {"aws_access_key_id": "someone-known", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_MOTO_VERIFY", connection(endpoint))
        bucket = boto3.resource("s3", endpoint_url=endpoint, **known).create_bucket(Bucket="evidence")
        for suffix in ("jsonl.gz", "parquet"):
            directory = tmp_path_factory.mktemp("days")
            write_days(directory, suffix)
            for file in directory.iterdir():
                bucket.upload_file(str(file), f"secoda/{suffix}/{file.name}")
        yield bucket


@pytest.mark.parametrize(
    ("url", "files"),
    [
        ("s3://moto_verify@evidence", 6),
        ("s3://moto_verify@evidence/", 6),
        ("s3://moto_verify@evidence/secoda", 6),
        ("s3://moto_verify@evidence/secoda/parquet/", 3),
        ("s3://moto_verify@evidence/secoda/jsonl.gz/2026-02-2", 3),
        ("s3://moto_verify@evidence/secoda/jsonl.gz/2026-02-27.jsonl.gz", 1),
        ("s3://moto_verify@evidence/secoda/parquet/2026-02-27.parquet.manifest.json", 1),
    ],
)
def test_files_below_a_url(bucket, url, files):
    """A bucket, a folder, the beginning of names, a file and its manifest lead to all the files there."""
    result = verify([url])
    assert (found(result), result.errors, len(result.files), result.exit_code) == ([], [], files, 0)
    assert all(file.path.startswith("s3://moto_verify@evidence/secoda/") for file in result.files)


def test_tampering_in_a_store_is_named(bucket, tmp_path):
    """An object that was altered is found like a file, to the record."""
    path = write(tmp_path / "x.jsonl.gz", START, START + DAY, [log("a", START), log("b", START)])
    bucket.upload_file(str(path) + ".manifest.json", "altered/x.jsonl.gz.manifest.json")
    bucket.put_object(
        Key="altered/x.jsonl.gz", Body=gzip.compress(log("a", START) + b"\n" + log("b", START, more=1) + b"\n")
    )
    result = verify(["s3://moto_verify@evidence/altered"])
    assert found(result) == [("altered", 2, "b"), ("bytes", None, None)]


def test_what_was_written_meanwhile_is_seen(bucket, tmp_path):
    """A second look sees what changed since the first, whatever the store's client remembers."""
    path = write(tmp_path / "x.jsonl", START, START + DAY, [])
    for key in ("x.jsonl", "x.jsonl.manifest.json"):
        assert len(verify(["s3://moto_verify@evidence/later"]).files) == (key != "x.jsonl")
        bucket.upload_file(str(path.parent / key), f"later/{key}")
    assert verify(["s3://moto_verify@evidence/later"]).exit_code == 0


@pytest.mark.parametrize(
    "url",
    [
        "s3://moto_verify@evidence/nothing/here",
        "s3://moto_verify@no-such-bucket/secoda",
        "s3://no_such_connection@evidence/secoda",
        "s3://moto_closed@evidence/secoda",
    ],
)
def test_a_store_that_cannot_be_read_is_no_success(bucket, monkeypatch, capsys, url):
    """Nothing there, no bucket, no connection and no server are status 2, and nothing of a connection is printed."""
    monkeypatch.setenv("AIRFLOW_CONN_MOTO_CLOSED", connection("http://127.0.0.1:9"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert main([url]) == 2
    out, err = capsys.readouterr()
    printed = out + err
    assert url in printed
    assert "Traceback" not in printed
    assert not any(secret in printed for secret in (SECRET, "someone-known", "127.0.0.1"))


def test_only_the_result_goes_to_standard_output(bucket, capsys):
    """JSON of files in a store is JSON and nothing else, whatever Airflow and the store's client say meanwhile."""
    assert main(["s3://moto_verify@evidence/secoda", "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)["files"]) == 6
    assert SECRET not in out + err
