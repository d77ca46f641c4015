"""Read the records of a Parquet file, and compare its typed columns with them.

Import this module only where it is used: it needs pyarrow, which is an extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_secoda._storage.parquet import SCHEMA, batch_of
from airflow_provider_secoda.verify._files import PIECE_BYTES, DamagedError
from airflow_provider_secoda.verify._messages import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_provider_secoda.verify._result import Findings

_BATCH_ROWS = 256


def read_parquet(path: Path, findings: Findings | None) -> Iterator[bytes]:
    """Yield the records of a Parquet file: its column ``raw``.

    The manifest lists only that column, but queries use the others. An attacker who alters those leaves each record
    as it was; so all columns of a file that is not the written one are checked.

    :param path: on this machine
    :param findings: of the columns; None: do not check them, the file is the written one
    :raises DamagedError: after the records before the damage
    """
    position = 0
    try:
        with pq.ParquetFile(path, buffer_size=PIECE_BYTES) as file:
            names = file.schema_arrow.names
            if "raw" not in names:
                raise DamagedError("it has no column `raw`")
            if findings is not None:
                for name in sorted(set(SCHEMA.names).difference(names)):
                    findings.add("column_mismatch", f"column {name} is missing")
            for batch in file.iter_batches(_BATCH_ROWS, columns=["raw"] if findings is None else None):
                values = batch.column("raw").to_pylist()
                records = [value.encode() if isinstance(value, str) else value or b"" for value in values]
                if findings is not None:
                    _check_columns(batch, records, position, findings)
                position += len(records)
                yield from records
                pa.default_memory_pool().release_unused()
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise DamagedError(f"it is not a complete Parquet file: {type(exc).__name__}") from None


def _check_columns(batch: pa.RecordBatch, records: list[bytes], before: int, findings: Findings) -> None:
    """Compare a batch with the columns that the writer makes of its records.

    :param before: how many records of the file come before those of the batch
    """
    try:
        written = batch_of(records)
    except (ValueError, RecursionError, pa.ArrowException):
        return  # an invalid record is another check's finding
    for name in written.schema.names:
        if name == "raw" or name not in batch.schema.names:
            continue
        found, expected = batch.column(name), written.column(name)
        try:
            found = found.cast(expected.type)  # another writer may use other types, such as large strings
        except pa.ArrowException:
            pass
        else:
            if found.equals(expected):
                continue
        for row in range(len(expected)):  # compared as Arrow values: Python may have no value for a damaged one
            if not found.slice(row, 1).equals(expected.slice(row, 1)):
                text = f"has another value in column {quote(name)} than in column `raw`"
                findings.add("column_mismatch", text, before + row + 1)
