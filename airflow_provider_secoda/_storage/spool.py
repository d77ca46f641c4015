"""Sort records by time and drop duplicates on disk, so that memory does not grow with their number."""

from __future__ import annotations

import heapq
import os
import tempfile
from array import array
from itertools import chain, groupby, pairwise
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from airflow_provider_secoda._storage.scratch_database import ScratchDatabase, decode_text, encode_text
from airflow_provider_secoda.client._api.timestamps import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

#: Timestamp in microseconds since the epoch in UTC, id, the record as JSON bytes.
Record: TypeAlias = "tuple[int, str, bytes]"

#: How much memory a block of records needs, about, and how much of that is not the JSON of a record.
BLOCK_BYTES, RECORD_BYTES = 1 << 18, 200
#: How many blocks are read at the same time.
OPEN_BLOCKS = 16
#: How many hashes are compared at once.
HASHES = 1 << 15

_KEY = itemgetter(0, 1)
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[tuple[int, bytes, bytes]]).decode


class ContradictionError(ValueError):
    """One log was returned with two different timestamps, so at least one of the two records is wrong."""


class _Block(NamedTuple):
    """Sorted records that are next to each other in the file.

    :ivar first: timestamp and id of the first record; ``last`` of the last one
    :ivar offset: where they begin in the file, and ``size`` how many bytes they have there
    :ivar hashes: of the ids
    """

    first: tuple[int, str]
    last: tuple[int, str]
    offset: int
    size: int
    hashes: array[int]


class Spool:
    """Collect records, then return them in ascending order of (timestamp, id).

    Records come in the order of the listing, or nearly so: they are written to a file in sorted blocks, and blocks that
    overlap are merged when they are read. The temporary directory needs room for all records and a tenth more. Ids are
    compared by code point. Use it as a context manager, in one thread. A full disk raises :class:`OSError`.
    """

    def __init__(self) -> None:
        # It has no name: no other process can read it, and it vanishes with the process, even with a killed one.
        self._file = tempfile.TemporaryFile(prefix="secoda-")  # noqa: SIM115 - closed by `__exit__`
        self._blocks: list[_Block] = []
        #: How many blocks were checked, and how many of their records are not returned.
        self._checked = self._dropped = 0
        self._ids: ScratchDatabase | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        if self._ids is not None:
            self._ids.database.close()

    @property
    def count(self) -> int:
        """The number of records, each id counted once; raises what :meth:`check` raises."""
        return sum(len(block.hashes) for block in self._blocks) - self.check()

    def add(self, records: Iterable[Record]) -> None:
        """Add records in any order; if their source raises an error, those before it are kept."""
        self._write(records, self._blocks)

    def check(self) -> int:
        """Check that each id has one timestamp.

        Of the records with the same id the first is kept, even if the others differ.

        :return: how many were dropped because their id had been added before
        :raises ContradictionError: an id was added with two timestamps
        """
        if self._checked == len(self._blocks):
            return self._dropped
        repeated, first, dropped = self._repeated_hashes(), dict[str, int](), 0
        for at, log_id, _ in chain.from_iterable(map(self._read, self._blocks)) if repeated else ():
            if hash(log_id) in repeated:
                dropped += log_id in first
                if first.setdefault(log_id, at) != at:
                    raise ContradictionError(
                        f"Log {log_id!r} was returned with two different timestamps, {format_instant(first[log_id])} "
                        f"and {format_instant(at)}: ids are not unique, or the log was edited during the read. Run "
                        "the task again"
                    )
        self._checked, self._dropped = len(self._blocks), dropped
        return dropped

    def __iter__(self) -> Iterator[Record]:
        """Yield (timestamp, id, raw) in ascending order; can be repeated, but not while :meth:`add` runs.

        :raises ContradictionError: what :meth:`check` raises
        """
        self.check()
        groups: list[list[_Block]] = []
        last = None
        for block in sorted(self._blocks):
            if last is not None and block.first <= last:
                groups[-1].append(block)
            else:
                groups.append([block])
            last = block.last if last is None else max(last, block.last)
        for group in groups:
            # In the order of arrival: of two records with one id, the first is kept.
            group.sort(key=attrgetter("offset"))
            records = self._merge([[block] for block in group])
            yield from records if not self._dropped else (next(same) for _, same in groupby(records, _KEY))

    def __contains__(self, log_id: str) -> bool:
        """Return whether there is a record with this id; call it after the last :meth:`add` only."""
        if self._ids is None:
            self._ids = ScratchDatabase("CREATE TABLE known (id BLOB PRIMARY KEY) WITHOUT ROWID;")
            keys = ((encode_text(known),) for _, known, _ in chain.from_iterable(map(self._read, self._blocks)))
            self._ids.database.executemany("INSERT OR IGNORE INTO known VALUES (?)", keys)
        found = self._ids.database.execute("SELECT 1 FROM known WHERE id = ?", (encode_text(log_id),))
        return found.fetchone() is not None

    def time_range(self) -> tuple[int | None, int | None]:
        """Return the earliest and the latest timestamp in microseconds since the epoch, UTC; None without records."""
        first = min((block.first[0] for block in self._blocks), default=None)
        return first, max((block.last[0] for block in self._blocks), default=None)

    def _repeated_hashes(self) -> set[int]:
        """Return the hashes of ids that were added more than once; two ids may have the same hash."""
        repeated = set[int]()
        parts = sum(len(block.hashes) for block in self._blocks) // HASHES + 1
        for part in range(parts):
            some = [value for block in self._blocks for value in block.hashes if value % parts == part]
            if len(set(some)) < len(some):
                some.sort()
                repeated |= {value for value, following in pairwise(some) if value == following}
        return repeated

    def _write(self, records: Iterable[Record], blocks: list[_Block]) -> None:
        """Write records to the end of the file, in blocks that are added to a list."""
        waiting: list[Record] = []
        size = 0
        try:
            for record in records:
                waiting.append(record)
                size += len(record[2]) + RECORD_BYTES
                if size >= BLOCK_BYTES:
                    block, waiting, size = waiting, [], 0
                    blocks.append(self._write_block(block))
        finally:
            if waiting:
                blocks.append(self._write_block(waiting))

    def _write_block(self, records: list[Record]) -> _Block:
        records.sort(key=_KEY)
        content = _pack([(at, encode_text(log_id), raw) for at, log_id, raw in records])
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(content)
        self._file.flush()
        hashes = array("q", [hash(log_id) for _, log_id, _ in records])
        return _Block(_KEY(records[0]), _KEY(records[-1]), offset, len(content), hashes)

    def _read(self, block: _Block) -> list[Record]:
        self._file.seek(block.offset)
        return [(at, decode_text(log_id), raw) for at, log_id, raw in _unpack(self._file.read(block.size))]

    def _merge(self, runs: list[list[_Block]]) -> Iterator[Record]:
        """Yield the records of runs in order; each run is blocks in order that do not overlap."""
        while len(runs) > OPEN_BLOCKS:
            merged: list[list[_Block]] = []
            for begin in range(0, len(runs), OPEN_BLOCKS):
                merged.append([])
                self._write(self._merge(runs[begin : begin + OPEN_BLOCKS]), merged[-1])
            runs = merged
        return heapq.merge(*(chain.from_iterable(map(self._read, run)) for run in runs), key=_KEY)
