"""Tests for S3 only: uploads in parts, and keys with few permissions. The others are in test_object_stores."""

import hashlib
import json
import urllib.request
from contextlib import contextmanager

import pytest

from airflow_provider_secoda._storage.manifest import ManifestBuilder
from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda._storage.write import write_atomically
from airflow_provider_secoda.operators.secoda import missing_windows
from tests.helpers import s3_server

RECORDS = [b'{"id":"%d","n":2.50}' % n for n in range(1000)]
DAYS = ("2026-03-01", "2026-03-03")
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


@pytest.fixture(scope="module")
def writer(bucket):
    """Return a context in which the server checks permissions; its value is a folder to which a key may only write."""
    server = s3_server.serve()
    iam = server.client("iam")
    iam.create_user(UserName="writer")
    allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="writer", PolicyName="put", PolicyDocument=policy)
    key = iam.create_access_key(UserName="writer")["AccessKey"]
    known = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}

    def guard(count):
        text = {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/moto-api/reset-auth", count, text)).close()

    @contextmanager
    def guarded():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AIRFLOW_CONN_WRITER", server.connection(known=known))
            guard(b"0")
            try:
                yield "s3://writer@logs/guarded"
            finally:
                guard(b"inf")

    return guarded


def test_permission_to_put_is_enough(bucket, writer):
    """A key that may write objects, but neither read nor list nor delete them, writes file and manifest."""
    with writer() as folder:
        url = f"{folder}/a.jsonl"
        for _ in range(2):
            with ManifestBuilder("jsonl") as builder:
                watched = builder.watch((0, str(number), raw) for number, raw in enumerate(RECORDS))
                write_atomically(
                    watched, url, manifest=lambda done, of=builder: of.manifest({"file": {"sha256": done.sha256}})
                )
        resolve_target(url).check_writable()  # the key may not read the bucket
        with pytest.raises(PermissionError):
            resolve_target(url).remove()
        refused = folder.replace("logs/", "other/") + "/a.jsonl"
        with pytest.raises(PermissionError, match=f"Cannot write `output_path` '{refused}'"):
            write_atomically(RECORDS, refused)
    assert bucket.read("guarded/a.jsonl") == LINES
    assert len(json.loads(bucket.read("guarded/_manifests/_a.jsonl.manifest"))["records"]) == len(RECORDS)


def test_missing_windows_are_those_without_a_manifest(bucket):
    """On S3, too, a window is missing until there is a manifest of its file."""
    path = f"{bucket.url}/days/{{start:%Y-%m-%d}}.jsonl"
    assert [window["start"][:10] for window in missing_windows(path, *DAYS)] == ["2026-03-01", "2026-03-02"]
    query = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z", "window_rule": "start_end"}
    with ManifestBuilder("jsonl") as builder:
        write_atomically(
            builder.watch([]),
            f"{bucket.url}/days/2026-03-01.jsonl",
            manifest=lambda _: builder.manifest({"query": query}),
        )
    assert [window["start"][:10] for window in missing_windows(path, *DAYS)] == ["2026-03-02"]


def test_missing_windows_need_permission_to_read(writer):
    """A key that may not read manifests is an error: all windows would be missing for it, in every run."""
    with writer() as folder, pytest.raises(PermissionError):
        missing_windows(f"{folder}/{{start:%Y-%m-%d}}.jsonl", *DAYS)


def test_a_missing_bucket_is_found_before_anything_is_written(bucket):
    """A bucket that does not exist is an error before the read; one that exists, with or without the key, is not."""
    with pytest.raises(FileNotFoundError, match="The bucket does not exist"):
        resolve_target(bucket.url.replace("logs", "no-such-bucket") + "/a.jsonl").check_writable()
    resolve_target(f"{bucket.url}/new/a.jsonl").check_writable()
