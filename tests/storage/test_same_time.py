"""Two tasks that write one path at the same time: the manifest is that of the file, in any order of steps."""

from __future__ import annotations

import hashlib
import itertools
import json
from contextlib import contextmanager, suppress

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda._storage.manifest import ManifestBuilder
from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda._storage.write import _staged, write_atomically, write_new
from tests.helpers import gcs_server, s3_server

#: Each order of the steps of two tasks in which each task writes its file before its manifest.
ORDERS = sorted(set(itertools.permutations("aabb")))


@pytest.fixture(scope="module", params=["local", "s3", "s3 without delete", "gs"])
def folder(request, tmp_path_factory):
    """Return the beginning of paths in each kind of storage."""
    if request.param == "local":
        yield str(tmp_path_factory.mktemp("local"))
        return
    server = gcs_server if request.param == "gs" else s3_server
    with pytest.MonkeyPatch.context() as patch:
        running = server.connected(patch)
        bucket = running.bucket("same-time")
        if request.param == "s3 without delete":
            with running.refusing(s3_server.no_delete):
                yield f"{bucket.url}/without"
        else:
            yield f"{bucket.url}/with"


def records(name, count=3):
    return [b'{"id":"%s %d"}' % (name.encode(), number) for number in range(count)]


def header(name):
    """Return a function that writes a manifest without records."""

    def manifest(written):
        with ManifestBuilder("jsonl") as builder:
            yield from builder.manifest({"file": {"sha256": written.sha256}, "of": name})

    return manifest


@contextmanager
def staged(path, name):
    with _staged(records(name), path, header(name), None) as (prepared, _):
        yield prepared


def read(path):
    with resolve_target(path).open() as file:
        return file.read()


def check(path):
    """Check that the manifest is that of the file; return whose they are."""
    folder, _, name = path.rpartition("/")
    file, manifest = read(path), json.loads(read(f"{folder}/_manifests/_{name}.manifest"))
    assert manifest["file"]["sha256"] == hashlib.sha256(file).hexdigest()
    return manifest["of"]


@pytest.mark.parametrize("order", ORDERS, ids="".join)
@pytest.mark.parametrize("mode", ["checked before", "not checked"])
def test_two_tasks_replace_a_file(folder, order, mode):
    """The manifest is that of the task that has replaced the file last; the other task fails, or was before it."""
    path = f"{folder}/{mode.replace(' ', '-')}-{''.join(order)}.jsonl"
    write_atomically(records("old"), path, manifest=header("old"))
    with staged(path, "a") as a, staged(path, "b") as b:
        tasks = {"a": a, "b": b}
        version = resolve_target(path).version() if mode == "checked before" else None
        found, failed, last = {}, set(), None
        for name in order:
            task = tasks[name]
            if name in failed:
                continue
            try:
                if name not in found:
                    found[name] = task._replace_file(version)
                    last = name
                else:
                    task._put_manifest(task.manifest, found[name])
            except FileExistsError:
                failed.add(name)
    assert check(path) == last
    assert last not in failed
    assert len(failed) <= 1
    assert failed or mode == "not checked"


@pytest.mark.parametrize("order", ORDERS, ids="".join)
def test_two_tasks_create_a_file(folder, order):
    """One of two tasks writes the new file and its manifest, and the other one fails."""
    path = f"{folder}/new-{''.join(order)}.jsonl"
    with staged(path, "a") as a, staged(path, "b") as b:
        steps = {"a": iter((a.file, a.manifest)), "b": iter((b.file, b.manifest))}
        failed = set()
        for name in order:
            copy = next(steps[name])
            if name not in failed:
                try:
                    copy.target.create(copy.local)
                except FileExistsError:
                    failed.add(name)
    assert len(failed) == 1
    assert check(path) not in failed


def test_a_new_file_never_replaces_one(folder):
    """What must be new does not replace a file or a manifest; a file with the same bytes gets its manifest."""
    path = f"{folder}/once.jsonl"
    written = write_new(records("a"), path, manifest=header("a"))
    for name in ("a", "b"):
        with pytest.raises(FileExistsError, match="Another task"):
            write_new(records(name), path, manifest=header("later"))
    assert check(path) == "a"
    killed = f"{folder}/killed.jsonl"
    with staged(killed, "a") as task:
        task.file.target.create(task.file.local)
    with pytest.raises(FileExistsError):
        write_new(records("b"), killed, manifest=header("b"))
    assert write_new(records("a"), killed, manifest=header("again")).sha256 == written.sha256
    assert check(killed) == "again"


def test_a_version_differs_between_files(folder):
    """The version of a file changes with its content; there is none without a file."""
    target = resolve_target(f"{folder}/version.jsonl")
    assert target.version() is None
    seen = set()
    for name in ("a", "b"):
        write_atomically(records(name), target.name)
        seen.add(target.version())
    assert len(seen) == 2
    with suppress(PermissionError):
        target.remove()
        assert target.version() is None
