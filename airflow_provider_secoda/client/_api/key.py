"""The API key, and what keeps it from being seen."""

from __future__ import annotations

import re

_PIECE = 8


class Key:
    """An API key that shows itself to nobody but :meth:`header`.

    Some servers repeat what they were sent, whole, cut or escaped: :meth:`scrub` takes the key, and every piece of
    it that is long enough to be of use, out of what they say.
    """

    __slots__ = ("_pieces", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        signs = [_spellings(sign) for sign in text]
        size = min(_PIECE, len(signs))
        pieces = ["".join(signs), *("".join(signs[at : at + size]) for at in range(len(signs) - size + 1))]
        self._pieces = re.compile(f"(?:{'|'.join(pieces)})+".encode())

    def __repr__(self) -> str:
        return "Key(***)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("an API key is not to be pickled")

    @classmethod
    def of(cls, text: str | None) -> Key | None:
        """Return a key, or None for a text that is none: empty, or with signs that a header cannot carry."""
        stripped = (text or "").strip()
        usable = stripped and stripped.isascii() and stripped.isprintable() and " " not in stripped
        return cls(stripped) if usable else None

    def header(self) -> str:
        """Return the value of the ``Authorization`` header."""
        return f"Bearer {self._text}"

    def scrub(self, body: bytes) -> bytes:
        """Return what a server said, without the key."""
        return self._pieces.sub(b"***", body)

    def scrub_text(self, text: str) -> str:
        """Return a text without the key."""
        return self.scrub(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def _spellings(sign: str) -> str:
    if sign.isalnum():
        return sign
    return rf"(?:\\?{re.escape(sign)}|(?i:\\u00{ord(sign):02x}|%{ord(sign):02x}))"
