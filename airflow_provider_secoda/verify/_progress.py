"""Say on long work how far it got: what a person needs, every few seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TextIO

from airflow_provider_secoda.verify._messages import shown


@dataclass
class Progress:
    """Count, and write a line when some seconds have passed; the first not before, so that short work says nothing.

    :param stream: where to write; None counts in silence
    :param seconds: between two lines
    """

    stream: TextIO | None = None
    seconds: float = 3.0
    files: int = 0
    total: int = 0
    records: int = 0
    _path: str = ""
    _doing: str = ""
    _said: float = field(default_factory=time.monotonic)

    def begin(self, path: str) -> None:
        """Note which file comes next."""
        self._path, self._doing = path, ""

    def doing(self, what: str) -> None:
        """Note what is done with the file."""
        self._doing = what
        self.tick()

    def done(self) -> None:
        """Count a file."""
        self.files += 1
        self.tick()

    def record(self) -> None:
        """Count a record."""
        self.records += 1
        if not self.records % 1000:
            self.tick()

    def tick(self) -> None:
        """Write a line if it is time."""
        now = time.monotonic()
        if self.stream is None or now - self._said < self.seconds:
            return
        self._said = now
        doing = f"{self._doing} " if self._doing else ""
        counts = f"{self.files:,} of {self.total:,} files checked, {self.records:,} records"
        self.stream.write(f"{counts}, now {doing}{shown(self._path)}\n")
        self.stream.flush()
