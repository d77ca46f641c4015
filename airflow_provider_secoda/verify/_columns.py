"""See that the typed columns of a Parquet file say what its untouched records say.

Column ``raw`` alone is what the manifest lists. People query the others: whoever alters those leaves each record as it
was, so a file that is not the one that was written is read in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_provider_secoda._storage import parquet
from airflow_provider_secoda.verify._messages import quoted
from airflow_provider_secoda.verify._result import Finding

if TYPE_CHECKING:
    from collections.abc import Callable


class ColumnChecker:
    """Compare batches of a file with what the writer makes of their records."""

    def __init__(self, say: Callable[[Finding], None]) -> None:
        self._say = say
        self._rows = 0
        self._missing: set[str] = set()

    def check(self, batch: pa.RecordBatch, records: list[bytes]) -> None:
        """Say which columns of which rows are not what their record says."""
        try:
            expected = parquet.batch_of(records)
        except (ValueError, RecursionError, pa.ArrowException):
            expected = None  # a record that is none is told elsewhere
        for name in expected.schema.names if expected is not None else ():
            if name == "raw":
                continue
            if name in batch.schema.names:
                self._compare(name, batch.column(name), expected.column(name))
            elif name not in self._missing:
                self._missing.add(name)
                self._say(Finding("columns", f"column {name} is missing"))
        self._rows += len(records)

    def _compare(self, name: str, found: pa.Array, expected: pa.Array) -> None:
        try:
            found = found.cast(expected.type)  # another writer may have chosen, say, large strings
        except pa.ArrowException:
            pass
        else:
            if found.equals(expected):
                return
        for row in range(len(expected)):  # in Arrow's terms: a damaged file holds values that Python has none for
            if not found.slice(row, 1).equals(expected.slice(row, 1)):
                position = self._rows + row + 1
                text = f"record {position}: column {quoted(name)} does not say what the record in `raw` says"
                self._say(Finding("columns", text, position))
