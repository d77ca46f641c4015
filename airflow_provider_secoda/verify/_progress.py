"""Report the progress of a long check every few seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TextIO

from airflow_provider_secoda.verify._messages import escape


@dataclass
class Progress:
    """Count files and records, and write a line every few seconds; a short check writes none.

    :param stream: where to write; None: do not write
    :param seconds: between two lines, and before the first
    """

    stream: TextIO | None = None
    seconds: float = 3.0
    total: int = 0
    _files: int = 0
    _records: int = 0
    _now: str = ""
    _written: float = field(default_factory=time.monotonic)

    def start(self, activity: str, path: str) -> None:
        """Note what is done now, and with which file."""
        self._now = f"{activity} {escape(path)}"
        self.write_if_due()

    def count_file(self) -> None:
        """Count a file that was checked."""
        self._files += 1
        self.write_if_due()

    def count_record(self) -> None:
        """Count a record that was read."""
        self._records += 1
        if not self._records % 1000:
            self.write_if_due()

    def write_if_due(self) -> None:
        """Write a line if enough time has passed."""
        now = time.monotonic()
        if self.stream is None or now - self._written < self.seconds:
            return
        self._written = now
        counts = f"{self._files:,} of {self.total:,} files checked, {self._records:,} records"
        self.stream.write(f"{counts}, now {self._now}\n")
        self.stream.flush()
