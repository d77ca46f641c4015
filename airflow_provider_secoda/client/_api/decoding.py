"""An answer's JSON, decoded: what is no JSON, foreign, or says a thing twice is told with the path to it.

Records come out as the bytes that the API sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda.client._api.flow import one_line
from airflow_provider_secoda.client._api.json_checks import envelope, repeated, without_half_pairs
from airflow_provider_secoda.client.errors import SecodaError, SecodaResponseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_secoda.client._api.flow import Response

#: What decoders raise.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_ENVELOPE = ("results", "version_histories", "non_versioned_logs", "total_pages", "count", "meta")
_AT = re.compile(r" - at `\$([^`]*)`$")


def decode(decoder: Any, response: Response) -> tuple[Any, bytes]:
    """Decode a body; return also the bytes that were decoded, as long as the body and nearly always the same."""
    body = response.body
    try:
        if not body.isascii():
            body.decode()  # a decoder that passes records on does not look at their text
        return decoder.decode(body), body
    except msgspec.DecodeError:
        body = without_half_pairs(body)
    except (UnicodeDecodeError, RecursionError) as exc:
        raise decode_error(exc, "$", response) from None
    try:
        return decoder.decode(body), body
    except UNREADABLE as exc:
        raise decode_error(exc, "$", response) from None


def originals(raws: list[msgspec.Raw], body: bytes, decoded: bytes) -> Iterator[bytes]:
    """Yield each record as it stands in the body that was sent, not in the one that was decoded."""
    position = 0
    for raw in raws:
        record = bytes(raw)
        if decoded is not body:
            position = decoded.index(record, position)
            record = body[position : position + len(record)]
            position += len(record)
        yield record


def check_envelope(response: Response, *lists: list[bytes]) -> None:
    """Refuse an answer that says twice what stands beside its records, or has two lists of them."""
    try:
        name = repeated(envelope(response.body, lists), _ENVELOPE)
    except RecursionError as exc:
        raise decode_error(exc, "$", response) from None
    if name:
        path = f"$.{name}"
        raise SecodaResponseError(f"the answer says twice what is at {path}", path=path, status=response.status)


def decode_error(exc: Exception, path: str, response: Response) -> SecodaError:
    """Return in our words why a decoder refused what stands at a path, or below it."""
    if isinstance(exc, RecursionError):
        return response.limits.passed("nesting", path)
    kind = one_line(response.headers.get("content-type", "").split(";")[0], 40).strip().lower()
    foreign = f" (it is {kind})" if kind and not kind.endswith("json") else ""
    path, reason = locate(exc, path)
    return SecodaResponseError(
        f"the answer is not the documented JSON{foreign}: {reason} at {path}",
        path=path,
        status=response.status,
    )


def locate(exc: Exception, path: str) -> tuple[str, str]:
    """Return the JSON path of a decode_error, which the decoder tells in its text only, and what is wrong there."""
    found = _AT.search(str(exc))
    return (path + found[1], str(exc)[: found.start()]) if found else (path, str(exc))
