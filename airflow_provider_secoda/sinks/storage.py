"""Land a file at a path or URL: whole, at once, or not at all."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_secoda.sinks.formats import format_of, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PIECE = 1 << 20
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/)")
# As they come, s3fs holds up to 100 MB of a file at once and ten parts of 50 MB, gcsfs 50 MB.
_PUT_OPTIONS = {"chunksize": 8 << 20, "max_concurrency": 2}


@dataclass(frozen=True)
class Written:
    """What landed.

    :ivar path: the path or URL as the caller wrote it: it names at most a connection, never what the
        connection holds.
    :ivar format: ``jsonl``, ``jsonl.gz`` or ``parquet``.
    :ivar bytes: the size of the file.
    :ivar sha256: of the file, in hexadecimal digits.
    """

    path: str
    format: str
    bytes: int
    sha256: str


def land(records: Iterable[bytes], output_path: str) -> Written:
    """Write records to a path or URL under whose name nothing ever stands but a whole file.

    The file is first built in the temporary directory of this machine, which needs room for it. Then an
    object store gets it in one put, and a local directory by a copy under a hidden name and an atomic
    rename. An error before that leaves what stood there before and nothing beside it; a killed process
    leaves at most its temporary files.

    A local path is not left to Airflow's ``ObjectStoragePath``, which in some versions takes a relative path
    from the root and cuts a name at ``#`` or ``?``.

    :param records: each the bytes of one JSON object, in the order in which they shall lie.
    :param output_path: a path, or a URL that Airflow's object storage takes (``file:///…``,
        ``s3://conn_id@bucket/key``); the suffix says the format. Missing local directories are made.
    :raises ValueError: the suffix names no format, or the URL no file.
    :raises OSError: no space, no permission; object stores raise their own errors.
    """
    kind = format_of(output_path)
    put = _target(output_path)
    with tempfile.TemporaryDirectory(prefix="landing-") as directory:
        whole = Path(directory, f"records.{kind}")
        write_file(whole, kind, records)
        written = Written(output_path, kind, whole.stat().st_size, _sha256(whole))
        put(whole)
    return written


def _target(output_path: str) -> Callable[[Path], None]:
    """Find where a path leads; what is wrong with it then shows before a single record is taken."""
    scheme = _SCHEME.match(output_path)
    if scheme is None:
        return partial(_replace, Path(output_path))
    if scheme[1].lower() in {"file", "local"}:
        local = output_path[scheme.end() :].removeprefix("//")
        if not local.startswith("/"):
            raise ValueError(f"{output_path!r} names a host, not a file of this machine; write file:///path.")
        return partial(_replace, Path(local))
    # Only here: local files need no Airflow.
    from airflow.providers.common.compat.sdk import ObjectStoragePath  # noqa: PLC0415

    target = ObjectStoragePath(output_path)
    if not target.path.endswith("/" + output_path.rpartition("/")[2]):
        raise ValueError(f"{output_path!r} names a bucket, but no file in it.")
    store = target.fs
    known = inspect.signature(store.put_file).parameters
    options = {option: value for option, value in _PUT_OPTIONS.items() if option in known}
    return lambda whole: store.put_file(str(whole), target.path, **options)


def _replace(target: Path, whole: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f".landing-{secrets.token_hex(8)}.part")
    try:
        # Not by tempfile, whose files only their owner may read: this one is as any new file under the umask.
        with whole.open("rb") as source, hidden.open("xb") as copy:
            shutil.copyfileobj(source, copy, _PIECE)
            copy.flush()
            os.fsync(copy.fileno())
        hidden.replace(target)
    finally:
        hidden.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
