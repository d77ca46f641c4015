"""Read the records of a Parquet file, and compare its typed columns with them.

Import this module only where it is used: it needs pyarrow, which is an extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_secoda._storage.parquet import batch_of
from airflow_provider_secoda.verify._checks.reading import PIECE_BYTES, DamagedError
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
    checker = None if findings is None else _ColumnChecker(findings)
    try:
        with pq.ParquetFile(path, buffer_size=PIECE_BYTES) as file:
            if "raw" not in file.schema_arrow.names:
                raise DamagedError("it has no column `raw`")
            for batch in file.iter_batches(_BATCH_ROWS, columns=["raw"] if checker is None else None):
                values = batch.column("raw").to_pylist()
                records = [value.encode() if isinstance(value, str) else value or b"" for value in values]
                if checker is not None:
                    checker.check(batch, records)
                yield from records
                pa.default_memory_pool().release_unused()
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise DamagedError(f"it is not a complete Parquet file: {type(exc).__name__}") from None


class _ColumnChecker:
    """Compare batches of a file with the columns that the writer makes of their records."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._rows = 0
        self._missing: set[str] = set()

    def check(self, batch: pa.RecordBatch, records: list[bytes]) -> None:
        try:
            expected = batch_of(records)
        except (ValueError, RecursionError, pa.ArrowException):
            expected = None  # an invalid record is another check's finding
        for name in expected.schema.names if expected is not None else ():
            if name == "raw":
                continue
            if name in batch.schema.names:
                self._compare(name, batch.column(name), expected.column(name))
            elif name not in self._missing:
                self._missing.add(name)
                self._findings.add("column_mismatch", f"column {name} is missing")
        self._rows += len(records)

    def _compare(self, name: str, found: pa.Array, expected: pa.Array) -> None:
        try:
            found = found.cast(expected.type)  # another writer may use other types, such as large strings
        except pa.ArrowException:
            pass
        else:
            if found.equals(expected):
                return
        for row in range(len(expected)):  # compared as Arrow values: Python may have no value for a damaged one
            if not found.slice(row, 1).equals(expected.slice(row, 1)):
                position = self._rows + row + 1
                text = f"record {position}: column {quote(name)} differs from the record in column `raw`"
                self._findings.add("column_mismatch", text, position)
