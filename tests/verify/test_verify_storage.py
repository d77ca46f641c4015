"""Files in object storage, through an Airflow connection: S3 and GCS on loopback, with the real clients."""

from __future__ import annotations

import gzip
import json

import pytest

from airflow_provider_secoda.signing import PrivateKeySigner, generate_key
from airflow_provider_secoda.verify import verify
from airflow_provider_secoda.verify._cli import main
from airflow_provider_secoda.verify._reports.chain import check_chain
from airflow_provider_secoda.verify._reports.write import write_report
from tests.helpers import gcs_server, s3_server
from tests.verify.output_files import DAY, START, found, log, manifest_of, write, write_days

SIGNER = PrivateKeySigner.from_pem(generate_key())
KEYS = [SIGNER.public_key.decode()]


@pytest.fixture(scope="module", params=["s3", "gs"])
def bucket(airflow, request, tmp_path_factory):
    """Give a bucket of each store with three days in two formats, and Airflow the connection that its URL names."""
    with pytest.MonkeyPatch.context() as patch:
        bucket = {"s3": s3_server, "gs": gcs_server}[request.param].connected(patch).bucket("evidence")
        for suffix in ("jsonl.gz", "parquet"):
            directory = tmp_path_factory.mktemp("days")
            write_days(directory, suffix, signer=SIGNER)
            for file in directory.rglob(f"*.{suffix}*"):
                bucket.write(f"secoda/{suffix}/{file.relative_to(directory)}", file.read_bytes())
        yield bucket


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("", 6),
        ("/", 6),
        ("/secoda", 6),
        ("/secoda/parquet/", 3),
        ("/secoda/jsonl.gz/2026-02-2", 3),
        ("/secoda/jsonl.gz/2026-02-27.jsonl.gz", 1),
        ("/secoda/parquet/_manifests/_2026-02-27.parquet.manifest", 1),
    ],
)
def test_files_below_a_url(bucket, path, files):
    """A bucket, a directory, the beginning of keys, a file and its manifest are all valid paths."""
    result = verify([bucket.url + path])
    assert (found(result), result.errors, len(result.files), result.exit_code) == ([], [], files, 0)
    assert all(file.path.startswith(f"{bucket.url}/secoda/") for file in result.files)


def test_tampering_in_a_store_is_named(bucket, tmp_path):
    """An altered record in an object is named, as in a local file."""
    path = write(tmp_path / "x.jsonl.gz", START, START + DAY, [log("a", START), log("b", START)])
    manifest = manifest_of(path).read_bytes()
    bucket.write("altered/_manifests/_x.jsonl.gz.manifest", manifest)
    bucket.write("altered/x.jsonl.gz", gzip.compress(log("a", START) + b"\n" + log("b", START, more=1) + b"\n"))
    result = verify([f"{bucket.url}/altered"])
    assert found(result) == [("altered", 2, "b"), ("checksum", None, None)]


def test_a_file_that_was_written_since_is_found(bucket, tmp_path):
    """A second check sees what changed since the first, although the store's client caches listings."""
    path = write(tmp_path / "x.jsonl", START, START + DAY, [])
    for key in ("x.jsonl", "_manifests/_x.jsonl.manifest"):
        assert len(verify([f"{bucket.url}/later"]).files) == (key != "x.jsonl")
        bucket.write(f"later/{key}", (path.parent / key).read_bytes())
    assert verify([f"{bucket.url}/later"]).exit_code == 0


def test_signatures_in_a_store(bucket, tmp_path):
    """Signatures are read from the store; one that was written since the last check is found."""
    result = verify([f"{bucket.url}/secoda"], public_keys=KEYS)
    assert (found(result), result.exit_code, result.other_files) == ([], 0, 0)
    path = write(tmp_path / "x.jsonl", START, START + DAY, [], signer=SIGNER)
    names = ["x.jsonl", "_manifests/_x.jsonl.manifest", "_manifests/_x.jsonl.manifest.sig"]
    for number, key in enumerate(names):
        bucket.write(f"signed/{key}", (tmp_path / key).read_bytes())
        kinds = [kind for kind, *_ in found(verify([f"{bucket.url}/signed/{path.name}"], public_keys=KEYS))]
        assert kinds == [["manifest_missing"], ["unsigned"], []][number]


@pytest.mark.parametrize(
    "url",
    [
        "SCHEME://USER@evidence/nothing/here",
        "SCHEME://USER@no-such-bucket/secoda",
        "SCHEME://no_such_connection@evidence/secoda",
        "SCHEME://CLOSED@evidence/secoda",
    ],
)
def test_a_store_that_cannot_be_read_is_an_error(bucket, monkeypatch, capsys, url):
    """No files, no bucket, no connection or no server is status 2, and no secret of a connection is printed."""
    scheme, _, user = bucket.url.rpartition("@")[0].partition("://")
    if scheme == "gs" and "CLOSED" in url:
        pytest.skip("gcsfs tries for a minute")
    monkeypatch.setenv("AIRFLOW_CONN_S3_CLOSED", s3_server.connected(monkeypatch).connection("http://127.0.0.1:9"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    url = url.replace("SCHEME", scheme).replace("USER", user).replace("CLOSED", "s3_closed")
    assert main([url]) == 2
    out, err = capsys.readouterr()
    printed = out + err
    assert url in printed
    assert "Traceback" not in printed
    assert not any(secret in printed for secret in (*s3_server.SECRETS, *gcs_server.SECRETS, "127.0.0.1"))


def test_only_the_result_goes_to_standard_output(bucket, capsys):
    """Standard output is JSON only, although Airflow and the store's client print messages."""
    assert main([f"{bucket.url}/secoda", "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)["files"]) == 6
    assert not any(secret in out + err for secret in (*s3_server.SECRETS, *gcs_server.SECRETS))


def test_reports_in_write_once_storage(bucket):
    """Reports, their chain and what they cover may be in a bucket that refuses to delete and to overwrite."""
    write(f"{bucket.url}/reported/logs/a.jsonl", START, START + DAY)
    result = verify([f"{bucket.url}/reported/logs"])
    path = f"{bucket.url}/reported/reports/{{sequence}}.html"
    with s3_server.serve().refusing(s3_server.write_once):
        for _ in range(2):
            written = write_report(result, path, command="verify")
    assert written.json_path == f"{bucket.url}/reported/reports/000002.json"
    found = check_chain(written.json_path)
    assert (found.exit_code, found.files, [report.sequence for report in found.reports]) == (0, 1, [2, 1])
    with pytest.raises(FileExistsError, match="never overwritten"):
        write_report(result, f"{bucket.url}/reported/reports/000002.html", command="verify")
    bucket.write("reported/logs/_manifests/_a.jsonl.manifest", b"")
    assert check_chain(written.json_path).findings.counts == {"file_removed": 1}
