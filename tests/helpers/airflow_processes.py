"""The processes of a real Airflow on this machine: started together, each one ended wholly, none left behind.

Not one ``airflow standalone`` but the components that it would start, since it can neither stop nor restart
one of them, and a test of "the triggerer was away" needs that.

Tasks, the parser's and the triggerer's children leave their parent's process group, so a component is ended by
its session, which nobody leaves. A watchdog ends them all should the test run itself be killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_GRACE_SECONDS = 10.0  # for one component, so that its job in the database ends with it
_LAST_GRACE_SECONDS = 2.0  # for all of them: their database goes, too
_KILL_SECONDS = 5.0
_TAIL_LINES, _TAIL_COLUMNS = 30, 400


class DiedError(AssertionError):
    """A process of Airflow ended by itself; the text holds the end of its log."""


class Processes:
    """Airflow commands by name, each with a log file ``<name>.log`` in the home.

    :param home: an empty folder; becomes ``AIRFLOW_HOME``.
    :param environment: of all processes, besides this process's own.
    """

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SECODA"))}
        if not Path(psutil.__cached__).exists():  # nothing is compiled: do it once, not in each process
            inherited.pop("PYTHONDONTWRITEBYTECODE", None)
            inherited["PYTHONPYCACHEPREFIX"] = str(home / "bytecode")
        self._environment = {**inherited, **environment}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._watchdog: subprocess.Popen[bytes] | None = None

    def run(self, name: str, *command: str) -> None:
        """Run a command to its end.

        :raises DiedError: when it fails.
        """
        self.start(name, *command)
        status = self._running[name].wait()
        self.stop(name)
        if status:
            raise DiedError(f"airflow {' '.join(command)} failed\n{self.tail(name)}")

    def start(self, name: str, *command: str) -> None:
        """Start a command in a session of its own; its output is added to its log."""
        if self._watchdog is None:
            self._watchdog = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, start_new_session=True)
        with self.log_file(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._tell_watchdog()

    def stop(self, name: str) -> None:
        """End a command with all that it started; return when nothing of it is left."""
        left = end_sessions([self._running[name].pid], _GRACE_SECONDS)
        if left:
            raise AssertionError(f"processes of Airflow will not end: {left}")
        self._running.pop(name).wait()
        self._tell_watchdog()

    def kill(self, name: str) -> None:
        """End a command with all that it started by SIGKILL, as when its machine goes down."""
        left = end_sessions([self._running[name].pid], 0, politely=False)
        if left:
            raise AssertionError(f"processes of Airflow cannot be killed: {left}")
        self._running.pop(name).wait()
        self._tell_watchdog()

    def runs(self, name: str) -> bool:
        """Tell whether a command was started and neither stopped nor ended by itself."""
        return name in self._running and self._running[name].poll() is None

    def pid(self, name: str) -> int:
        """Return the process id of a command that runs."""
        return self._running[name].pid

    def end(self) -> None:
        """End everything and make sure of it.

        :raises AssertionError: when a process is still there.
        """
        left = end_sessions(self._sessions(), _LAST_GRACE_SECONDS)
        if left:
            raise AssertionError(f"processes of Airflow outlived the tests: {left}")
        if self._watchdog is not None:
            self._watchdog.kill()  # before the ids of our sessions can become somebody else's
            self._watchdog.communicate()
            self._watchdog = None
        for process in self._running.values():
            process.wait()
        self._running.clear()

    def check(self) -> None:
        """Raise :class:`DiedError` if a command ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise DiedError(f"{name} ended with status {process.returncode}\n{self.tail(name)}")

    def log_file(self, name: str) -> Path:
        """Return the path of what a command printed."""
        return self._home / f"{name}.log"

    def tail(self, name: str) -> str:
        """Return the last lines that a command printed, under its name."""
        lines = self.log_file(name).read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"--- {name}.log ---", *(line[:_TAIL_COLUMNS] for line in lines)])

    def tails(self) -> str:
        """Return the last lines of all commands that run."""
        return "\n".join(map(self.tail, self._running))

    def _sessions(self) -> list[int]:
        return [process.pid for process in self._running.values()]

    def _tell_watchdog(self) -> None:
        self._watchdog.stdin.write(f"{json.dumps(self._sessions())}\n".encode())
        self._watchdog.stdin.flush()


def end_sessions(sessions: Collection[int], grace: float, *, politely: bool = True) -> list[psutil.Process]:
    """End all processes of these sessions; return those that will not go.

    First, unless told otherwise, their leaders are asked, for each knows best how to end its children; what is left
    after ``grace`` seconds is killed.
    """
    for leader in sessions if politely else ():
        with suppress(ProcessLookupError):
            if os.getsid(leader) == leader:
                os.kill(leader, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while (left := _members(sessions)) and time.monotonic() < deadline:
        time.sleep(0.05)
    deadline = time.monotonic() + _KILL_SECONDS
    while (left := _members(sessions)) and time.monotonic() < deadline:
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.05)
    return left


def _members(sessions: Collection[int]) -> list[psutil.Process]:
    """Return what runs in these sessions; zombies do not run."""
    found = []
    for pid in psutil.pids():
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getsid(pid) in sessions and (process := psutil.Process(pid)).status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


if __name__ == "__main__":  # the watchdog: its input ends when the test run does, whichever way
    *_, sessions = "[]", *sys.stdin
    end_sessions(json.loads(sessions), _LAST_GRACE_SECONDS)
