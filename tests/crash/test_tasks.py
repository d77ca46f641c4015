"""The runner of tasks itself."""

from tests.helpers.crash_checks import Directory


def test_a_task_that_nobody_waited_for(run, tmp_path):
    """It is ended before the next one begins: a test that fails during a task does not disturb the others."""
    for number in range(2):
        run(Directory(tmp_path / f"{number}"), begin=True)
    assert run(Directory(tmp_path / "last")).state == "success"
