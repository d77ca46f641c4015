"""The processes of a real Airflow on this machine: started together, each one stopped completely.

The components are started one by one, because ``airflow standalone`` can neither stop nor restart one of them, and
tests of a triggerer that is down need that.

Tasks and the child processes of the DAG processor and of the triggerer leave the process group of their parent, but
not its session, so a component is stopped by session. A watchdog stops them all if the test run itself is killed.
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

_GRACE_SECONDS = 10.0  # for one component, so that it can end its job in the database
_LAST_GRACE_SECONDS = 2.0  # for all of them: their database is deleted, too
_KILL_SECONDS = 5.0
_TAIL_LINES, _TAIL_COLUMNS = 30, 400


class DiedError(AssertionError):
    """A process of Airflow ended by itself; the message contains the end of its log."""


class Processes:
    """Airflow commands by name, each with a log file ``<name>.log`` in the home.

    :param home: an empty folder; becomes ``AIRFLOW_HOME``.
    :param environment: variables of all processes, in addition to those of this process.
    """

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SECODA"))}
        if not Path(psutil.__cached__).exists():  # no bytecode is written: compile once, not in each process
            inherited.pop("PYTHONDONTWRITEBYTECODE", None)
            inherited["PYTHONPYCACHEPREFIX"] = str(home / "bytecode")
        self._environment = {**inherited, **environment}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._watchdog: subprocess.Popen[bytes] | None = None

    def run(self, name: str, *command: str) -> None:
        """Run a command and wait until it ends.

        :raises DiedError: when it fails.
        """
        self.start(name, *command)
        status = self._running[name].wait()
        self.stop(name)
        if status:
            raise DiedError(f"airflow {' '.join(command)} failed\n{self.tail(name)}")

    def start(self, name: str, *command: str) -> None:
        """Start a command in its own session; its output is appended to its log."""
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
        self._update_watchdog()

    def stop(self, name: str) -> None:
        """Stop a command and all processes that it started; return when none of them runs."""
        left = end_sessions([self._running[name].pid], _GRACE_SECONDS)
        if left:
            raise AssertionError(f"processes of Airflow will not end: {left}")
        self._running.pop(name).wait()
        self._update_watchdog()

    def kill(self, name: str) -> None:
        """Kill a command and all processes that it started (SIGKILL), as when its machine goes down."""
        left = end_sessions([self._running[name].pid], 0, politely=False)
        if left:
            raise AssertionError(f"processes of Airflow cannot be killed: {left}")
        self._running.pop(name).wait()
        self._update_watchdog()

    def runs(self, name: str) -> bool:
        """Return whether a command was started and is still running."""
        return name in self._running and self._running[name].poll() is None

    def pid(self, name: str) -> int:
        """Return the process id of a running command."""
        return self._running[name].pid

    def end(self) -> None:
        """Stop all commands.

        :raises AssertionError: when a process is still running.
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
        """Return the path of the log file of a command."""
        return self._home / f"{name}.log"

    def tail(self, name: str) -> str:
        """Return the last lines that a command printed, after a line with its name."""
        lines = self.log_file(name).read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join([f"--- {name}.log ---", *(line[:_TAIL_COLUMNS] for line in lines)])

    def tails(self) -> str:
        """Return the last lines of all running commands."""
        return "\n".join(map(self.tail, self._running))

    def _sessions(self) -> list[int]:
        return [process.pid for process in self._running.values()]

    def _update_watchdog(self) -> None:
        self._watchdog.stdin.write(f"{json.dumps(self._sessions())}\n".encode())
        self._watchdog.stdin.flush()


def end_sessions(sessions: Collection[int], grace: float, *, politely: bool = True) -> list[psutil.Process]:
    """Stop all processes of these sessions; return those that are still running.

    With ``politely``, the leader of each session gets a SIGTERM first, so that it can stop its children. Processes
    that run after ``grace`` seconds are killed.
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
    """Return the running processes of these sessions, without zombies."""
    found = []
    for pid in psutil.pids():
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getsid(pid) in sessions and (process := psutil.Process(pid)).status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


if __name__ == "__main__":  # the watchdog: its input ends when the test run ends, for any reason
    *_, sessions = "[]", *sys.stdin
    end_sessions(json.loads(sessions), _LAST_GRACE_SECONDS)
