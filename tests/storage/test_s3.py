"""Tests for S3 only: uploads in parts, and keys with few permissions. The others are in test_object_stores."""

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
    """Return the bucket, and set the Airflow connection that its URL contains."""
    with pytest.MonkeyPatch.context() as patch:
        yield s3_server.connected(patch).bucket("logs")


def test_many_parts(bucket):
    """A file that is uploaded in several parts is complete, and replaces the previous one."""
    record = b"x" * (1 << 20)
    for count in (1, 40):
        written = write_atomically((record for _ in range(count)), f"{bucket.url}/large.jsonl")
        assert hashlib.sha256(bucket.read("large.jsonl")).hexdigest() == written.sha256
    assert not bucket.unfinished()
    parts = int(bucket.client.Object("large.jsonl").e_tag.strip('"').rpartition("-")[2])
    assert parts >= 4  # small enough not to show in the memory


def test_no_encoding_is_claimed(bucket):
    """A compressed file has no content encoding, because clients would decompress it."""
    write_atomically(RECORDS, f"{bucket.url}/packed.jsonl.gz")
    assert "ContentEncoding" not in bucket.client.Object("packed.jsonl.gz").get()


def test_permission_to_put_is_enough(bucket, monkeypatch):
    """A key that may write objects, but neither read nor list nor delete them, writes file and manifest."""
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
    assert len(json.loads(bucket.read("guarded/_manifests/_a.jsonl.manifest"))["records"]) == len(RECORDS)
