"""Tests for Google Cloud Storage only: resumable uploads, and its own ways to refuse requests."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_secoda._storage.manifest import ManifestBuilder
from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda._storage.write import write_atomically
from tests.helpers import gcs_server

RECORDS = [b'{"id":"%d","n":2.50}' % n for n in range(1000)]
LINES = b"".join(record + b"\n" for record in RECORDS)
LARGE = [b"x" * (1 << 20)] * 20


@pytest.fixture(scope="module")
def bucket():
    """Return the bucket, and set the Airflow connection that its URL contains."""
    with pytest.MonkeyPatch.context() as patch:
        yield gcs_server.connected(patch).bucket("gcs")


@pytest.fixture
def refuse():
    """Return a function that makes the server refuse requests that match a pattern, or only the nth of them."""
    server = gcs_server.serve()

    def refuse(pattern, nth=None):
        found = []

        def refuses(method, path):
            if not re.search(pattern, f"{method} {path}"):
                return False
            found.append(path)
            return nth is None or len(found) == nth

        server.refuses = refuses
        return found

    yield refuse
    server.refuses = None


def both(records, url):
    """Write records and a manifest that contains the file's SHA-256."""
    with ManifestBuilder("jsonl") as builder:
        watched = builder.watch((0, str(number), raw) for number, raw in enumerate(records))
        return write_atomically(watched, url, manifest=lambda done: builder.manifest({"file": {"sha256": done.sha256}}))


@pytest.mark.parametrize(
    ("records", "pattern", "nth"),
    [
        (RECORDS[:5], r"^POST /upload/.*uploadType=multipart", 1),  # all of a small file
        (LARGE, r"^POST /upload/.*uploadType=resumable$", 1),  # the beginning of a large one
        (LARGE, r"^POST /upload/.*upload_id=", 1),  # its first part
        (LARGE, r"^POST /upload/.*upload_id=", 3),  # its last part
    ],
)
def test_a_refused_upload_changes_nothing(bucket, refuse, records, pattern, nth):
    """A refusal at any point fails the upload; the old file and its manifest stay complete, with no other file."""
    both(RECORDS, f"{bucket.url}/refused/a.jsonl")
    before = {key: bucket.read(key) for key in bucket.keys("refused/")}
    for name in ("a", "new"):
        found = refuse(pattern, nth)
        with pytest.raises(OSError, match="Forbidden"):
            both(records, f"{bucket.url}/refused/{name}.jsonl")
        assert len(found) >= nth
    assert {key: bucket.read(key) for key in bucket.keys("refused/")} == before
    assert not bucket.unfinished()
    assert sorted(before) == ["refused/_manifests/_a.jsonl.manifest", "refused/a.jsonl"]


def test_permission_to_create_is_enough(bucket, refuse):
    """A service account that may create objects, but neither read nor list them, writes file and manifest."""
    refuse(r"^(GET|DELETE) .*/o[/?]")
    both(RECORDS, f"{bucket.url}/guarded/a.jsonl")
    assert resolve_target(f"{bucket.url}/guarded/a.jsonl").open_if_exists() is None
    with pytest.raises(OSError, match="Forbidden"):
        resolve_target(f"{bucket.url}/guarded/a.jsonl").remove()
    gcs_server.serve().refuses = None
    assert bucket.read("guarded/a.jsonl") == LINES
    assert len(json.loads(bucket.read("guarded/_manifests/_a.jsonl.manifest"))["records"]) == len(RECORDS)


def test_no_encoding_is_claimed(bucket):
    """A compressed file has no content encoding, because the store would decompress it."""
    write_atomically(RECORDS, f"{bucket.url}/packed.jsonl.gz")
    assert "contentEncoding" not in bucket.facts("packed.jsonl.gz")


def test_a_missing_bucket_is_found_before_anything_is_written(bucket):
    """A bucket that does not exist is an error before the read; one that exists is not."""
    with pytest.raises(FileNotFoundError, match="The bucket does not exist"):
        resolve_target(f"{bucket.url.rpartition('@')[0]}@no-such-bucket/a.jsonl").check_writable()
    resolve_target(f"{bucket.url}/new/a.jsonl").check_writable()
