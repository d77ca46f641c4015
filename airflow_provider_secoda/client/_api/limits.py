"""How large and how slow a response may be: what a broken or hostile server may cost a process.

A documented page has some kilobytes to a few megabytes. The defaults are far above that, and the bodies of eight
responses at once (what a triggerer's connection has in flight) still fit into half a gigabyte.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaLimitError, SecodaTimeoutError

#: With deeper JSON Python itself may raise RecursionError, depending on the caller's depth.
MAX_NESTING = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one response; the connection's extras have the same names with the prefix ``max_``.

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
        """Return the error that says which limit was exceeded, and how to raise it.

        :param name: the limit
        :param where: what was requested
        """
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
