"""Look at the records of one file: what they say of themselves, without any manifest, and how that hangs together."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from airflow_provider_secoda.client._api.json_checks import without_half_pairs
from airflow_provider_secoda.client._api.timestamps import format_instant, parse_instant
from airflow_provider_secoda.verify._messages import quoted, shown
from airflow_provider_secoda.verify._result import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_provider_secoda.verify._manifest_header import ManifestHeader


class _Head(msgspec.Struct):
    id: str
    logged_at: Any = None
    created_at: Any = None


_decode = msgspec.json.Decoder(_Head).decode


class Record(NamedTuple):
    """One record of a file.

    :ivar position: the first is 1
    :ivar id: None where the record is no JSON object with an id
    :ivar at: the timestamp by which the file is ordered, microseconds; None where it is not known or not usable
    :ivar sha256: of the record as it lies in the file
    """

    position: int
    id: str | None
    at: int | None
    sha256: str

    @property
    def key(self) -> bytes:
        """What stands for the id in tables."""
        return key_of(self.id or "")


def key_of(name: str) -> bytes:
    """Return 16 bytes that stand for an id of any length."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def read_head(raw: bytes) -> _Head:
    """Read what decisions need from a record, as the client does when it comes from the API.

    :raises ValueError: it is no JSON object with an id
    """
    try:
        if not raw.isascii():
            raw.decode()  # a decoder that passes fields over does not look at their text
        return _decode(without_half_pairs(raw))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def examine(raws: Iterable[bytes], stated: ManifestHeader | None, say: Callable[[Finding], None]) -> Iterator[Record]:
    """Yield a file's records, and say what is wrong with each, and with its place among the others.

    That each id stands there once is for :class:`~.ids.Ids` to see.

    :param stated: what the manifest says of the window; None without one
    """
    last: tuple[int, str] | None = None
    for position, raw in enumerate(raws, 1):
        sha256 = hashlib.sha256(raw).hexdigest()
        try:
            head = read_head(raw)
        except (ValueError, msgspec.MsgspecError) as exc:
            reason = shown(str(exc))
            say(Finding("not_json", f"record {position} is no JSON object with an id: {reason}", position))
            yield Record(position, None, None, sha256)
            continue
        at = None if stated is None else _at(head, stated, position, say)
        if at is not None:
            place = (at, head.id)
            if last is not None and place < last:
                text = f"record {position}, {quoted(head.id)}, stands behind one that is later by (timestamp, id)"
                say(Finding("order", text, position, head.id))
            last = place
        yield Record(position, head.id, at, sha256)


def _at(head: _Head, stated: ManifestHeader, position: int, say: Callable[[Finding], None]) -> int | None:
    field = stated.timestamp_field
    who = f"record {position}, {quoted(head.id)},"
    try:
        at = parse_instant(getattr(head, field))
    except ValueError as exc:
        say(Finding("no_timestamp", f"{who} has no usable {field}: {shown(str(exc))}", position, head.id))
        return None
    if not stated.window.start <= at < stated.window.end:
        moment = format_instant(at)
        say(Finding("outside", f"{who} is of {moment}, outside the window", position, head.id, moment))
    return at
