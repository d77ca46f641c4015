"""A manifest describes its file exactly, can be read line by line, and is refused if it is not complete."""

import gzip
import hashlib
import io
import json
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_secoda._storage.manifest import ManifestBuilder, ManifestError, manifest_path, read_manifest
from airflow_provider_secoda._storage.write import write_atomically

RECORDS = [(n, f"log-{n}", b'{"id":"log-%d","n":2.50}' % n) for n in range(5)]
URL = "memory://refusing@bucket/a.jsonl"
HEADER = {"file": {"name": "a.jsonl"}, "query": {"start": "…"}}


def written(records=RECORDS, kind="jsonl", header=HEADER):
    """Return a manifest of records, as bytes."""
    with ManifestBuilder(kind) as builder:
        assert list(builder.watch(records)) == [raw for _, _, raw in records]
        return b"".join(builder.manifest(header))


def read(manifest):
    header, records = read_manifest(io.BytesIO(manifest))
    return header, list(records)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_what_was_written_is_read(count):
    """Header and records can be read line by line, and by any reader of JSON."""
    manifest = written(RECORDS[:count])
    pairs = [(name, hashlib.sha256(raw).hexdigest()) for _, name, raw in RECORDS[:count]]
    assert read(manifest) == ({"manifest_version": 1, **HEADER}, pairs)
    assert json.loads(manifest) == {"manifest_version": 1, **HEADER, "records": [list(pair) for pair in pairs]}
    assert sum(line.startswith(b'    ["') for line in manifest.splitlines()) == count


def test_unusual_ids():
    """Quotes, line ends, other scripts and lone surrogates in an id are kept."""
    names = ['a"b', "a\nb", "日本", "\ud800", "\u2028", ""]
    found = read(written([(0, name, b"{}") for name in names]))[1]
    assert [name for name, _ in found] == names


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet"])
def test_digests_are_of_the_bytes_in_the_file(tmp_path, kind):
    """The digest of a record is that of its line, or of its Parquet column ``raw``."""
    pretty = (0, "p", b'{\n  "id": "p",\r\n  "n": 1\n}')
    path = str(tmp_path / f"a.{kind}")
    with ManifestBuilder(kind) as builder:
        result = write_atomically(builder.watch([pretty, *RECORDS]), path, manifest=lambda _: builder.manifest(HEADER))
    if kind == "parquet":
        import pyarrow.parquet

        lines = [raw.encode() for raw in pyarrow.parquet.read_table(path)["raw"].to_pylist()]
    else:
        with (gzip.open if kind == "jsonl.gz" else open)(path, "rb") as file:
            lines = file.read().splitlines()
    manifest = Path(manifest_path(path)).read_bytes()
    found = read(manifest)[1]
    assert [digest for _, digest in found] == [hashlib.sha256(line).hexdigest() for line in lines]
    assert result.manifest == manifest_path(path)
    assert result.manifest_sha256 == hashlib.sha256(manifest).hexdigest()


def test_a_truncated_manifest_is_refused():
    """No truncated manifest is accepted."""
    manifest = written()
    for end in range(len(manifest)):
        with pytest.raises(ManifestError):
            read(manifest[:end])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"manifest_version": 1', b'"manifest_version": 2'),
        (b'["log-1", "', b'["log-1", 5, "'),
        (b'["log-1", "', b'["log-1" "'),
        (b'    ["log-1"', b'["log-1"'),
        (b'    ["log-1"', b'  ],"more":[\n    ["log-1"'),
        (b"  ]\n}\n", b'  ],\n  "more": 1\n}\n'),
        (b"  ]\n}\n", b"  ]\n}\n\n"),
        (b'"file": {', b'"file": '),
        (b'"file": {', b'"file": ' + b"[" * 100_000),
        (b'  "records": [\n', b'  "records":\n[\n'),
    ],
)
def test_another_layout_is_refused(old, new):
    """A file with another layout is refused, and not read in part."""
    manifest = written()
    assert manifest.count(old) == 1
    with pytest.raises(ManifestError):
        read(manifest.replace(old, new))


def test_invalid_json_is_refused():
    """Bytes that are not a manifest are refused."""
    for junk in (b"", b"\xff\xfe", b"{}", b"[]", b"null\n", b'  "records": [\n  ]\n}\n'):
        with pytest.raises(ManifestError):
            read(junk)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"query": {', b'"query": {},\n  "query": {'),
        (b'"name": "a.jsonl"', b'"name": "a.jsonl", "n\\u0061me": "b.jsonl"'),
        (b'"query": {', b'"records": [],\n  "query": {'),
        (b'"query": {', b'"count": NaN,\n  "query": {'),
        (b'"query": {', b'"count": -Infinity,\n  "query": {'),
        (b"{", b"\xef\xbb\xbf{"),
        (b'"a.jsonl"', b'"\xff.jsonl"'),
    ],
    ids=["name twice", "name twice inside, escaped", "records twice", "NaN", "infinity", "byte order mark", "encoding"],
)
def test_a_header_that_programs_read_differently_is_refused(old, new):
    """A header is refused if two readers of JSON may find different values in it."""
    manifest = written()
    assert read(manifest)
    with pytest.raises(ManifestError, match="its header is not valid JSON"):
        read(manifest.replace(old, new, 1))


