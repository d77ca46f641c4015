"""The same promises on S3, by way of an Airflow connection: a loopback server, the real client."""

import gzip
import hashlib
import json
import urllib.request

import pytest

from airflow_provider_secoda.sinks.manifest import Ledger, read_manifest
from airflow_provider_secoda.sinks.places import find_place
from airflow_provider_secoda.sinks.storage import land

boto3 = pytest.importorskip("boto3", reason="needs apache-airflow-providers-amazon[s3fs]")
pytest.importorskip("s3fs", reason="needs apache-airflow-providers-amazon[s3fs]")
moto = pytest.importorskip("moto.server", reason="needs moto[server]")

RECORDS = [b'{"id":"%d","n":2.50}' % n for n in range(1000)]
SOMEONE = {"aws_access_key_id": "someone", "aws_secret_access_key": "s3cr3t-value", "region_name": "us-east-1"}
LINES = b"".join(record + b"\n" for record in RECORDS)


@pytest.fixture(scope="module")
def endpoint():
    """Serve S3 on loopback, with one empty bucket."""
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def bucket(endpoint):
    """Give the bucket as another client sees it, and Airflow the connection ``moto``."""
    connection = {
        "conn_type": "aws",
        "login": SOMEONE["aws_access_key_id"],
        "password": SOMEONE["aws_secret_access_key"],
        "extra": {"endpoint_url": endpoint, "region_name": SOMEONE["region_name"]},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_MOTO", json.dumps(connection))
        bucket = boto3.resource("s3", endpoint_url=endpoint, **SOMEONE).create_bucket(Bucket="logs")
        yield bucket


def content(bucket, key):
    return bucket.Object(key).get()["Body"].read()


def keys(bucket):
    return [entry.key for entry in bucket.objects.all()]


def test_lands(bucket):
    """An object holds the whole file, and the answer shows no more of the connection than its id."""
    url = "s3://moto@logs/day=2026-03-01/logs.jsonl.gz"
    written = land(RECORDS, url)
    found = content(bucket, "day=2026-03-01/logs.jsonl.gz")
    assert gzip.decompress(found) == LINES
    assert written.path == url
    assert (written.bytes, written.sha256) == (len(found), hashlib.sha256(found).hexdigest())
    assert "ContentEncoding" not in bucket.Object("day=2026-03-01/logs.jsonl.gz").get()


def test_many_parts(bucket):
    """A file that goes in several parts arrives whole, and replaces the one before."""
    record = b"x" * (1 << 20)
    for count in (1, 40):
        written = land((record for _ in range(count)), "s3://moto@logs/large.jsonl")
        assert hashlib.sha256(content(bucket, "large.jsonl")).hexdigest() == written.sha256
    assert not list(bucket.multipart_uploads.all())
    parts = int(bucket.Object("large.jsonl").e_tag.strip('"').rpartition("-")[2])
    assert parts >= 4  # none of them so large that memory would show it


def test_an_error_midway(bucket):
    """Records that fail midway leave the old object as it was, and no new one."""

    def records():
        yield RECORDS[0]
        raise ConnectionError

    land(RECORDS, "s3://moto@logs/kept/old.jsonl")
    for name in ("old", "new"):
        with pytest.raises(ConnectionError):
            land(records(), f"s3://moto@logs/kept/{name}.jsonl")
    assert content(bucket, "kept/old.jsonl") == LINES
    assert "kept/new.jsonl" not in keys(bucket)


def test_no_bucket(bucket):
    """A bucket that is not there is the store's own error, and is not made on the way."""
    with pytest.raises(FileNotFoundError):
        land(RECORDS, "s3://moto@nosuchbucket/logs.jsonl")


def test_no_key(bucket):
    """A URL that names a bucket and no object is an error before anything is read."""
    with pytest.raises(ValueError, match="no file"):
        land(RECORDS, "s3://moto@logs.jsonl")


@pytest.mark.parametrize("name", ["a#b.jsonl", "a?b.jsonl", "a%20b c+d.jsonl", "é.jsonl"])
def test_odd_names(bucket, name):
    """An object gets exactly the key in the URL."""
    land(RECORDS, f"s3://moto@logs/odd/{name}")
    assert content(bucket, f"odd/{name}") == LINES


# --- the manifest ----------------------------------------------------------------------------------------------


def both(records, key, user="moto"):
    """Land records and a manifest that holds the file's digest; return what landed."""
    with Ledger("jsonl") as ledger:
        return land(
            ledger.watch((0, str(number), raw) for number, raw in enumerate(records)),
            f"s3://{user}@logs/{key}",
            manifest=lambda done: ledger.manifest({"file": {"sha256": done.sha256}}),
        )


def test_a_manifest_beside_an_object(bucket):
    """The manifest is the next object, holds the digest of the first, and is replaced with it or taken away."""
    for count in (1000, 10):
        written = both(RECORDS[:count], "checked/a.jsonl")
        manifest = content(bucket, "checked/a.jsonl.manifest.json")
        assert json.loads(manifest)["file"]["sha256"] == hashlib.sha256(content(bucket, "checked/a.jsonl")).hexdigest()
        assert len(json.loads(manifest)["records"]) == count
        assert written.manifest == "s3://moto@logs/checked/a.jsonl.manifest.json"
        assert written.manifest_sha256 == hashlib.sha256(manifest).hexdigest()
    land(RECORDS, "s3://moto@logs/checked/a.jsonl")
    assert [key for key in keys(bucket) if key.startswith("checked/")] == ["checked/a.jsonl"]


def test_a_manifest_that_came_meanwhile_is_seen(bucket):
    """What another process put there since this one last looked is not overlooked."""
    land(RECORDS, "s3://moto@logs/seen/a.jsonl")
    bucket.Object("seen/a.jsonl.manifest.json").put(Body=b"of another process")
    land(RECORDS[:5], "s3://moto@logs/seen/a.jsonl")
    assert [key for key in keys(bucket) if key.startswith("seen/")] == ["seen/a.jsonl"]


def test_an_object_can_be_read_like_a_file(bucket):
    """What lies in a store is read line by line, as a manifest is."""
    both(RECORDS, "read/a.jsonl")
    with find_place("s3://moto@logs/read/a.jsonl.manifest.json").open() as file:
        header, records = read_manifest(file)
        assert len(header["file"]["sha256"]) == 64
        assert [name for name, _ in records] == [str(number) for number in range(len(RECORDS))]
    assert find_place("s3://moto@logs/read/none.jsonl").open() is None


def test_who_may_only_put_can_land(bucket, endpoint, monkeypatch):
    """A key that may put objects, and neither read nor list nor delete them, lands file and manifest."""
    iam = boto3.client("iam", endpoint_url=endpoint, **SOMEONE)
    iam.create_user(UserName="writer")
    allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="writer", PolicyName="put", PolicyDocument=policy)
    key = iam.create_access_key(UserName="writer")["AccessKey"]
    extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    known = {"login": key["AccessKeyId"], "password": key["SecretAccessKey"], "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_WRITER", json.dumps({"conn_type": "aws"} | known))

    def guard(count):
        text = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset-auth", count, text)).close()

    guard(b"0")
    try:
        for _ in range(2):
            both(RECORDS, "guarded/a.jsonl", user="writer")
        with pytest.raises(PermissionError):
            find_place("s3://writer@logs/guarded/a.jsonl").remove()
    finally:
        guard(b"inf")
    assert content(bucket, "guarded/a.jsonl") == LINES
    assert len(json.loads(content(bucket, "guarded/a.jsonl.manifest.json"))["records"]) == len(RECORDS)
