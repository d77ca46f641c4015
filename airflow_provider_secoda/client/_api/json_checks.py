"""What a JSON decoder accepts and evidence must not: repeated names, deep nesting, half surrogate pairs.

RFC 8259 does not say which of two equal names counts: some readers take the first, some the last. They would read two
different times from a log that gives two, so such a log is refused.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

# Consumed and kept: an escaped backslash, a complete pair. Replaced: half a pair.
_SURROGATES = re.compile(
    rb"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_FIRST_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*"([^"\\]*)"')
#: The end of the name of a timestamp. Text may end like this too, but no colon follows it.
_TIME = re.compile(rb'_at"\s*:')
#: A letter or an underscore as an escape, which makes a name look like another one.
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
#: Python does not parse integers with more digits from text.
_MAX_DIGITS = 4_000
#: Down a level, up a level.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


class NumberText(str):
    """A JSON number that Python has no number for: the text that was sent."""

    __slots__ = ()


def load(record: bytes) -> Any:
    """Return a record as Python objects.

    Integers of thousands of digits, which Python does not parse, and numbers beyond the range of floats are returned as
    :class:`NumberText`.
    """
    return json.loads(record, parse_int=_parse_integer, parse_float=_parse_float)


def _parse_integer(digits: str) -> int | NumberText:
    return int(digits) if len(digits) < _MAX_DIGITS else NumberText(digits)


def _parse_float(text: str) -> float | NumberText:
    number = float(text)
    return number if math.isfinite(number) else NumberText(text)


def replace_half_pairs(body: bytes) -> bytes:
    """Return JSON text of the same length in which half surrogate pairs are replaced.

    Half a pair is the result of truncating text in the middle of an emoji. JSON allows it, the decoder does not.
    """
    if b"\\" not in body or b"\\u" not in body:
        return body
    mended = bytearray(body)  # in place: a million of them would take many times the memory
    for match in _SURROGATES.finditer(body):
        if match[1] is None:
            mended[match.start() : match.end()] = rb"\ufffd"
    return bytes(mended)


def nested_deeper_than(text: bytes, levels: int) -> bool:
    """Return whether JSON text is nested deeper than this many levels, without recursion."""
    if text.count(b"{") + text.count(b"[") <= levels:
        return False
    unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    steps = b"".join(unescaped.split(b'"')[::2]).translate(_STEPS, _ALL_BUT_BRACKETS)
    return max(accumulate(array("b", steps)), default=0) > levels


def ambiguous_name(text: bytes, names: Collection[str]) -> str | None:
    """Return the first of these names that a JSON object has twice with different values; None if there is none."""
    seen: dict[str, Any] = {}
    for name, value in _members(text):
        if name in names and seen.setdefault(name, value) != value:
            return name
    return None


def ambiguous_name_of_log(text: bytes, id_: str, times: int) -> str | None:
    """Return which of the names that decisions need a log has twice with different values.

    Nearly always it is enough to count substrings, and the log is not parsed.

    :param id_: the last id, as it was decoded
    :param times: how many of ``logged_at``, ``created_at`` and ``updated_at`` were decoded
    """
    first = _FIRST_ID.match(text)
    plain = first is not None and first[1] == id_.encode()
    plain = plain and len(_TIME.findall(text)) <= times
    if plain and not (b"\\" in text and _ESCAPED_LETTER.search(text)):
        return None
    return ambiguous_name(text, ("id", "logged_at", "created_at"))


def are_shallow(records: Iterable[bytes], levels: int) -> bool:
    """Return whether all records have too few brackets to be nested deeper than this many levels."""
    # `replace` finds a byte four times as fast as `count`.
    return all(2 * len(raw) - len(raw.replace(b"{", b"")) - len(raw.replace(b"[", b"")) <= levels for raw in records)


def is_any_log_ambiguous(body: bytes, records: Sequence[bytes], ids: Sequence[str], times: int) -> bool:
    """Return whether :func:`ambiguous_name_of_log` finds a name in one of the logs of a page.

    :param body: the body that contains the records
    :param times: how many of ``logged_at``, ``created_at`` and ``updated_at`` were decoded of each
    """
    first = _FIRST_ID.match(records[0])
    begin = b"" if first is None else records[0][: first.start(1)]
    plain = len(_TIME.findall(body)) <= times * len(records)
    if plain and begin and not (b"\\" in body and _ESCAPED_LETTER.search(body)):
        starts = (b'%b%b"' % (begin, id_.encode()) for id_ in ids)
        if all(map(bytes.startswith, records, starts)):
            return False
    return any(ambiguous_name_of_log(raw, id_, times) for raw, id_ in zip(records, ids, strict=True))


def repeated_name(body: bytes, lists: Iterable[Sequence[bytes]], names: Collection[str]) -> str | None:
    """Return the first of these names that an answer has twice; None if there is none.

    :param lists: the records of each list, as they are in the body: they need not be searched
    """
    try:
        members = _members(_without_records(body, lists))
    except json.JSONDecodeError:  # the text of a record is elsewhere in the answer, too
        members = _members(body)
    found = [name for name, _ in members if name in names]
    return next((name for name in found if found.count(name) > 1), None)


def _members(text: bytes) -> list[tuple[str, Any]]:
    """Return all members of a JSON object that a decoder has accepted; nested objects are equal to no other."""
    members: list[tuple[str, Any]] = []

    def keep(found: list[tuple[str, Any]]) -> object:
        members[:] = found  # the outermost object comes last
        return object()

    # Numbers as text: Python does not parse integers of thousands of digits.
    json.loads(text, object_pairs_hook=keep, parse_int=str, parse_float=str)
    return members


def _without_records(body: bytes, lists: Iterable[Sequence[bytes]]) -> bytes:
    """Return an answer without the records of its lists, where they are found; else with them."""
    for records in lists:
        begin = body.find(records[0]) if records else -1
        texts = (separator.join(records) for separator in (b",", b", "))
        joined = next((text for text in texts if body.startswith(text, begin)), b"")
        body = body[:begin] + body[begin + len(joined) :] if joined else body
    return body
