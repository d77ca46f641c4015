"""Read the records of a Parquet file, and compare its typed columns with them.

Import this module only where it is used: it needs pyarrow, which is an extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_secoda._storage.columns import SCHEMA
from airflow_provider_secoda.verify._checks.typed_values import read_typed, same_json
from airflow_provider_secoda.verify._files import PIECE_BYTES, DamagedError
from airflow_provider_secoda.verify._messages import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_provider_secoda.verify._result import Findings

_BATCH_ROWS = 256
#: The columns that are compared as Arrow values, and the one that is JSON text.
_JSON_COLUMN = "metadata"
_TYPED = pa.schema([field for field in SCHEMA if field.name not in (_JSON_COLUMN, "raw")])


def read_parquet(path: Path, findings: Findings, *, as_written: bool) -> Iterator[bytes]:
    """Yield the records of a Parquet file: its column ``raw``.

    The manifest lists only that column, but queries use the others. They are compared with what a second reading of
    ``raw`` finds, also in the file that was written: the writer may have an error, and an attacker who alters the other
    columns leaves each record as it was.

    :param path: on this machine
    :param findings: of the columns
    :param as_written: whether the file is the written one: it lacks the columns of fields that were documented later
    :raises DamagedError: after the records before the damage
    """
    position = 0
    try:
        with pq.ParquetFile(path, buffer_size=PIECE_BYTES) as file:
            names = file.schema_arrow.names
            if "raw" not in names:
                raise DamagedError("it has no column `raw`")
            for name in () if as_written else sorted(set(SCHEMA.names).difference(names)):
                findings.add("column_mismatch", f"column {name} is missing")
            for batch in file.iter_batches(_BATCH_ROWS):
                values = batch.column("raw").to_pylist()
                records = [value.encode() if isinstance(value, str) else value or b"" for value in values]
                _check_columns(batch, records, position, findings)
                position += len(records)
                yield from records
                pa.default_memory_pool().release_unused()
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise DamagedError(f"it is not a complete Parquet file: {type(exc).__name__}") from None


def _check_columns(batch: pa.RecordBatch, records: list[bytes], before: int, findings: Findings) -> None:
    """Compare a batch with its records; a record that is not a JSON object is another check's finding.

    :param before: how many records of the file come before those of the batch
    """
    rows = [read_typed(raw) for raw in records]
    expected = pa.RecordBatch.from_pylist([row or {} for row in rows], _TYPED)
    for name in SCHEMA.names:
        if name == "raw" or name not in batch.schema.names:
            continue
        found = batch.column(name)
        wrong = _other_json(found, rows) if name == _JSON_COLUMN else _other_values(found, expected.column(name))
        for row in wrong:
            record = rows[row]
            if record is not None:
                record_id = record["id"] if isinstance(record["id"], str) else None
                text = f"has another value in column {quote(name)} than in column `raw`"
                findings.add("column_mismatch", text, before + row + 1, record_id)


def _other_values(found: pa.Array, expected: pa.Array) -> Iterator[int]:
    """Yield the numbers of the rows whose values differ."""
    try:
        found = found.cast(expected.type)  # another writer may use other types, such as large strings
    except pa.ArrowException:
        pass
    else:
        if found.equals(expected):
            return
    for row in range(len(expected)):  # compared as Arrow values: Python may have no value for a damaged one
        if not found.slice(row, 1).equals(expected.slice(row, 1)):
            yield row


def _other_json(found: pa.Array, rows: list[dict[str, Any] | None]) -> Iterator[int]:
    """Yield the numbers of the rows whose JSON text has another value."""
    for number, row in enumerate(rows):
        try:
            same = row is None or same_json(found[number].as_py(), row[_JSON_COLUMN])
        except ValueError:  # damaged text
            same = False
        if not same:
            yield number
