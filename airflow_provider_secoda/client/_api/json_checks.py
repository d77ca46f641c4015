"""What a JSON decoder lets pass, and evidence must not: names given twice, depth, and half a character.

RFC 8259 leaves it open which of two equal names counts: some readers take the first, some the last. Of a log that says
two different times each would tell another story, so neither is believed.
"""

from __future__ import annotations

import json
import re
from array import array
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

# Consumed and kept: an escaped backslash, a whole pair. Replaced: half a pair.
_SURROGATES = re.compile(
    rb"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_FIRST_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*"([^"\\]*)"')
#: A letter or an underscore, written so that a name looks like another one.
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
#: Python reads no longer integers from text.
_MAX_DIGITS = 4_000
#: Down a level, up a level.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


def without_half_pairs(body: bytes) -> bytes:
    """Return JSON text without half surrogate pairs, as long as it was.

    Half a pair is what text cut in the middle of an emoji looks like. JSON allows it, the decoder does not.
    """
    if b"\\" not in body or b"\\u" not in body:
        return body
    mended = bytearray(body)  # in place: a million of them would take many times the memory
    for match in _SURROGATES.finditer(body):
        if match[1] is None:
            mended[match.start() : match.end()] = rb"\ufffd"
    return bytes(mended)


def load(record: bytes) -> Any:
    """Return a record as Python's values; integers that Python refuses to read, of thousands of digits, as text."""
    return json.loads(record, parse_int=lambda digits: int(digits) if len(digits) < _MAX_DIGITS else digits)


def nested_deeper(text: bytes, most: int) -> bool:
    """Return whether JSON text is nested deeper than so many levels; nothing here calls itself to find out."""
    if text.count(b"{") + text.count(b"[") <= most:
        return False
    unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    steps = b"".join(unescaped.split(b'"')[::2]).translate(_STEPS, _ALL_BUT_BRACKETS)
    return max(accumulate(array("b", steps)), default=0) > most


def ambiguous(text: bytes, names: Collection[str]) -> str | None:
    """Return the first of these names that a JSON object gives twice, with different values; None for none."""
    seen: dict[str, Any] = {}
    for name, value in _pairs(text):
        if name in names and seen.setdefault(name, value) != value:
            return name
    return None


def repeated(text: bytes, names: Collection[str]) -> str | None:
    """Return the first of these names that a JSON object gives twice; None for none."""
    found = [name for name, _ in _pairs(text) if name in names]
    return next((name for name in found if found.count(name) > 1), None)


def _pairs(text: bytes) -> list[tuple[str, Any]]:
    """Return all that a JSON object says, which a decoder has accepted; objects within are equal to no other."""
    pairs: list[tuple[str, Any]] = []

    def keep(found: list[tuple[str, Any]]) -> object:
        pairs[:] = found  # the outermost object comes last
        return object()

    # Numbers as text: Python reads no integers of thousands of digits.
    json.loads(text, object_pairs_hook=keep, parse_int=str, parse_float=str)
    return pairs


def ambiguous_log(text: bytes, id_: str, times: int) -> str | None:
    """Return which of the names that decide about a log it gives twice; nearly always without looking twice.

    :param id_: the last one, as it was decoded
    :param times: how many of ``logged_at``, ``created_at`` and ``updated_at`` were decoded
    """
    first = _FIRST_ID.match(text)
    plain = first is not None and first[1] == id_.encode() and text.count(b'ed_at"') <= times
    if plain and not (b"\\" in text and _ESCAPED_LETTER.search(text)):
        return None
    return ambiguous(text, ("id", "logged_at", "created_at"))


def envelope(body: bytes, lists: Iterable[Sequence[bytes]]) -> bytes:
    """Return an answer without the records of its lists, where they can be told for sure; else with them.

    :param lists: the records of each list, as they stand in the body
    """
    for records in lists:
        if records:
            begin, end = body.find(records[0]), body.rfind(records[-1]) + len(records[-1])
            if body[begin:end] in (b",".join(records), b", ".join(records)):
                body = body[:begin] + body[end:]
    return body
