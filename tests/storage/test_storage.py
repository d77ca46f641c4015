"""A file at a path or URL is complete or not there, and the result describes it exactly."""

import errno
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_secoda._storage.spool import Spool
from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda._storage.write import WrittenFile, write_atomically
from tests.helpers.file_size_limit import file_size_limit

RECORDS = [b'{"id":"%d","n":2.50}' % n for n in range(1000)]
LINES = b"".join(record + b"\n" for record in RECORDS)


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory, monkeypatch):
    """Watch the directory for temporary files: after each test it must be empty."""
    place = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []


@pytest.fixture(scope="module")
def memory():
    """Add an object store to Airflow: fsspec's memory file system, with the scheme ``memory``."""
    try:
        from airflow.sdk.io import attach
    except ImportError:
        from airflow.io.store import attach

    class Store(MemoryFileSystem):
        store, pseudo_dirs, refuses = {}, [""], False

        def put_file(self, lpath, rpath):
            if self.refuses:
                raise PermissionError("denied")
            return super().put_file(lpath, rpath)

    store = Store(skip_instance_cache=True)
    attach("memory", fs=store)
    return store


def fails_during_the_read():
    yield from RECORDS[:500]
    raise ConnectionError("gone")


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet"])
def test_written(tmp_path, kind):
    """The result has the path as given, and the format, the size and the SHA-256 of the file."""
    path = tmp_path / "new" / "directories" / f"logs.{kind}"
    written = write_atomically(RECORDS, str(path))
    content = path.read_bytes()
    untyped = {} if kind == "parquet" else None
    digest = hashlib.sha256(content).hexdigest()
    assert written == WrittenFile(str(path), kind, len(content), digest, untyped_values=untyped)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet"])
