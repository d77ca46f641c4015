"""What only S3 has: parts of an object, keys that may do one thing and not another. The rest is in tests/storage."""

import hashlib
import json
import urllib.request

import pytest

from airflow_provider_secoda._storage.manifest import ManifestBuilder
from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda._storage.write import write_atomically
from tests.helpers import s3_server

RECORDS = [b'{"id":"%d","n":2.50}' % n for n in range(1000)]
LINES = b"".join(record + b"\n" for record in RECORDS)


@pytest.fixture(scope="module")
def bucket():
    """Give the bucket as another client sees it, and Airflow the connection that its URL names."""
    with pytest.MonkeyPatch.context() as patch:
        yield s3_server.connected(patch).bucket("logs")


def test_many_parts(bucket):
    """A file that goes in several parts arrives completely, and replaces the one before."""
    record = b"x" * (1 << 20)
    for count in (1, 40):
        written = write_atomically((record for _ in range(count)), f"{bucket.url}/large.jsonl")
        assert hashlib.sha256(bucket.read("large.jsonl")).hexdigest() == written.sha256
    assert not bucket.unfinished()
    parts = int(bucket.client.Object("large.jsonl").e_tag.strip('"').rpartition("-")[2])
    assert parts >= 4  # none of them so large that memory would show it


def test_no_encoding_is_claimed(bucket):
    """A compressed file is what is stored, not an encoding of something else, which clients would undo."""
    write_atomically(RECORDS, f"{bucket.url}/packed.jsonl.gz")
    assert "ContentEncoding" not in bucket.client.Object("packed.jsonl.gz").get()


def test_permission_to_put_is_enough(bucket, monkeypatch):
    """A key that may put objects, and neither read nor list nor delete them, writes file and manifest."""
    server = s3_server.serve()
    iam = server.client("iam")
    iam.create_user(UserName="writer")
    allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="writer", PolicyName="put", PolicyDocument=policy)
    key = iam.create_access_key(UserName="writer")["AccessKey"]
    known = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    monkeypatch.setenv("AIRFLOW_CONN_WRITER", server.connection(known=known))
    url = "s3://writer@logs/guarded/a.jsonl"

    def guard(count):
        text = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/moto-api/reset-auth", count, text)).close()

    guard(b"0")
    try:
        for _ in range(2):
            with ManifestBuilder("jsonl") as builder:
                watched = builder.watch((0, str(number), raw) for number, raw in enumerate(RECORDS))
                write_atomically(
                    watched, url, manifest=lambda done, of=builder: of.manifest({"file": {"sha256": done.sha256}})
                )
        with pytest.raises(PermissionError):
            resolve_target(url).remove()
    finally:
        guard(b"inf")
    assert bucket.read("guarded/a.jsonl") == LINES
    assert len(json.loads(bucket.read("guarded/a.jsonl.manifest.json"))["records"]) == len(RECORDS)
