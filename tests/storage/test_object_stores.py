"""Files in object stores, through an Airflow connection, with the real clients and a server."""

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
    """Any bytes are stored unchanged: small and large files are uploaded in different ways."""
    chance = random.Random(1)
    for size in (3, 1 << 20, 20 << 20):
        record = chance.randbytes(size).replace(b"\n", b"").replace(b"\r", b"")
        write_atomically([record], f"{bucket.url}/any.jsonl")
        assert bucket.read("any.jsonl") == record + b"\n"
    assert not bucket.unfinished()


def test_an_error_during_the_write(bucket):
    """An error while records are read leaves the old object unchanged, and creates no object."""

    def records():
        yield RECORDS[0]
        raise ConnectionError

    write_atomically(RECORDS, f"{bucket.url}/kept/old.jsonl")
    for name in ("old", "new"):
        with pytest.raises(ConnectionError):
            write_atomically(records(), f"{bucket.url}/kept/{name}.jsonl")
    assert bucket.read("kept/old.jsonl") == LINES
    assert bucket.keys("kept/") == ["kept/old.jsonl"]


def test_a_bucket_that_does_not_exist(bucket):
    """A bucket that does not exist is the store's own error, and is not created."""
    scheme = bucket.url.rpartition("@")[0]
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            write_atomically(RECORDS, f"{scheme}@nosuchbucket/logs.jsonl")


def test_a_url_without_a_key(bucket):
    """A URL of a bucket without an object is an error before any record is read."""
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
    """The manifest is next to the object, contains its digest, and is replaced or deleted with it."""
    for count in (1000, 10):
        written = both(RECORDS[:count], f"{bucket.url}/checked/a.jsonl")
        manifest = bucket.read("checked/_manifests/_a.jsonl.manifest")
        assert json.loads(manifest)["file"]["sha256"] == hashlib.sha256(bucket.read("checked/a.jsonl")).hexdigest()
        assert len(json.loads(manifest)["records"]) == count
        assert written.manifest == f"{bucket.url}/checked/_manifests/_a.jsonl.manifest"
        assert written.manifest_sha256 == hashlib.sha256(manifest).hexdigest()
    write_atomically(RECORDS, f"{bucket.url}/checked/a.jsonl")
    assert bucket.keys("checked/") == ["checked/a.jsonl"]


def test_an_object_of_another_process_is_found(bucket):
    """An object that another process has written since the last listing is found."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    write_atomically(RECORDS, f"{bucket.url}/seen/a.jsonl")
    assert len(list(ObjectStoragePath(f"{bucket.url}/seen").iterdir())) == 1  # its client remembers that
    bucket.write("seen/_manifests/_a.jsonl.manifest", b"of another process")
    write_atomically(RECORDS[:5], f"{bucket.url}/seen/a.jsonl")
    assert bucket.keys("seen/") == ["seen/a.jsonl"]


def test_an_object_can_be_read_like_a_file(bucket):
    """An object can be read line by line, as a manifest is."""
    both(RECORDS, f"{bucket.url}/read/a.jsonl")
    with resolve_target(f"{bucket.url}/read/_manifests/_a.jsonl.manifest").open() as file:
        header, records = read_manifest(file)
        assert len(header["file"]["sha256"]) == 64
        assert [name for name, _ in records] == [str(number) for number in range(len(RECORDS))]
    assert resolve_target(f"{bucket.url}/read/none.jsonl").open_if_exists() is None


def test_a_new_object_does_not_replace_one_of_the_same_moment(bucket):
    """If another process writes the object after it was found to be missing, the check decides again."""
    url, answers = f"{bucket.url}/same/a.jsonl", []

    def check():
        answers.append("there is an object" if bucket.keys("same/") else "nothing")
        if answers == ["nothing"]:
            both(RECORDS, url)  # another process
            return False
        raise PermissionError("of another query")

    with pytest.raises(PermissionError, match="of another query"):
        write_atomically(RECORDS[:5], url, check=check)
    assert answers == ["nothing", "there is an object"]
    assert bucket.read("same/a.jsonl") == LINES
    assert len(bucket.keys("same/")) == 2
    assert not bucket.unfinished()
    write_atomically(RECORDS[:5], url, check=lambda: True)
    assert bucket.keys("same/") == ["same/a.jsonl"]


def test_a_large_new_object_does_not_replace_one_of_the_same_moment(bucket):
    """The same for an object that is uploaded in parts."""
    url, record = (
        f"{bucket.url}/large/a.jsonl",
        random.Random(2).randbytes(20 << 20).replace(b"\n", b"").replace(b"\r", b""),
    )

    def check():
        if bucket.keys("large/"):
            raise PermissionError
        write_atomically(RECORDS, url)
        return False

    with pytest.raises(PermissionError):
        write_atomically([record], url, check=check)
    assert bucket.read("large/a.jsonl") == LINES
    assert not bucket.unfinished()
