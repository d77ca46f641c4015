"""Text from files and from the API, as it may be shown to a person at a terminal."""

from __future__ import annotations

_LONGEST = 120


def shown(text: str, longest: int = _LONGEST) -> str:
    """Return text on one line, with everything escaped that a terminal would obey or hide.

    Control signs, halves of surrogate pairs, signs that change the direction of writing and those without a width
    become escapes; so does the backslash, so that no two texts look alike.

    :param longest: what is longer is cut, and says how long it was
    """
    cut = text[:longest]
    safe = "".join(sign if sign.isprintable() and sign != "\\" else _escape(sign) for sign in cut)
    return safe if len(text) <= longest else f"{safe}... ({len(text):,} characters)"


def quoted(text: str) -> str:
    """Return text as :func:`shown` does, between quotation marks."""
    return f'"{shown(text)}"'


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a number and its noun: ``1 window``, ``1,200 windows``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
