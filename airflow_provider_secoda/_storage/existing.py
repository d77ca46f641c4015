"""Read what is at a path before it is replaced: the manifest, or the records of a file without one."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_secoda._storage.formats import format_of
from airflow_provider_secoda._storage.manifest import MAX_LINE_BYTES
from airflow_provider_secoda.client._api.audit_log_page import read_head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

_BATCH_ROWS = 256


class UnknownFileError(ValueError):
    """A file does not have the records that its suffix promises."""


def read_ids(file: IO[bytes], path: str) -> Iterator[str]:
    """Yield the ids of the records of a file that has no manifest.

    :param file: open, at its start
    :param path: its suffix is the format
    :raises UnknownFileError: it is not a complete file of this format, or a record has no id
    """
    try:
        for raw in _records(file, format_of(path)):
            yield read_head(raw).id
    # Arrow's errors are ValueErrors.
    except (msgspec.MsgspecError, ValueError, RecursionError, EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise UnknownFileError(f"{type(exc).__name__}: {exc!s:.200}") from None


def _records(file: IO[bytes], file_format: str) -> Iterator[bytes]:
    if file_format == "parquet":
        yield from _parquet_records(file)
        return
    lines = file if file_format == "jsonl" else gzip.GzipFile(fileobj=file)
    while line := lines.readline(MAX_LINE_BYTES):
        if line.strip():
            yield line


def _parquet_records(file: IO[bytes]) -> Iterator[bytes]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - pyarrow is an extra

    with tempfile.TemporaryDirectory(prefix="secoda-") as directory:
        copy = Path(directory, "existing.parquet")
        with copy.open("wb") as local:
            shutil.copyfileobj(file, local, 1 << 20)
        with pq.ParquetFile(copy) as table:
            if "raw" not in table.schema_arrow.names:
                raise UnknownFileError("it has no column `raw`")
            for batch in table.iter_batches(_BATCH_ROWS, columns=["raw"]):
                yield from (str(raw or "").encode() for raw in batch.column("raw").to_pylist())
