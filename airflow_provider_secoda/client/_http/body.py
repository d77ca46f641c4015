"""The body of one answer, piece by piece off the wire: decompressed here, and never beyond a limit.

The libraries that send decompress, too, but in one go: a piece of 64 KiB can become 64 MiB before anybody is asked.
What is asked for in ``Accept-Encoding`` is therefore undone here, a bounded piece at a time; nothing else is.
"""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import TYPE_CHECKING

from airflow_provider_secoda.client.errors import SecodaConnectionError, SecodaError, SecodaResponseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_secoda.client._api.limits import Limits

#: What :class:`Body` undoes.
ACCEPT_ENCODING = "gzip, deflate"
#: At most so many bytes come out of one step of decompression.
_STEP = 1 << 18
#: Of the body of an error only a sentence is ever told.
_ERROR_BYTES = 1 << 16
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class Body:
    """Collects one body.

    :param where: what was asked, for errors
    :param encoding: the answer's ``Content-Encoding``, empty for none
    :raises SecodaResponseError: for an encoding that was not asked for
    """

    def __init__(self, where: str, status: int, encoding: str, limits: Limits) -> None:
        self._where = where
        self._limits = limits
        self._error = status != 200  # noqa: PLR2004
        self._most = min(limits.decompressed_bytes, _ERROR_BYTES) if self._error else limits.decompressed_bytes
        self._unpacker = _unpacker(encoding, "" if self._error else where)
        self._wire = 0
        self._kept = BytesIO()

    def feed(self, piece: bytes) -> bool:
        """Take a piece off the wire; return whether more is wanted.

        :raises SecodaLimitError: when a limit is passed; the body of an error is cut instead
        :raises SecodaConnectionError: when it cannot be decompressed
        """
        try:
            self._take(piece)
        except SecodaError:
            if not self._error:
                raise
            self._unpacker = None
            return False
        return True

    def _take(self, piece: bytes) -> None:
        self._wire += len(piece)
        if self._wire > self._limits.body_bytes:
            raise self._limits.passed("body_bytes", self._where)
        try:
            for part in self._unpacker.parts(piece) if self._unpacker else (piece,):
                if self._kept.write(part) and self._kept.tell() > self._most:
                    raise self._limits.passed("decompressed_bytes", self._where)
        except zlib.error as exc:
            raise SecodaConnectionError(f"{self._where}: what was compressed cannot be read ({exc})") from None

    def whole(self) -> bytes:
        """Return the body.

        :raises SecodaConnectionError: when what was compressed ends in the middle
        """
        if self._unpacker and self._wire and not self._unpacker.ended and not self._error:
            raise SecodaConnectionError(f"{self._where}: the connection broke (what was compressed has no end)")
        return self._kept.getvalue()


class _Unpacker:
    """Undoes gzip, also of several members, and deflate, also without its header, as many servers send it."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._first = b""
        self._stream: zlib._Decompress | None = None
        self.ended = False

    def parts(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece becomes, a bounded part at a time."""
        if self._stream is None:
            piece = self._first = self._first + piece
            if len(piece) < 2:  # noqa: PLR2004 - what a header is told by
                return
            has_header = piece[0] & 15 == zlib.DEFLATED and int.from_bytes(piece[:2], "big") % 31 == 0
            self._stream = zlib.decompressobj(_GZIP if self._kind == "gzip" else _ZLIB if has_header else _RAW)
        part = b""
        while piece or len(part) == _STEP:
            if self._stream.eof:
                if self._kind != "gzip" or not piece.startswith(b"\x1f"):
                    return  # what follows the end means nothing
                self._stream = zlib.decompressobj(_GZIP)
            part = self._stream.decompress(piece, _STEP)
            self.ended = self._stream.eof
            yield part
            piece = self._stream.unused_data if self.ended else self._stream.unconsumed_tail


def _unpacker(encoding: str, where: str) -> _Unpacker | None:
    """Return what undoes an encoding; for one that was not asked for, raise unless nobody wants the body."""
    names = [name for name in (part.strip().lower() for part in encoding.split(",")) if name not in ("", "identity")]
    kind = names[0].removeprefix("x-") if len(names) == 1 else "" if names else None
    if kind in ("gzip", "deflate"):
        return _Unpacker(kind)
    if kind is not None and where:
        raise SecodaResponseError(f"{where}: the answer is encoded as {encoding!r:.60}, which was not asked for")
    return None
