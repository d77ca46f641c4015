"""Collect the body of one response piece by piece: decompressed here, and never beyond a limit.

The HTTP libraries decompress too, but in one step: a piece of 64 KiB can become 64 MiB before anyone can check its
size. So the encodings that were requested in ``Accept-Encoding``, and no others, are decoded here in bounded steps.
"""

from __future__ import annotations

import time
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client.errors import SecodaConnectionError, SecodaError, SecodaResponseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_secoda.client._api.endpoint import Key, Limits

#: The encodings that :class:`Body` decodes.
ACCEPT_ENCODING = "gzip, deflate"
#: The most bytes that one step of decompression returns.
_STEP = 1 << 18
#: How much of the body of an error is kept: only a sentence of it is ever shown.
_ERROR_BYTES = 1 << 16
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class Body:
    """Collects one body.

    :param where: what was requested, for errors
    :param encoding: the response's ``Content-Encoding``, empty for none
    :raises SecodaResponseError: for an encoding that was not requested
    """

    def __init__(self, where: str, status: int, encoding: str, limits: Limits) -> None:
        self._where = where
        self._status = status
        self._limits = limits
        self._is_error = status != 200  # noqa: PLR2004
        most = limits.decompressed_bytes
        self._most = min(most, _ERROR_BYTES) if self._is_error else most
        self._decompressor = _decompressor(encoding, "" if self._is_error else where)
        self._received = 0
        self._kept = BytesIO()

    def feed(self, piece: bytes) -> bool:
        """Add a piece as it was received; return whether more is wanted.

        :raises SecodaLimitError: if a limit is exceeded; the body of an error is truncated instead
        :raises SecodaConnectionError: if it cannot be decompressed
        """
        try:
            self._add(piece)
        except SecodaError:
            if not self._is_error:
                raise
            self._decompressor = None
            return False
        return True

    def _add(self, piece: bytes) -> None:
        self._received += len(piece)
        if self._received > self._limits.body_bytes:
            raise self._limits.exceeded("body_bytes", self._where)
        try:
            for part in self._decompressor.parts(piece) if self._decompressor else (piece,):
                self._keep(part)
        except zlib.error as exc:
            raise SecodaConnectionError(f"{self._where}: the compressed response cannot be decoded ({exc})") from None

    def _keep(self, part: bytes) -> None:
        if self._kept.tell():
            self._kept.write(part)
        else:
            self._kept = BytesIO(part)  # which does not copy it
            self._kept.seek(len(part))
        if part and self._kept.tell() > self._most:
            raise self._limits.exceeded("decompressed_bytes", self._where)

    def response(self, headers: Iterable[tuple[str, str]], key: Key) -> Response:
        """Return the complete response, received now, without the key where a server repeated it.

        Records are evidence, even if one contains the key; anything else that a server sends is not.

        :raises SecodaConnectionError: if the compressed body is truncated
        """
        if self._decompressor and self._received and not self._decompressor.ended and not self._is_error:
            raise SecodaConnectionError(f"{self._where}: the connection broke (the compressed response is truncated)")
        content = self._kept.getvalue()
        return Response(
            self._status,
            {name.lower(): key.scrub_text(value) for name, value in headers},
            key.scrub(content) if self._is_error else content,
            time.time(),
            self._limits,
        )


class _Decompressor:
    """Decodes gzip, also of several members, and deflate, also without its header, as many servers send it."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._first = b""
        self._stream: zlib._Decompress | None = None
        self.ended = False

    def parts(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece decodes to, in parts of bounded size."""
        if self._stream is None:
            piece = self._first = self._first + piece
            if len(piece) < 2:  # noqa: PLR2004 - the size of a header
                return
            has_header = piece[0] & 15 == zlib.DEFLATED and int.from_bytes(piece[:2], "big") % 31 == 0
            self._stream = zlib.decompressobj(_GZIP if self._kind == "gzip" else _ZLIB if has_header else _RAW)
        part = b""
        while piece or len(part) == _STEP:
            if self._stream.eof:
                if self._kind != "gzip" or not piece.startswith(b"\x1f"):
                    return  # data after the end has no meaning
                self._stream = zlib.decompressobj(_GZIP)
            part = self._stream.decompress(piece, _STEP)
            self.ended = self._stream.eof
            yield part
            piece = self._stream.unused_data if self.ended else self._stream.unconsumed_tail


def _decompressor(encoding: str, where: str) -> _Decompressor | None:
    """Return the decoder for an encoding, None for no encoding.

    :param where: empty if the body is not needed: then an encoding that was not requested is ignored
    """
    names = [name for name in (part.strip().lower() for part in encoding.split(",")) if name not in ("", "identity")]
    kind = names[0].removeprefix("x-") if len(names) == 1 else "" if names else None
    if kind in ("gzip", "deflate"):
        return _Decompressor(kind)
    if kind is not None and where:
        raise SecodaResponseError(f"{where}: the response has the encoding {encoding!r:.60}, which was not requested")
    return None
