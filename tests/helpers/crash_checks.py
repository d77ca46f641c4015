"""Check what is at a target after a task was killed or disturbed, without the provider's code."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tests.helpers import figures

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HIDDEN = re.compile(r"\.secoda-[0-9a-f]+\.part")
_TEMPORARY = re.compile(r"secoda-[^/]*")


@dataclass(frozen=True)
class Landed:
    """A file and its manifest; None for what is not there."""

    file: bytes | None = None
    manifest: bytes | None = None


class Target(Protocol):
    """Where the file is written: a directory, or a prefix in a bucket."""

    name: str
    url: str

    def names(self) -> dict[str, bytes]:
        """Return all files."""

    def give(self, names: Mapping[str, bytes]) -> None:
        """Write these files before the task starts."""


@dataclass(frozen=True)
class Directory:
    """A directory of this machine."""

    path: Path
    name: str = "logs.jsonl"

    @property
    def url(self) -> str:
        return str(self.path / self.name)

    def names(self) -> dict[str, bytes]:
        return {entry.name: entry.read_bytes() for entry in self.path.iterdir()} if self.path.exists() else {}

    def give(self, names: Mapping[str, bytes]) -> None:
        self.path.mkdir(exist_ok=True)
        for name, held in names.items():
            (self.path / name).write_bytes(held)


@dataclass(frozen=True)
class Bucket:
    """A prefix in an S3 bucket, by a client that is not the provider's."""

    bucket: Any
    prefix: str
    name: str = "logs.jsonl"

    @property
    def url(self) -> str:
        return f"s3://s3_local@{self.bucket.name}/{self.prefix}/{self.name}"

    def names(self) -> dict[str, bytes]:
        found = self.bucket.objects.filter(Prefix=f"{self.prefix}/")
        return {entry.key.removeprefix(f"{self.prefix}/"): entry.get()["Body"].read() for entry in found}

    def give(self, names: Mapping[str, bytes]) -> None:
        for name, held in names.items():
            self.bucket.put_object(Key=f"{self.prefix}/{name}", Body=held)


def look(target: Target) -> tuple[Landed, list[str]]:
    """Return the file with its manifest, and the names of all other files."""
    names = target.names()
    landed = Landed(names.pop(target.name, None), names.pop(f"{target.name}.manifest.json", None))
    return landed, sorted(names)


def check(target: Target, allowed: list[bytes | None]) -> tuple[Landed, list[str]]:
    """Check what a task left that ended at any point; return it, and the names of the hidden files.

    :param allowed: what the file may hold, to the byte; None: that there is none.
    """
    landed, others = look(target)
    assert landed.file in allowed, f"a file of {len(landed.file or b'')} bytes, which is none of those that may be"
    assert all(map(_HIDDEN.fullmatch, others)), others
    if landed.manifest is not None:
        assert landed.file is not None, "a manifest without its file"
        check_manifest(landed.manifest, target.name, landed.file)
    return landed, others


def check_whole(target: Target, expected: bytes, truth: list[bytes]) -> list[str]:
    """Check that a retry wrote the file, with its manifest; return the names of the hidden files.

    :param expected: the file that an undisturbed run writes.
    :param truth: the records of the window; what became of them is counted for the figures.
    """
    landed, others = check(target, [expected])
    assert landed.manifest is not None, "no manifest"
    counts = differences(target.name, target.names()[target.name], truth)
    assert counts == {"lost": 0, "twice": 0, "altered": 0}
    figures.record("crash", points=1, **counts)
    return others


def check_manifest(manifest: bytes, name: str, file: bytes) -> None:
    """Check that a manifest describes a file exactly."""
    said = json.loads(manifest)
    records = _records(name, file)
    assert said["file"]["name"] == name
    assert said["file"]["bytes"] == len(file)
    assert said["file"]["sha256"] == hashlib.sha256(file).hexdigest()
    assert said["file"]["count"] == len(records)
    assert said["records"] == [[json.loads(raw)["id"], hashlib.sha256(raw).hexdigest()] for raw in records]


def check_temporary(folder: Path) -> list[str]:
    """Check that a process left nothing in its directory for temporary files but what has its known names."""
    names = sorted(entry.name for entry in folder.iterdir())
    assert all(map(_TEMPORARY.fullmatch, names)), names
    return names


def differences(name: str, file: bytes, truth: list[bytes]) -> dict[str, int]:
    """Count the records of the truth that a file lacks, those that it holds twice, and those that nobody sent."""
    held, sent = Counter(_records(name, file)), Counter(truth)
    return {
        "lost": sum((sent - held).values()),
        "twice": sum(count - 1 for count in held.values()),
        "altered": len(held.keys() - sent.keys()),
    }


def _records(name: str, file: bytes) -> list[bytes]:
    if name.endswith(".parquet"):
        import pyarrow.parquet

        return [raw.encode() for raw in pyarrow.parquet.read_table(io.BytesIO(file))["raw"].to_pylist()]
    return (gzip.decompress(file) if name.endswith(".gz") else file).splitlines()
