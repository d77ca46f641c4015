"""End this process at an exact point of a run: before a line of the code that writes, the n-th time it is reached.

A point is (file, line, n). The files are the provider's and those of the standard library that write for it, so what
happens between two points is one line of Python.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import airflow_provider_secoda

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

PACKAGE = Path(airflow_provider_secoda.__file__).parent
_ROOTS = {str(PACKAGE): PACKAGE, **{module.__file__: Path(module.__file__).parent for module in (shutil, tempfile)}}
_BEGIN = ("operators/secoda.py", "execute")  # what runs before is Airflow's

Point = tuple[str, int, int]


class Points:
    """Count the lines that are run, from the operator's ``execute`` on, and do something before one of them.

    :param at: the point; None: only count.
    :param act: what to do there.
    :ivar seen: how often each line was run.
    :ivar turns: the points just before and just after a file got another name or went away: what others can see.
    """

    def __init__(self, at: Point | None, act: Callable[[], None]) -> None:
        self.seen: dict[tuple[str, int], int] = {}  # in the order in which they were first run
        self.turns: list[Point] = []
        self._last: Point | None = None
        self._turned = False
        self._line, self._times = (at[:2], at[2]) if at else (None, 0)
        self._act = act
        self._names: dict[CodeType, str | None] = {}
        self._begun = False

    def watch(self) -> None:
        """Begin, in this thread and in those that it starts."""
        sys.addaudithook(self._heard)
        threading.settrace(self._called)
        sys.settrace(self._called)

    def _called(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        code = frame.f_code
        if code not in self._names:
            self._names[code] = _name(code.co_filename)
        name = self._names[code]
        if name is None or not (self._begun or (name, code.co_name) == _BEGIN):
            return None
        self._begun = True

        def due(frame: FrameType, event: str, _argument: Any) -> Any:
            if event == "line":
                line = name, frame.f_lineno
                self.seen[line] = times = self.seen.get(line, 0) + 1
                self._last = (*line, times)
                if self._turned:
                    self._turned = False
                    self.turns.append(self._last)
                if line == self._line and times == self._times:
                    self._act()
            return due

        return due

    def _heard(self, event: str, _arguments: tuple[Any, ...]) -> None:
        if event in ("os.link", "os.rename", "os.remove") and self._last:
            self.turns.append(self._last)
            self._turned = True


def die() -> None:
    """End this process as the kernel does when memory runs out, or an operator with ``kill -9``."""
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> None:
    """Raise what Airflow raises between any two lines when ``execution_timeout`` has passed."""
    from airflow.providers.common.compat.sdk import AirflowTaskTimeout

    raise AirflowTaskTimeout("Timeout")


def _name(filename: str) -> str | None:
    for root, folder in _ROOTS.items():
        if filename == root or filename.startswith(root + os.sep):
            return Path(filename).relative_to(folder).as_posix()
    return None
