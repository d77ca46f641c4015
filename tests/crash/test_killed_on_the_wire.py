"""Kill the real task at an exact byte of what it receives from the API or sends to an object store."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from tests.crash.crash_window import END, EVERY_POINT, START, large
from tests.crash.crash_wire import Exchange
from tests.helpers.crash_checks import SIGNING, Bucket, Directory, check, check_complete, differences

# Parts of all bytes that are received: before the first answer, in the search, during pages that are read concurrently.
READ = [("received", part) for part in (0, 0.02, 0.6)]
# What is about to be sent, or how much of all was.
UPLOAD = [("before", rb"DELETE "), ("sent", 0.5), ("before", rb"PUT \S+\.manifest ")]
UPLOAD_OF_PARTS = [("sent", 0.6)]
MANY = tuple(n / 40 for n in range(40))


def test_killed_during_the_pages(run, sandbox, truth, tmp_path):
    """A task that is killed during a page, with any number in flight, leaves no file; its retry writes all logs."""
    with Exchange(urlsplit(sandbox.url).port) as wire:
        connection = json.dumps({**json.loads(sandbox.connection_json), "host": wire.url, "extra": SIGNING})
        environment = {"AIRFLOW_CONN_SECODA_DEFAULT": connection}
        undisturbed = Directory(tmp_path / "undisturbed")
        assert run(undisturbed, "fetch_4", environment).state == "success"
        content = undisturbed.names()[undisturbed.name]
        total = dict(wire.counts)
        for way, part in [("received", part) for part in MANY] if EVERY_POINT else READ:
            target = Directory(tmp_path / f"{part}")
            killed = kill(wire, way, int(part * total[way]), run, target, "fetch_4", environment)
            # The client requests a few pages more or less, depending on their order of arrival.
            assert killed or part > 0.8, part
            check(target, [None] if killed else [content])
            assert run(target, "fetch_4", environment).state == "success"
            assert check_complete(target, content, truth) == []


def kill(wire, way, where, run, target, dag, environment):
    """Run a task that is killed after a number of bytes, or before a request; return whether it was."""
    wire.clear()
    if way == "before":
        wire.kill_before(where)
    else:
        wire.kill_after(way, where)
    wire.set_process(run(target, dag, environment, begin=True))
    killed = run.wait().killed
    wire.clear()
    return killed


@pytest.mark.parametrize("size", ["one request", "parts"])
def test_killed_during_an_upload(run, s3, s3_wire, sandbox, workspaces, tmp_path, size):
    """A task that is killed during its upload leaves the old or the new object complete; its retry writes the same."""
    environment = s3.connection(s3_wire.url)
    before, now = workspaces if size == "one request" else (large(0), large(20 << 20))
    points = UPLOAD if size == "one request" else UPLOAD_OF_PARTS
    if EVERY_POINT:
        points = points + [
            (way, part) for way in ("sent", "received") for part in MANY[:: 1 if size == "one request" else 8]
        ]
    truth, seen = now.window(START, END), set()

    sandbox.workspace = before
    old = Directory(tmp_path / "old")
    assert run(old).state == "success"
    sandbox.workspace = now
    undisturbed = Bucket(s3.bucket, f"{size}/undisturbed")
    undisturbed.give(old.names())
    assert (ended := run(undisturbed, environment=environment)).state == "success", ended.log
    content, total = undisturbed.names()[undisturbed.name], dict(s3_wire.counts)
    assert differences(undisturbed.name, content, truth) == {"lost": 0, "twice": 0, "altered": 0}

    for number, (way, where) in enumerate(points):
        target = Bucket(s3.bucket, f"{size}/{number}")
        target.give(old.names())
        exact = where if way == "before" else int(where * total[way])
        assert kill(s3_wire, way, exact, run, target, "fetch_1", environment), (way, where)
        landed, others = check(target, [old.names()[old.name], content])
        seen.add((landed.file == content, landed.manifest is not None))
        assert others == []
        assert run(target, environment=environment).state == "success"
        assert check_complete(target, content, truth) == []
    assert (False, False) in seen  # the old file, without its manifest: it was killed during the upload
    assert size == "parts" or {(False, True), (True, False)} <= seen, seen
