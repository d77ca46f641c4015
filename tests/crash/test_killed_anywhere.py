"""Kill the real task, in a real process, at any point of its run: no file is incomplete, and a retry succeeds."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest

from tests.crash.crash_window import EVERY_POINT, ONLY_WITH_ALL
from tests.helpers.crash_checks import Directory, check, check_complete, check_temporary

pytestmark = pytest.mark.timeout(900)  # dozens of tasks, each of which takes seconds on some versions of Airflow

# The files of the provider that run in each stage of a run; all others count as "around".
STAGES = {
    "client/_audit_logs/search.py": "search",
    "client/_audit_logs/consistency.py": "search",
    "client/_audit_logs/window.py": "read",
    "client/_audit_logs/read_direction.py": "read",
    "client/_audit_logs/snapshot.py": "read",
    "_storage/spool.py": "spool",
    "_storage/formats.py": "write",
    "_storage/targets/local.py": "put",
    "shutil.py": "put",
    "_storage/write.py": "land",
    "_storage/staged.py": "land",
    "_storage/manifest.py": "manifest",
}
_WRITES = ("_storage/targets/local.py", "_storage/staged.py", "_storage/write.py")
SAMPLE = {"around": 1, "search": 1, "read": 1, "spool": 1, "write": 1, "put": 2, "land": 1, "manifest": 1}


def chosen(ended, sample, part=""):
    """Return a sample of the points of a run, or of each line its first and last time.

    The sample has some of every stage, and all at which a file is about to get or lose its name, or just has.

    :param sample: how many of each stage.
    :param part: of all lines, choose those of the files whose names begin so.
    """
    if EVERY_POINT:
        lines = [point for point in ended.points if point[0].startswith(part)]
        return [(file, line, n) for file, line, times in lines for n in sorted({1, times})]
    found = [point for point in dict.fromkeys(ended.turns) if point[0] in _WRITES]
    for stage, number in sample.items():
        lines = [point for point in ended.points if STAGES.get(point[0], "around") == stage]
        assert lines, f"no line of stage {stage!r} was run: did a file get another name?"
        for index in range(number):
            file, line, times = lines[(2 * index + 1) * len(lines) // (2 * number)]
            found.append((file, line, (times + 1) // 2))  # how often, differs a little, as answers arrive in pieces
    return found


@pytest.fixture
def undisturbed(run, truth, old, tmp_path, suffix):
    """Run the task undisturbed; return how it ended, and the bytes that it wrote."""
    target = Directory(tmp_path / "undisturbed", f"logs.{suffix}")
    target.give(old)
    ended = run(target, watch=True)
    assert ended.state == "success", ended.log
    check_complete(target, content := target.names()[target.name], truth)
    assert len(truth) > 200
    return ended, content


def state(landed, old_file):
    """Return the state of a target in short."""
    file = "old" if landed.file == old_file else "new"
    return ", ".join([file, *(name for name in ("manifest", "signature") if getattr(landed, name) is not None)])


@pytest.mark.parametrize(
    "suffix", ["jsonl", pytest.param("jsonl.gz", marks=ONLY_WITH_ALL), pytest.param("parquet", marks=ONLY_WITH_ALL)]
)
def test_killed_anywhere(run, old, undisturbed, truth, tmp_path, suffix):
    """Killed at any point, a task leaves the old or the new file complete, and its retry writes the same bytes."""
    ended, content = undisturbed
    states, leftovers = Counter(), Counter()
    for number, point in enumerate(chosen(ended, SAMPLE, "" if suffix == "jsonl" else "_storage/")):
        target = Directory(tmp_path / f"{number}", f"logs.{suffix}")
        target.give(old)
        temporary = tmp_path / f"temporary-{number}"
        temporary.mkdir()

        end = run(target, at=point, temporary=temporary)
        assert end.killed or (EVERY_POINT and end.state == "success"), f"{point} was not reached"
        landed, hidden = check(target, [old[target.name], content])
        states[state(landed, old[target.name])] += 1
        leftovers.update(
            ["hidden"] * len(hidden)
            + ["file" if name.endswith(".sqlite") else "directory" for name in check_temporary(temporary)]
        )

        again = run(target)
        assert again.state == "success", f"{point}: {again.log}"
        assert check_complete(target, content, truth) == hidden  # left alone: another task may be writing it
        shutil.rmtree(temporary)
        shutil.rmtree(target.path)
    steps = ("", ", manifest", ", manifest, signature")
    assert states.keys() == {f"{file}{step}" for file in ("old", "new") for step in steps}, "a state was not seen"
    assert leftovers["hidden"]
    assert leftovers["directory"]


@pytest.mark.parametrize("suffix", ["jsonl"])
def test_interrupted_anywhere(run, old, undisturbed, truth, tmp_path):
    """An exception at any point, as a timeout raises it, fails the task and leaves a complete file, old or new."""
    ended, content = undisturbed
    for number, point in enumerate(chosen(ended, {"read": 1}, "_storage/")):
        target = Directory(tmp_path / f"{number}")
        target.give(old)
        # A run may suppress one at its end, where it closes what it does not need any more.
        assert run(target, at=point, act="interrupt").state == "failed" or EVERY_POINT, point
        _, hidden = check(target, [old[target.name], content])
        assert run(target).state == "success"
        assert check_complete(target, content, truth) == hidden
        shutil.rmtree(target.path)
