"""Write a file and its manifest to a path or URL, completely or not at all."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_secoda._storage.formats import format_of, write_local_file
from airflow_provider_secoda._storage.manifest import manifest_path, signature_path
from airflow_provider_secoda._storage.staged import Copy, Staged, sha256_of
from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda.signing import key_id, sign_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_provider_secoda.signing import Signer


@dataclass(frozen=True)
class WrittenFile:
    """A file that was written, as the operator's summary contains it; SHA-256 in hexadecimal digits.

    :ivar path: the path or URL as the caller wrote it; it contains a connection id at most, never a secret
    :ivar manifest: path or URL of its manifest; None without a manifest
    :ivar signature: path or URL of the signature of the manifest; None without one, like ``signing_key``
    :ivar signing_key: id of the key of the signature
    :ivar untyped_values: how many values of typed columns are not as they were sent, by field and reason: null, or with
        U+FFFD for half a surrogate pair; None if the format has no typed columns
    """

    path: str
    format: str
    bytes: int
    sha256: str
    manifest: str | None = None
    manifest_sha256: str | None = None
    untyped_values: dict[str, dict[str, int]] | None = None
    signature: str | None = None
    signing_key: str | None = None


def write_atomically(
    records: Iterable[bytes],
    output_path: str,
    *,
    manifest: Callable[[WrittenFile], Iterable[bytes]] | None = None,
    signer: Signer | None = None,
    check: Callable[[], bool] | None = None,
) -> WrittenFile:
    """Write records to a path or URL; the final file name only ever has a complete file.

    The file is first written to the temporary directory of this machine, which needs room for it. An object store then
    gets it in one put, a local directory by a copy in the folder of the manifests and an atomic rename. An error before
    that leaves the old file as it was, and no new files; a killed process leaves its temporary files at most. The
    order in which file, manifest and signature are written is that of :meth:`.Staged.create` and
    :meth:`.Staged.replace`.

    :param records: each the bytes of one JSON object, in the order in which they are written
    :param output_path: a path, or a URL that Airflow's object storage takes (``file:///…``, ``s3://conn_id@bucket/key``);
        its suffix is the format. Missing local directories are created.
    :param manifest: is passed what was written, and returns the manifest in chunks; None: no manifest
    :param signer: signs the manifest, before anything is replaced; None: no signature
    :param check: returns whether there is a file to replace, and raises if it must not be replaced; called just before
        that. If it has found none, a file that another process writes at the same time is not replaced. None: any file
        is replaced
    :raises ValueError: the suffix is unknown, the URL does not name a file, or the path contains ``..``
    :raises OSError: no space, no permission, another process writes the file at the same time; object stores raise
        their own errors
    """
    with _staged(records, output_path, manifest, signer) as (staged, written):
        version = staged.file.target.version()  # before the check, which it is of
        if check is None or check():
            staged.replace(version)
        else:
            staged.create(check)
    return written


def write_new(
    records: Iterable[bytes],
    output_path: str,
    *,
    manifest: Callable[[WrittenFile], Iterable[bytes]],
    signer: Signer | None = None,
) -> WrittenFile:
    """Write records where there is no file; nothing is ever replaced or removed, as write-once storage demands.

    If there is a file with the same bytes and no manifest, the manifest is written.

    :param records: parameters as of :func:`write_atomically`
    :raises FileExistsError: there is another file or manifest
    """
    with _staged(records, output_path, manifest, signer) as (staged, written):
        staged.create(None)
    return written


@contextmanager
def _staged(
    records: Iterable[bytes],
    output_path: str,
    manifest: Callable[[WrittenFile], Iterable[bytes]] | None,
    signer: Signer | None,
) -> Iterator[tuple[Staged, WrittenFile]]:
    """Write file, manifest and signature to this machine; they are removed at the end of the context."""
    file_format = format_of(output_path)
    names = output_path, manifest_path(output_path), signature_path(manifest_path(output_path))
    target, manifest_target, signature_target = map(resolve_target, names)
    with tempfile.TemporaryDirectory(prefix="secoda-") as directory:
        local = Path(directory, f"records.{file_format}")
        untyped = write_local_file(local, file_format, records)
        file = Copy(local, target, sha256_of(local))
        written = WrittenFile(output_path, file_format, local.stat().st_size, file.sha256, untyped_values=untyped)
        described = signed = None
        if signer is not None:
            written = replace(written, signature=names[2], signing_key=key_id(signer.public_key))
        if manifest is not None:
            lines = Path(directory, "manifest.json")
            with lines.open("wb") as opened:
                opened.writelines(manifest(written))
            described = Copy(lines, manifest_target, sha256_of(lines))
            written = replace(written, manifest=names[1], manifest_sha256=described.sha256)
            if signer is not None:
                signature = Path(directory, "signature")
                signature.write_bytes(sign_file(signer, lines))
                signed = Copy(signature, signature_target, sha256_of(signature))
        yield Staged(output_path, file, described, signed, manifest_target, signature_target), written
