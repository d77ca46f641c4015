"""What is promised of a file holds in object stores too, by way of an Airflow connection: the real client, a server."""

from __future__ import annotations

import gzip
import hashlib
import json
import random

import pytest

from airflow_provider_secoda._storage.manifest import ManifestBuilder, read_manifest
from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda._storage.write import write_atomically

RECORDS = [b'{"id":"%d","n":2.50}' % n for n in range(1000)]
LINES = b"".join(record + b"\n" for record in RECORDS)


def test_a_written_object(bucket):
    """An object contains the complete file, and the result contains the id of the connection only."""
    url = f"{bucket.url}/day=2026-03-01/logs.jsonl.gz"
    written = write_atomically(RECORDS, url)
    found = bucket.read("day=2026-03-01/logs.jsonl.gz")
    assert gzip.decompress(found) == LINES
    assert written.path == url
    assert (written.bytes, written.sha256) == (len(found), hashlib.sha256(found).hexdigest())


def test_any_bytes(bucket):
    """Bytes of every kind arrive as they are: small files and large ones go by different ways."""
    chance = random.Random(1)
    for size in (3, 1 << 20, 20 << 20):
        record = chance.randbytes(size).replace(b"\n", b"").replace(b"\r", b"")
        write_atomically([record], f"{bucket.url}/any.jsonl")
        assert bucket.read("any.jsonl") == record + b"\n"
    assert not bucket.unfinished()


def test_an_error_midway(bucket):
    """Records that fail midway leave the old object as it was, and no new one."""

    def records():
        yield RECORDS[0]
        raise ConnectionError

    write_atomically(RECORDS, f"{bucket.url}/kept/old.jsonl")
    for name in ("old", "new"):
        with pytest.raises(ConnectionError):
            write_atomically(records(), f"{bucket.url}/kept/{name}.jsonl")
    assert bucket.read("kept/old.jsonl") == LINES
    assert bucket.keys("kept/") == ["kept/old.jsonl"]


def test_no_bucket(bucket):
    """A bucket that is not there is the store's own error, and is not made on the way."""
    scheme = bucket.url.rpartition("@")[0]
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            write_atomically(RECORDS, f"{scheme}@nosuchbucket/logs.jsonl")


def test_no_key(bucket):
    """A URL that names a bucket and no object is an error before anything is read."""
    with pytest.raises(ValueError, match="not of a file"):
        write_atomically(RECORDS, f"{bucket.url}.jsonl")


@pytest.mark.parametrize("name", ["a#b.jsonl", "a?b.jsonl", "a%20b c+d.jsonl", "é.jsonl", "a#123.jsonl"])
def test_odd_names(bucket, name):
    """An object gets exactly the key in the URL."""
    write_atomically(RECORDS, f"{bucket.url}/odd/{name}")
    assert bucket.read(f"odd/{name}") == LINES


# --- the manifest ----------------------------------------------------------------------------------------------


def both(records, url):
    """Write records and a manifest that contains the file's SHA-256; return the result."""
    with ManifestBuilder("jsonl") as builder:
        return write_atomically(
            builder.watch((0, str(number), raw) for number, raw in enumerate(records)),
            url,
            manifest=lambda done: builder.manifest({"file": {"sha256": done.sha256}}),
        )


def test_a_manifest_next_to_an_object(bucket):
    """The manifest is the next object, holds the digest of the first, and is replaced with it or taken away."""
    for count in (1000, 10):
        written = both(RECORDS[:count], f"{bucket.url}/checked/a.jsonl")
        manifest = bucket.read("checked/a.jsonl.manifest.json")
        assert json.loads(manifest)["file"]["sha256"] == hashlib.sha256(bucket.read("checked/a.jsonl")).hexdigest()
        assert len(json.loads(manifest)["records"]) == count
        assert written.manifest == f"{bucket.url}/checked/a.jsonl.manifest.json"
        assert written.manifest_sha256 == hashlib.sha256(manifest).hexdigest()
    write_atomically(RECORDS, f"{bucket.url}/checked/a.jsonl")
    assert bucket.keys("checked/") == ["checked/a.jsonl"]


def test_a_manifest_of_another_process_is_seen(bucket):
    """An object that another process has written since the last listing is not missed."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    write_atomically(RECORDS, f"{bucket.url}/seen/a.jsonl")
    assert len(list(ObjectStoragePath(f"{bucket.url}/seen").iterdir())) == 1  # its client remembers that
    bucket.write("seen/a.jsonl.manifest.json", b"of another process")
    write_atomically(RECORDS[:5], f"{bucket.url}/seen/a.jsonl")
    assert bucket.keys("seen/") == ["seen/a.jsonl"]


def test_an_object_can_be_read_like_a_file(bucket):
    """An object is read line by line, as a manifest is."""
    both(RECORDS, f"{bucket.url}/read/a.jsonl")
    with resolve_target(f"{bucket.url}/read/a.jsonl.manifest.json").open() as file:
        header, records = read_manifest(file)
        assert len(header["file"]["sha256"]) == 64
        assert [name for name, _ in records] == [str(number) for number in range(len(RECORDS))]
    assert resolve_target(f"{bucket.url}/read/none.jsonl").open_if_exists() is None
