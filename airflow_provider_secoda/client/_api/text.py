"""Text of a server, made safe to show."""

from __future__ import annotations


def printable_line(text: str, max_length: int = 200) -> str:
    """Return text as one short line of printable characters: line breaks and terminal escapes cannot forge a log."""
    line = " ".join(text[: 8 * max_length].split())
    return "".join(character for character in line if character.isprintable())[:max_length]
