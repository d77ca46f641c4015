"""The processes that the demo left running, found again later and never mistaken for others."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from pathlib import Path

GRACE_SECONDS = 20


class Running:
    """Process groups written down in a file, each by its leader's id and hour of birth.

    An id alone is not enough: systems give it to another process once its bearer is gone.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(self, leader: int) -> None:
        """Write down one more group by the id of its leader, which must be alive."""
        groups = [*self._groups(), [leader, psutil.Process(leader).create_time()]]
        self._file.write_text(json.dumps(groups))

    def processes(self) -> list[psutil.Process]:
        """Return what still runs: members of the groups, and their children that left them."""
        ours = {leader for leader, born in self._groups() if is_or_was(leader, born)}
        found = set()
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                if os.getpgid(process.pid) in ours:
                    found |= {process, *process.children(recursive=True)}
        return [process for process in found if is_alive(process)]

    def stop(self) -> int:
        """End all of it, by request and then by force; return how many processes there were."""
        processes = self.processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs(processes, timeout=GRACE_SECONDS)
        for process in {*left, *self.processes()}:  # also those that were born meanwhile
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._file.unlink(missing_ok=True)
        return len(processes)

    def _groups(self) -> list[list[float]]:
        groups: list[list[float]] = json.loads(self._file.read_text()) if self._file.exists() else []
        return groups


def is_or_was(leader: float, born: float) -> bool:
    """Tell whether the id is still that leader's; it stays reserved while its group has members."""
    try:
        return abs(psutil.Process(int(leader)).create_time() - born) < 1
    except psutil.NoSuchProcess:
        return True


def is_alive(process: psutil.Process) -> bool:
    """Tell whether it runs: a zombie does not."""
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