# --- next to its file -------------------------------------------------------------------------------------------


def both(records, path):
    """Write records with a manifest that contains the file's SHA-256."""
    with ManifestBuilder("jsonl") as builder:
        return write_atomically(
            builder.watch(records),
            str(path),
            manifest=lambda done: builder.manifest({"file": {"sha256": done.sha256}}),
        )


def test_a_manifest_is_never_next_to_another_file(tmp_path):
    """The manifest of a replaced file is deleted, also if the new file has no manifest."""
    both(RECORDS, tmp_path / "a.jsonl")
    write_atomically([b"{}"], str(tmp_path / "a.jsonl"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.jsonl"]


def test_nothing_is_replaced_before_both_are_complete(tmp_path):
    """When an error occurs while the manifest is built, the old file and its manifest stay as they were."""
    both(RECORDS, tmp_path / "a.jsonl")

    class DeadError(BaseException):
        pass

    def dies(_):
        yield b"{"
        raise DeadError

    before = {entry: entry.read_bytes() for entry in tmp_path.rglob("*.*")}
    with pytest.raises(DeadError):
        write_atomically([b"{}"], str(tmp_path / "a.jsonl"), manifest=dies)
    assert {entry: entry.read_bytes() for entry in tmp_path.rglob("*.*")} == before


@pytest.fixture(scope="module")
def memory():
    """Add an object store to Airflow that can fail, before or after it has stored a file."""
    try:
        from airflow.sdk.io import attach
    except ImportError:
        from airflow.io.store import attach

    class Store(MemoryFileSystem):
        store, pseudo_dirs, refuses = {}, [""], None

        def put_file(self, lpath, rpath):
            if self.refuses == "before" and not rpath.endswith(".manifest"):
                raise PermissionError("denied")
            super().put_file(lpath, rpath)
            if self.refuses == "after" and not rpath.endswith(".manifest"):
                raise TimeoutError("no answer")

    store = Store(skip_instance_cache=True)
    attach("memory", conn_id="refusing", fs=store)
    return store


def test_a_refused_upload_leaves_the_old_file_and_its_manifest(memory, monkeypatch):
    """If a store refuses the new file, the old one stays as it was, with its manifest."""
    both(RECORDS, URL)
    before = dict(memory.find("/bucket", detail=True))
    contents = {name: memory.cat_file(name) for name in before}
    assert sorted(contents) == ["/bucket/_manifests/_a.jsonl.manifest", "/bucket/a.jsonl"]
    monkeypatch.setattr(memory, "refuses", "before")
    with pytest.raises(PermissionError):
        both(RECORDS[:2], URL)
    assert {name: memory.cat_file(name) for name in memory.find("/bucket")} == contents


def test_an_error_after_the_upload_leaves_no_false_manifest(memory, monkeypatch):
    """If a store stored the new file but its response was lost, the old manifest is not put back next to it."""
    both(RECORDS, URL)
    monkeypatch.setattr(memory, "refuses", "after")
    with pytest.raises(TimeoutError):
        both(RECORDS[:2], URL)
    assert memory.find("/bucket") == ["/bucket/a.jsonl"]
    assert memory.cat_file("/bucket/a.jsonl").count(b"\n") == 2


def test_the_same_bytes_keep_their_manifest(tmp_path):
    """A file that is written again with the same bytes always has its manifest."""
    both(RECORDS, tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").unlink()
    (tmp_path / "a.jsonl").mkdir()
    inode = (tmp_path / "_manifests" / "_a.jsonl.manifest").stat().st_ino
    with pytest.raises(OSError, match="directory"):
        both(RECORDS, tmp_path / "a.jsonl")
    assert (tmp_path / "_manifests" / "_a.jsonl.manifest").stat().st_ino == inode


@pytest.mark.parametrize(
    "path", ["../a.jsonl", "/tmp/x/../a.jsonl", "s3://b/../../a.jsonl", "a/..\\a.jsonl", "a\0.jsonl", "a\n.jsonl"]
)
def test_paths_that_lead_elsewhere_are_refused(path):
    """A path with `..` or control characters is refused, because parts of it may be templated data."""
    records = iter(RECORDS)
    with pytest.raises(ValueError, match=r"contains `\.\.`|control"):
        write_atomically(records, path)
    assert next(records) == RECORDS[0]
