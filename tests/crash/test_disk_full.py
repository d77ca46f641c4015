"""A full disk at any stage: the task fails with a clear error, and a retry with free space writes the same bytes."""

from __future__ import annotations

import ctypes
import os
import re
import shutil

import pytest

from tests.crash.crash_window import END, START, large
from tests.helpers.crash_checks import Directory, check, check_complete, check_temporary

# Messages of the kernel about a full disk, and about a limit on the size of a file.
SAYS_SO = re.compile(r"No space left on device|File too large")
# In the temporary directory, as parts of the size of the file that is written.
ROOM = (0, 0.1, 1.2, 3)


@pytest.fixture
def small_disk(tmp_path):
    """Return a function that mounts a disk in memory, of a given size in bytes."""
    libc = ctypes.CDLL(None, use_errno=True)
    mounted = []

    def mount(size):
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        if libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()):
            pytest.skip(f"no disk can be mounted here: {os.strerror(ctypes.get_errno())}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        libc.umount2(os.fsencode(folder), 2)


def fill(folder, leave):
    """Fill a disk except a number of bytes; return the file that fills it."""
    ballast = folder / "ballast"
    room = os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, room.f_bavail * room.f_frsize - leave))
    return ballast


def fails_and_says_so(ended, target, allowed):
    """Check that a task failed because of the full disk, and left no part of a file; return the message."""
    assert ended.state == "failed"
    assert SAYS_SO.search(ended.log), ended.log
    assert "airflow_provider_secoda" in ended.log  # Airflow itself has space
    _, others = check(target, allowed)
    assert others == []  # the process is alive, so it deletes its temporary files
    return SAYS_SO.search(ended.log)[0]


def test_temporary_directory_full(run, small_disk, sandbox, tmp_path):
    """If the temporary directory is full, while the spool or the file is written, the target does not change."""
    sandbox.workspace = large(10 << 20)
    truth = sandbox.workspace.window(START, END)
    content = b"".join(raw + b"\n" for raw in truth)
    disk, target = small_disk(4 * len(content)), Directory(tmp_path / "target")
    old = truth[0] + b"\n"
    target.give({target.name: old})
    words = []
    for part in ROOM:
        ballast = fill(disk, int(part * len(content)))
        ended = run(target, temporary=disk)
        ballast.unlink()
        assert check_temporary(disk) == []
        if ended.state == "success":
            break
        words.append(fails_and_says_so(ended, target, [old]))
    assert ended.state == "success"
    assert check_complete(target, content, truth) == []
    assert words.count("No space left on device") >= 3  # at once, with records in the spool, and with the file


def test_target_full(run, small_disk, old, content, truth):
    """A target without room for the file or for its manifest keeps its files, or gets the complete new file."""
    disk = small_disk(3 * len(content))
    target = Directory(disk / "logs")
    target.give(old)
    for leave in (0, len(content) // 2, len(content) + 4096):
        after = target.names().get(target.name)
        if leave > len(content):
            # The replaced file would make room. The new file is complete then, but has no manifest until a retry.
            shutil.rmtree(target.path)
            after = content
        ballast = fill(disk, leave)
        ended = run(target)
        ballast.unlink()
        fails_and_says_so(ended, target, [after])
    assert run(target).state == "success"
    assert check_complete(target, content, truth) == []


def test_file_size_limited(run, sandbox, tmp_path):
    """A limit on the size of files, as with a quota, has the same effect."""
    sandbox.workspace, target = large(10 << 20), Directory(tmp_path / "target")
    truth = sandbox.workspace.window(START, END)
    fails_and_says_so(run(target, file_size=5 << 20), target, [None])  # enough for Airflow's own database
    assert run(target).state == "success"
    assert check_complete(target, b"".join(raw + b"\n" for raw in truth), truth) == []
