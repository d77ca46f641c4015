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

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.helpers import figures

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HIDDEN = re.compile(r"_manifests/\.secoda-[0-9a-f]+\.part")
_TEMPORARY = re.compile(r"secoda-[^/]*")
#: The key with which the tasks sign, and the extra of the connection to Secoda that names it.
SIGNING_KEY = Ed25519PrivateKey.generate()
SIGNING = {"signing_conn_id": "signing_key"}


@dataclass(frozen=True)
class OutputFiles:
    """A file, its manifest and the signature of that; None for one that does not exist."""

    file: bytes | None = None
    manifest: bytes | None = None
    signature: bytes | None = None


class Target(Protocol):
    """Where the file is written: a directory, or a prefix in a bucket."""

    name: str
    url: str

    def names(self) -> dict[str, bytes]:
        """Return all files."""

    def give(self, names: Mapping[str, bytes]) -> None:
        """Write these files, before the task starts."""


@dataclass(frozen=True)
class Directory:
    """A directory of this machine."""

    path: Path
    name: str = "logs.jsonl"

    @property
    def url(self) -> str:
        return str(self.path / self.name)

    def names(self) -> dict[str, bytes]:
        return {str(file.relative_to(self.path)): file.read_bytes() for file in self.path.rglob("*") if file.is_file()}

    def give(self, names: Mapping[str, bytes]) -> None:
        self.path.mkdir(exist_ok=True)
        for name, held in names.items():
            (self.path / name).parent.mkdir(exist_ok=True)
            (self.path / name).write_bytes(held)


@dataclass(frozen=True)
class Bucket:
    """A prefix in an S3 bucket, read by a client other than the provider's."""

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


def signing_key() -> dict[str, str]:
    """Return the environment variable with the connection of the key."""
    pem = SIGNING_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"AIRFLOW_CONN_SIGNING_KEY": json.dumps({"conn_type": "secoda_signing_key", "password": pem})}


def read_target(target: Target) -> tuple[OutputFiles, list[str]]:
    """Return the file with its manifest and signature, and the names of all other files."""
    names = target.names()
    manifest = f"_manifests/_{target.name}.manifest"
    found = OutputFiles(*(names.pop(name, None) for name in (target.name, manifest, f"{manifest}.sig")))
    return found, sorted(names)


def check(target: Target, allowed: list[bytes | None]) -> tuple[OutputFiles, list[str]]:
    """Check the target of a task that ended at any point; return its files, and the names of the hidden files.

    :param allowed: the possible contents of the file; None: no file is allowed.
    """
    found, others = read_target(target)
    assert found.file in allowed, f"a file of {len(found.file or b'')} bytes, which is not one of the allowed contents"
    assert all(map(_HIDDEN.fullmatch, others)), others
    if found.manifest is not None:
        assert found.file is not None, "a manifest without its file"
        check_manifest(found.manifest, target.name, found.file)
    if found.signature is not None:
        assert found.manifest is not None, "a signature without its manifest"
        SIGNING_KEY.public_key().verify(found.signature, found.manifest)
    return found, others


def check_complete(target: Target, expected: bytes, truth: list[bytes], *, signed: bool = True) -> list[str]:
    """Check that a retry wrote the file, with its manifest and signature; return the names of the hidden files.

    :param expected: the file that an undisturbed run writes.
    :param truth: the records of the window; lost, repeated and altered ones are counted for the figures.
    :param signed: whether the task signs.
    """
    found, others = check(target, [expected])
    assert found.manifest is not None, "no manifest"
    assert (found.signature is not None) == signed, "signature"
    counts = differences(target.name, target.names()[target.name], truth)
    assert counts == {"lost": 0, "twice": 0, "altered": 0}
    figures.record("crash", points=1, **counts)
    return others


def check_manifest(manifest: bytes, name: str, file: bytes) -> None:
    """Check that a manifest describes a file exactly."""
    manifest_data = json.loads(manifest)
    records = _records(name, file)
    assert manifest_data["file"]["name"] == name
    assert manifest_data["file"]["bytes"] == len(file)
    assert manifest_data["file"]["sha256"] == hashlib.sha256(file).hexdigest()
    assert manifest_data["file"]["count"] == len(records)
    assert manifest_data["records"] == [[json.loads(raw)["id"], hashlib.sha256(raw).hexdigest()] for raw in records]


def check_temporary(folder: Path) -> list[str]:
    """Check that a process left no files with unknown names in its temporary directory; return the names."""
    names = sorted(entry.name for entry in folder.iterdir())
    assert all(map(_TEMPORARY.fullmatch, names)), names
    return names


def differences(name: str, file: bytes, truth: list[bytes]) -> dict[str, int]:
    """Count the true records that a file lacks, those that it contains twice, and those that were not sent."""
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
