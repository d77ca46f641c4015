"""Write records to a local file: NDJSON as sent, the same gzipped, or Parquet."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl.gz",
    ".ndjson.gz": "jsonl.gz",
    ".parquet": "parquet",
}

_PIECE_BYTES = 1 << 17
#: As numbers, which are found in bytes in a third of the time.
_LINE_FEED, _CARRIAGE_RETURN = b"\n\r"


def format_of(path: str) -> str:
    """Return the format of a file by the suffix of its path or URL; upper and lower case are equal.

    :raises ValueError: the suffix is unknown
    """
    return _SUFFIXES[split_suffix(path)[1].lower()]


def split_suffix(path: str) -> tuple[str, str]:
    """Return a path or URL in two parts, of which the second is the suffix of a format: ``.jsonl.gz``.

    :raises ValueError: the suffix is unknown
    """
    for suffix in _SUFFIXES:
        if path.lower().endswith(suffix):
            return path[: -len(suffix)], path[-len(suffix) :]
    raise ValueError(f"{path!r} does not end in the suffix of a known format; use one of {', '.join(_SUFFIXES)}.")


def check_suffix(end: str) -> None:
    """Check that a path that ends like this can have the suffix of a format.

    :param end: the path, or what is known of its end
    :raises ValueError: the suffix is unknown
    """
    known = end.lower()
    if not any(suffix.endswith(known) for suffix in _SUFFIXES):
        format_of(end)


def require_format(file_format: str) -> None:
    """Check that this Python can write a format; call it before a long read.

    :raises ModuleNotFoundError: Parquet without pyarrow
    """
    if file_format == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ModuleNotFoundError(
            "Writing Parquet needs pyarrow: install it, or this provider with its extra `parquet`.", name="pyarrow"
        )


def write_local_file(
    local_path: str | Path, file_format: str, records: Iterable[bytes]
) -> dict[str, dict[str, int]] | None:
    """Write records to a file in the order given; the same records give the same bytes.

    :param local_path: a file on this machine; replaced. Not atomic: see :func:`~.write.write_atomically`.
    :param records: each the bytes of one JSON object, as the API sent them
    :return: how many values of typed columns are not as they were sent, by field and reason, see
        :func:`~.parquet.write_parquet`; None if the format has no typed columns
    """
    require_format(file_format)
    if file_format == "parquet":
        from airflow_provider_secoda._storage.parquet import write_parquet  # noqa: PLC0415 - pyarrow is optional

        return write_parquet(local_path, records)
    with Path(local_path).open("wb") as file:
        if file_format == "jsonl":
            file.writelines(_pieces(records))
        else:
            # The header contains neither a time nor a file name: two writes must give equal bytes. Of level 6, level 5
            # takes 0.8 of the processor time for 1.07 of the bytes.
            with gzip.GzipFile("", "wb", compresslevel=5, fileobj=file, mtime=0) as packed:
                for piece in _pieces(records):
                    packed.write(piece)
    return None


def _pieces(records: Iterable[bytes]) -> Iterator[bytes]:
    """Yield records as lines, many at once."""
    lines: list[bytes] = []
    size = 0
    for raw in records:
        lines.append(stored("jsonl", raw))
        size += len(raw)
        if size >= _PIECE_BYTES:
            yield b"\n".join([*lines, b""])
            lines, size = [], 0
    yield b"\n".join([*lines, b""]) if lines else b""


def stored(file_format: str, raw: bytes) -> bytes:
    """Return the bytes of a record in a file: a line without its line break, or the value of the column ``raw``.

    A record that is pretty-printed becomes one line; all others stay as they are. JSON allows no line break inside a
    token, and no two tokens with only white space between them: the white space around a line break can be removed
    without changing a token. (``msgspec.json.format`` refuses records that contain a lone surrogate.)
    """
    if file_format == "parquet" or (_LINE_FEED not in raw and _CARRIAGE_RETURN not in raw):
        return raw
    return b"".join(line.strip(b" \t") for line in raw.splitlines())
