"""Run tasks in processes of their own, which tests kill; see ``zygote.py`` for their side."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.crash.crash_points import Point

_START_SECONDS = 180.0
_TASK_SECONDS = 180.0


@dataclass(frozen=True)
class Ended:
    """How a task's process ended, and its report.

    :ivar killed: whether it was by SIGKILL; then nothing else is known.
    :ivar state: of the task's run: ``success`` or ``failed``.
    :ivar log: all that the run printed and logged.
    :ivar points: of the lines that were run, in order: file, line, and how often; if they were counted.
    :ivar turns: the points around each change of a directory that others can see.
    """

    killed: bool
    state: str = ""
    log: str = ""
    returned: Any = None
    points: list[Point] = field(default_factory=list)
    turns: list[Point] = field(default_factory=list)


class Tasks:
    """Processes of tasks, one at a time.

    :param folder: an empty one, for their temporary files and reports.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)
        self._report = folder / "report"
        self._pid = 0  # of the task that was begun and not waited for
        self._log = (folder / "zygote.log").open("wb")
        python_path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,  # otherwise a line may be in its buffer, where `select` does not see it
            env={**os.environ, "PYTHONPATH": python_path, "TMPDIR": str(folder)},
        )

    def begin(
        self,
        dag: str,
        conf: Mapping[str, str],
        *,
        environment: Mapping[str, str],
        temporary: Path | None = None,
        watch: bool = False,
        at: Point | None = None,
        act: str = "die",
        file_size: int = 0,
    ) -> int:
        """Begin a task; return the id of its process.

        :param conf: of its run.
        :param temporary: its directory for temporary files; default: a new one.
        :param watch: whether to count the lines that it runs.
        :param at: the point at which it comes to its end, by ``act``: ``die`` or ``interrupt``.
        :param file_size: the most bytes that it may write to one file; 0: no limit.
        """
        if temporary is None:
            temporary = self.folder / f"temporary-{next(self._numbers)}"
            temporary.mkdir()
        if self._pid:  # a test that failed did not wait for its task
            self._stop()
        self._report.unlink(missing_ok=True)
        job = {
            "dag": dag,
            "conf": dict(conf),
            "environment": {**environment, "TMPDIR": str(temporary)},
            "watch": watch or at is not None,
            "at": at,
            "act": act,
            "file_size": file_size,
            "report": str(self._report),
        }
        self._zygote.stdin.write(f"{json.dumps(job)}\n".encode())
        self._zygote.stdin.flush()
        self._pid = self._answer(_START_SECONDS)["pid"]
        return self._pid

    def wait(self) -> Ended:
        """Wait until the task that was begun is over."""
        try:
            status = self._answer(_TASK_SECONDS)["status"]
        except TimeoutError:
            self._stop()
            raise
        self._pid = 0
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL, f"ended by signal {os.WTERMSIG(status)}"
            return Ended(killed=True)
        left = json.loads(self._report.read_text())
        points, turns = (list(map(tuple, left[name])) for name in ("points", "turns"))
        return Ended(False, left["state"], left["log"], left["returned"], points, turns)

    def run(self, dag: str, conf: Mapping[str, str], **how: Any) -> Ended:
        """Run a task until it ends in any way."""
        self.begin(dag, conf, **how)
        return self.wait()

    def kill(self) -> None:
        """Kill the task that was begun."""
        os.kill(self._pid, signal.SIGKILL)

    def _stop(self) -> None:
        """Kill the task that was begun, and take note of its end."""
        self.kill()
        self._answer(_TASK_SECONDS)
        self._pid = 0

    def end(self) -> None:
        """End all processes."""
        self._zygote.stdin.close()
        try:
            self._zygote.wait(20)
        finally:
            self._zygote.kill()
            self._zygote.stdout.close()
            self._log.close()

    def _answer(self, seconds: float) -> dict[str, int]:
        if not select.select([self._zygote.stdout], [], [], seconds)[0]:
            raise TimeoutError(f"no answer within {seconds:g} s\n{self._said()}")
        line = self._zygote.stdout.readline()
        if not line:
            raise AssertionError(f"the process of tasks died\n{self._said()}")
        return json.loads(line)

    def _said(self) -> str:
        return (self.folder / "zygote.log").read_text(errors="replace")[-4000:]
