"""A target refuses, breaks the connection or does not respond: the task fails with a clear error; a retry succeeds."""

from __future__ import annotations

import re

import pytest

from tests.crash.crash_window import ONLY_WITH_ALL
from tests.helpers.airflow_settings import free_port
from tests.helpers.crash_checks import Bucket, Directory, check, check_complete

# No retries by the S3 client itself.
ONCE = {"AWS_MAX_ATTEMPTS": "1"}


def error(status, code):
    """Return an error response of S3."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code} by the test</Message></Error>".encode()
    head = f"HTTP/1.1 {status} {code}\r\ncontent-type: application/xml\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body


class Refuse:
    """Refuse each upload of an object whose name has this ending."""

    def __init__(self, answer, name=".jsonl"):
        self.start, self.answer = name.encode() + b" HTTP/1.1\r\n", answer

    def __call__(self, way, data):
        head = data.partition(b"\r\n")[0] + b"\r\n"
        return self.answer if data.startswith(b"PUT ") and head.endswith(self.start) else None


class BreakOff:
    """Close the connection when a part of an upload has passed."""

    def __init__(self):
        self.uploads = 0

    def __call__(self, way, data):
        if data.startswith(b"PUT "):
            self.uploads += 1
            return None
        return b"" if self.uploads and way == "sent" else None


class KeepSilent:
    """Let a complete upload pass, and close the connection instead of responding."""

    def __init__(self):
        self.uploads = 0

    def __call__(self, way, data):
        self.uploads += data.startswith(b"PUT ")
        return b"" if self.uploads and way == "received" and not data.startswith(b"HTTP/1.1 100") else None


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (Refuse(error(403, "AccessDenied")), "PermissionError: AccessDenied"),
        (Refuse(error(500, "InternalError")), "InternalError by the test"),
        pytest.param(Refuse(error(503, "SlowDown")), "SlowDown by the test", marks=ONLY_WITH_ALL),
        (Refuse(error(403, "AccessDenied"), ".manifest"), "PermissionError: AccessDenied"),
        (BreakOff(), r"Could not connect|Connection was closed"),
        (KeepSilent(), r"Connection was closed|Could not connect"),
    ],
    ids=["403", "500", "503", "403 for the manifest", "breaks off", "keeps silent"],
)
def test_an_object_store_refuses(run, s3, s3_wire, old, content, truth, request, harm, said):
    """A store that refuses fails the task with its own error; existing files stay complete; a retry writes the file."""
    target = Bucket(s3.bucket, request.node.callspec.id)
    target.give(old)
    environment = s3.connection(s3_wire.url)
    s3_wire.answer = harm
    ended = run(target, environment={**environment, **ONCE})
    s3_wire.answer = None
    assert ended.state == "failed"
    assert re.search(said, ended.log)
    _, others = check(target, [old[target.name], content])
    assert others == []
    assert run(target, environment=environment).state == "success"
    assert check_complete(target, content, truth) == []


def test_a_store_that_is_gone(run, s3, content, truth):
    """Without a server the task fails with a clear error; a retry writes the file when a server listens."""
    target = Bucket(s3.bucket, "gone")
    ended = run(target, environment={**s3.connection(f"http://127.0.0.1:{free_port()}"), **ONCE})
    assert ended.state == "failed"
    assert "Could not connect to the endpoint" in ended.log
    assert target.names() == {}
    assert run(target, environment=s3.connection(f"http://127.0.0.1:{s3.port}")).state == "success"
    assert check_complete(target, content, truth) == []


@pytest.mark.parametrize("what", ["directory", "file", "manifest"])
def test_a_local_target_in_the_way(run, content, truth, tmp_path, what):
    """An obstacle at the path of the file fails the task, which names it; without it a retry writes the file."""
    target = Directory(tmp_path / "target")
    obstacle = {
        "directory": target.path,  # a file where the directory should be
        "file": target.path / target.name,  # a directory where the file should be
        "manifest": target.path / "_manifests" / f"_{target.name}.manifest",
    }[what]
    obstacle.parent.mkdir(exist_ok=True, parents=True)
    (obstacle.touch if what == "directory" else obstacle.mkdir)()
    ended = run(target)
    assert ended.state == "failed"
    # Airflow 3.0 draws a frame around a traceback, and breaks long lines in it.
    assert str(obstacle) in re.sub(r"[\s│]", "", ended.log)
    assert obstacle.is_dir() != (what == "directory")
    (obstacle.unlink if what == "directory" else obstacle.rmdir)()
    check(target, [None])
    assert run(target).state == "success"
    assert check_complete(target, content, truth) == []
