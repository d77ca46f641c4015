"""Write records to a local file: NDJSON as sent, the same gzipped, or Parquet."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl.gz",
    ".ndjson.gz": "jsonl.gz",
    ".parquet": "parquet",
}


def format_of(path: str) -> str:
    """Tell the format from the suffix of a path or URL, in any case of letters.

    :return: ``jsonl``, ``jsonl.gz`` or ``parquet``.
    :raises ValueError: the suffix is none of those that are listed in the message.
    """
    for suffix, kind in _SUFFIXES.items():
        if path.lower().endswith(suffix):
            return kind
    raise ValueError(f"The suffix of {path!r} names no known format; use one of {', '.join(_SUFFIXES)}.")


def require_format(kind: str) -> None:
    """Check that this Python can write a format: better said before a long read than after it.

    :raises ModuleNotFoundError: Parquet without pyarrow; the message names the extra to install.
    """
    if kind == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ModuleNotFoundError(
            "Writing Parquet needs pyarrow: pip install 'airflow-provider-secoda[parquet]'.", name="pyarrow"
        )


def write_file(local_path: str | Path, kind: str, records: Iterable[bytes]) -> None:
    """Write records, one after the other, in the order given: the same records make the same bytes.

    :param local_path: a file on this machine; overwritten. Not atomic: see :func:`~.storage.land`.
    :param kind: what :func:`format_of` returned.
    :param records: each the bytes of one JSON object, as the API sent them.
    """
    require_format(kind)
    if kind == "parquet":
        from airflow_provider_secoda._storage.parquet import write_parquet  # noqa: PLC0415 - pyarrow is optional

        write_parquet(local_path, records)
        return
    with Path(local_path).open("wb") as file:
        if kind == "jsonl":
            _write_lines(file, records)
        else:
            # Neither the clock nor the file's name may stand in the header: two writes must give equal bytes.
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
                _write_lines(packed, records)


def _write_lines(file: IO[bytes] | gzip.GzipFile, records: Iterable[bytes]) -> None:
    for raw in records:
        file.write(_one_line(raw) + b"\n")


def stored(kind: str, raw: bytes) -> bytes:
    """Return the bytes of a record as they lie in a file of a format.

    :return: a line without its end, or what the Parquet column ``raw`` holds, in UTF-8
    """
    return raw if kind == "parquet" else _one_line(raw)


def _one_line(raw: bytes) -> bytes:
    """Join the lines of a pretty-printed record and leave every other one alone.

    JSON allows no line break inside a token, nor two tokens with only white space between them: what
    surrounds a line break can go without changing any token. (``msgspec.json.format`` refuses records that
    hold a lone surrogate.)
    """
    if b"\n" not in raw and b"\r" not in raw:
        return raw
    return b"".join(line.strip(b" \t") for line in raw.splitlines())