def test_two_reads_make_equal_bytes(tmp_path, kind):
    """The same records, read in another order and with repeats, are written as the same bytes."""
    logs = [(n // 3, f"{n * 7919 % 1000:03d}", b'{"id":"%d"}' % n) for n in range(1000)]
    files = []
    for order in (logs, [*reversed(logs), *logs[:10]]):
        with Spool() as spool:
            spool.add(order)
            files.append(write_atomically((raw for _, _, raw in spool), str(tmp_path / f"{len(files)}.{kind}")))
    assert files[0].sha256 == files[1].sha256
    assert files[0].bytes == files[1].bytes > 0


def test_large_file(tmp_path):
    """Size and hash are those of the complete file, for any size."""
    path = tmp_path / "large.jsonl"
    written = write_atomically((b"%01000000d" % n for n in range(5)), str(path))
    assert (written.bytes, written.sha256) == (5_000_005, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("scheme", ["file://", "file:", "FILE://", "local://"])
def test_file_url(tmp_path, scheme):
    """A file URL writes to its path, and is returned as given."""
    url = f"{scheme}{tmp_path}/a%20b.jsonl"
    assert write_atomically(RECORDS, url).path == url
    assert (tmp_path / "a%20b.jsonl").read_bytes() == LINES


def test_file_url_with_a_host():
    """A file URL with a host is an error, not a file in the working directory."""
    with pytest.raises(ValueError, match="file:///path"):
        write_atomically(RECORDS, "file://logs/today.jsonl")


@pytest.mark.parametrize("name", ["a#b.jsonl", "a?b.jsonl", "a b:c@d.jsonl", "é" * 120 + ".jsonl", ".jsonl"])
def test_odd_names(tmp_path, name):
    """A local file gets exactly the given name."""
    write_atomically(RECORDS, str(tmp_path / name))
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_relative_path(tmp_path, monkeypatch):
    """A relative path is relative to the working directory, in every version of Airflow."""
    monkeypatch.chdir(tmp_path)
    write_atomically(RECORDS, "logs/today.jsonl")
    assert (tmp_path / "logs" / "today.jsonl").read_bytes() == LINES


def test_an_unknown_suffix_fails_first():
    """A path without a known suffix fails before a record is read."""
    records = iter(RECORDS)
    with pytest.raises(ValueError, match=r"today\.csv"):
        write_atomically(records, "/nowhere/today.csv")
    assert next(records) == RECORDS[0]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions(tmp_path, mask):
    """A written file has the permissions of any new file under the umask."""
    before = os.umask(mask)
    try:
        write_atomically(RECORDS, str(tmp_path / "today.jsonl"))
    finally:
        os.umask(before)
    assert (tmp_path / "today.jsonl").stat().st_mode & 0o777 == 0o666 & ~mask


def test_replaces(tmp_path):
    """A second file replaces the first one completely."""
    path = tmp_path / "today.jsonl"
    path.write_bytes(LINES * 2)
    write_atomically(RECORDS, str(path))
    assert path.read_bytes() == LINES


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet"])
def test_an_error_during_the_write(tmp_path, kind):
    """An error while records are read leaves the old file unchanged, and creates no file."""
    path = tmp_path / f"old.{kind}"
    path.write_bytes(b"old")
    for name in (path.name, f"new.{kind}"):
        with pytest.raises(ConnectionError):
            write_atomically(fails_during_the_read(), str(tmp_path / name))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_at_the_path(tmp_path):
    """A directory at the path is an error that leaves no temporary file next to it."""
    (tmp_path / "today.jsonl").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(RECORDS, str(tmp_path / "today.jsonl"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["today.jsonl"]


def test_full_disk(tmp_path):
    """A full disk raises its own error and leaves no file."""
    with pytest.raises(OSError, match="File too large"), file_size_limit(len(LINES) // 2):
        write_atomically(RECORDS, str(tmp_path / "today.jsonl"))
    assert list(tmp_path.iterdir()) == []


def start_writing(path, source, temporary):
    code = f"""
import os, signal, sys
from airflow_provider_secoda._storage.write import write_atomically
def die():
    os.kill(os.getpid(), signal.SIGKILL)
write_atomically({source}, sys.argv[1])
"""
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.Popen(command, env=os.environ | {"TMPDIR": str(temporary)})


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet"])
def test_killed_while_it_writes(tmp_path, tmp_path_factory, kind):
    """A process that is killed while it writes leaves no file in the directory, under any name."""
    source = "(b'{\"n\":%d}' % n if n < 90_000 else die() for n in range(100_000))"
    process = start_writing(tmp_path / f"today.{kind}", source, tmp_path_factory.mktemp("killed"))
    assert process.wait(60) == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_killed_during_the_rename(tmp_path, tmp_path_factory):
    """A process that is killed while it renames its file leaves the complete file, or no file of that name."""
    path = tmp_path / "today.jsonl"
    process = start_writing(path, "(bytes(1 << 20) for n in range(200))", tmp_path_factory.mktemp("killed"))
    try:
        while not list(tmp_path.rglob("*.part")) and process.poll() is None:
            time.sleep(0.001)
    finally:
        process.kill()
        process.wait(60)
    assert not path.exists() or path.stat().st_size == 200 * ((1 << 20) + 1)


def test_object_storage(memory):
    """An object store gets the complete file under the name in the URL, which is returned as given."""
    url = "memory://bucket/day=2026-03-01/logs.jsonl.gz"
    written = write_atomically(RECORDS, url)
    assert written.path == url
    content = memory.cat_file("/bucket/day=2026-03-01/logs.jsonl.gz")
    assert gzip.decompress(content) == LINES
    assert (written.bytes, written.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_object_storage_with_errors(memory, monkeypatch):
    """Errors of the records and of the store change no existing object; the path is added to those of the store."""
    memory.pipe_file("/bucket/kept.jsonl", b"old")
    with pytest.raises(ConnectionError):
        write_atomically(fails_during_the_read(), "memory://bucket/kept.jsonl")
    monkeypatch.setattr(type(memory), "refuses", True)
    for name in ("kept", "new"):
        with pytest.raises(PermissionError, match="denied"):
            write_atomically(RECORDS, f"memory://bucket/{name}.jsonl")
    assert memory.cat_file("/bucket/kept.jsonl") == b"old"
    assert not memory.exists("/bucket/new.jsonl")


def test_an_unknown_scheme():
    """An unknown scheme fails before a record is read."""
    records = iter(RECORDS)
    with pytest.raises(ModuleNotFoundError, match="nosuch"):
        write_atomically(records, "nosuch://bucket/today.jsonl")
    assert next(records) == RECORDS[0]


@pytest.mark.parametrize("name", ["a#b/c#d.jsonl", "a?b.jsonl", "a%20b c+d.jsonl", "é.jsonl"])
def test_odd_names_of_objects(memory, name):
    """An object gets exactly the name in the URL."""
    write_atomically(RECORDS, f"memory://bucket/odd/{name}")
    assert memory.cat_file(f"/bucket/odd/{name}") == LINES


def test_the_result_is_plain_data(tmp_path):
    """The result can be serialized as JSON, as an XCom is."""
    written = write_atomically([], str(tmp_path / "none.jsonl"))
    assert json.loads(json.dumps(vars(written))) == {
        "path": str(tmp_path / "none.jsonl"),
        "format": "jsonl",
        "bytes": 0,
        "sha256": hashlib.sha256().hexdigest(),
        "manifest": None,
        "manifest_sha256": None,
        "untyped_values": None,
        "signature": None,
        "signing_key": None,
    }


@pytest.mark.parametrize("has_links", [True, False])
def test_a_new_file_does_not_replace_one_of_the_same_moment(tmp_path, monkeypatch, has_links):
    """If another process writes the file after it was found to be missing, the check decides again."""
    path, answers = tmp_path / "today.jsonl", []

    def no_link(*_):
        raise PermissionError("hard links are not supported")

    if not has_links:
        monkeypatch.setattr(os, "link", no_link)

    def check():
        answers.append(path.exists())
        if answers == [False]:
            path.write_bytes(b"of another process")
            return False
        raise ValueError("of another query")

    with pytest.raises((ValueError, PermissionError), match="another query" if has_links else "hard links"):
        write_atomically(RECORDS, str(path), check=check)
    assert answers == [False, True] if has_links else [False]
    assert (path.read_bytes(), len(list(tmp_path.iterdir()))) == (b"of another process", 1)
    path.unlink()
    write_atomically(RECORDS, str(path), check=lambda: False)
    assert path.read_bytes() == LINES


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_is_linked_on_one_file_system(tmp_path, monkeypatch, has_links):
    """The temporary file gets a second name, or is copied; the old file and its other names keep their content."""

    def no_link(*_):
        raise OSError(errno.EXDEV, "another file system")

    if not has_links:
        monkeypatch.setattr(os, "link", no_link)
    source, target, other = tmp_path / "new", tmp_path / "logs" / "x.jsonl", tmp_path / "other"
    source.write_bytes(LINES)
    target.parent.mkdir()
    target.write_bytes(b"old")
    other.hardlink_to(target) if has_links else other.write_bytes(b"old")
    for _ in range(2):
        resolve_target(str(target)).put(source)
        assert (target.read_bytes(), other.read_bytes(), target.samefile(source)) == (LINES, b"old", has_links)
        assert list(target.parent.iterdir()) == [target]
