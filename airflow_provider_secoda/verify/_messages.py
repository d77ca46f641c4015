"""Format text from files and from the API for a terminal."""

from __future__ import annotations


def escape(text: str, max_characters: int = 120) -> str:
    """Return text on one line, without anything that a terminal would obey or hide.

    Control characters, lone surrogates, characters that change the direction of writing and those without a width
    become escapes; so does the backslash, so that two different strings never have the same result.

    :param max_characters: longer text is truncated, and its length is added
    """
    safe = "".join(
        character if character.isprintable() and character != "\\" else character.encode("unicode_escape").decode()
        for character in text[:max_characters]
    )
    return safe if len(text) <= max_characters else f"{safe}... ({len(text):,} characters)"


def quote(text: str) -> str:
    """Return text as :func:`escape` does, in quotation marks."""
    return f'"{escape(text)}"'


def record_name(position: int, record_id: str | None) -> str:
    """Return how a finding calls a record: by its position and, if it has one, its id."""
    return f"record {position}" if record_id is None else f"record {position} ({quote(record_id)})"


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a number and its noun: ``1 window``, ``1,200 windows``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
