"""Where requests are sent to, and how: the endpoint, its API key, and what a response may cost."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaLimitError, SecodaTimeoutError

USER_AGENT = "airflow-provider-secoda"
#: The shortest part of a key that is removed from a server's text, in characters.
_PART = 8


class Key:
    """An API key, which only :meth:`header` returns.

    Some servers repeat what they were sent, complete, truncated or escaped: :meth:`scrub` removes the key, and every
    part of it that is long enough to be of use, from their text.
    """

    __slots__ = ("_parts", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        characters = [_spellings(character) for character in text]
        size = min(_PART, len(characters))
        starts = range(len(characters) - size + 1)
        parts = ["".join(characters), *("".join(characters[start : start + size]) for start in starts)]
        self._parts = re.compile(f"(?:{'|'.join(parts)})+".encode())

    def __repr__(self) -> str:
        return "Key(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("an API key must not be pickled")

    @classmethod
    def of(cls, text: str | None) -> Key | None:
        """Return a key; None if it is empty or contains characters that a header cannot carry."""
        stripped = (text or "").strip()
        usable = stripped and stripped.isascii() and stripped.isprintable() and " " not in stripped
        return cls(stripped) if usable else None

    def header(self) -> str:
        """Return the value of the ``Authorization`` header."""
        return f"Bearer {self._text}"

    def scrub(self, body: bytes) -> bytes:
        """Return a server's text without the key."""
        return self._parts.sub(b"***", body)

    def scrub_text(self, text: str) -> str:
        """Return text without the key."""
        return self.scrub(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def require_key(key: Key | None) -> Key:
    """Return the key that :meth:`Key.of` returned.

    It is apart from :meth:`Key.of` because some error reporters show the local variables of all frames of a traceback:
    the caller deletes the text of the key before this raises.

    :raises SecodaConfigurationError: if there is none
    """
    if key is None:
        raise SecodaConfigurationError(
            "the API key is empty or contains invalid characters: set the connection's `password` (`api_key`)"
        )
    return key


def _spellings(character: str) -> str:
    if character.isalnum():
        return character
    return rf"(?:\\?{re.escape(character)}|(?i:\\u00{ord(character):02x}|%{ord(character):02x}))"


#: With deeper JSON Python itself may raise RecursionError, depending on the caller's depth.
MAX_NESTING = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one response; the connection's extras have the same names with the prefix ``max_``.

    A documented page has some kilobytes to a few megabytes. The defaults are far above that, and the bodies of eight
    responses at once (what a triggerer's connection has in flight) still fit into half a gigabyte.

    :param body_bytes: bytes of a body as they are received
    :param decompressed_bytes: bytes of a body after ``Content-Encoding`` was decoded
    :param nesting: levels of nested JSON, up to 500
    :param answer_seconds: seconds until a response is complete, however steadily its pieces arrive, up to a day
    :raises SecodaConfigurationError: naming the limit that is out of range
    """

    body_bytes: int = 32 << 20
    decompressed_bytes: int = 64 << 20
    nesting: int = 200
    answer_seconds: float = 600.0

    def __post_init__(self) -> None:
        for name, most in _MAXIMUM.items():
            value = getattr(self, name)
            if not isinstance(value, int | type(most)) or isinstance(value, bool) or not 0 < value <= most:
                kind = "a number of seconds above 0" if isinstance(most, float) else "an integer from 1"
                raise SecodaConfigurationError(f"`max_{name}` must be {kind} up to {most:,.15g}, not {value!r:.40}")

    def exceeded(self, name: str, where: str) -> SecodaLimitError:
        """Return the error that says which limit the response to a request exceeded, and how to raise it."""
        return SecodaLimitError(
            f"{where}: the response is {_TOO[name].format(getattr(self, name))}. If that is expected, raise "
            f"`max_{name}` (an extra of the connection)",
            setting=f"max_{name}",
        )

    def too_slow(self, where: str) -> SecodaTimeoutError:
        """Return the error of a response that was not complete in time; the next one may be."""
        return SecodaTimeoutError(
            f"{where}: the response was not complete after {self.answer_seconds:g} s (the connection's "
            "`max_answer_seconds`)"
        )


#: The largest value of each: a terabyte, the nesting that Python always parses, a day.
_MAXIMUM = {"body_bytes": 1 << 40, "decompressed_bytes": 1 << 40, "nesting": MAX_NESTING, "answer_seconds": 86_400.0}
_TOO = {
    "body_bytes": "longer than {:,} bytes",
    "decompressed_bytes": "longer than {:,} bytes when decompressed",
    "nesting": "JSON that is nested deeper than {} levels",
}


@dataclass(frozen=True)
class Endpoint:
    """Where requests are sent to, and how; :class:`~.sync.SecodaClient` describes the values.

    :param base_url: as :func:`~.base_url.resolve_base_url` returns it
    :param proxy: may contain a password, so it is not shown
    """

    base_url: str
    key: Key = field(repr=False)
    timeout: float = 60.0
    verify: bool | str = True
    proxy: str | None = field(default=None, repr=False)
    user_agent: str = USER_AGENT
    limits: Limits = field(default=Limits())
