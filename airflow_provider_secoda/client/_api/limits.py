"""How much of an answer is taken, and for how long: what a broken or hostile server may cost a process.

A documented page is some kilobytes to a few megabytes. The defaults are far above that, and the bodies of eight
answers at once (what a triggerer's connection has under way) still fit into half a gigabyte.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaLimitError

#: Deeper than this Python itself may refuse to read JSON, depending on where it is called from.
MAX_NESTING = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one answer may be; the connection's extras are called the same with ``max_`` before.

    :param body_bytes: bytes of a body on the wire, as they come
    :param decompressed_bytes: bytes of a body after ``Content-Encoding`` was undone
    :param nesting: how deep JSON may be nested, up to 500
    :param answer_seconds: seconds that an answer may take, however steadily its pieces arrive, up to a day
    :raises SecodaConfigurationError: naming the limit that makes no sense
    """

    body_bytes: int = 32 << 20
    decompressed_bytes: int = 64 << 20
    nesting: int = 200
    answer_seconds: float = 600.0

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not isinstance(value, int | type(most)) or isinstance(value, bool) or not 0 < value <= most:
                kind = "a number of seconds above 0" if isinstance(most, float) else "a whole number from 1"
                raise SecodaConfigurationError(f"`max_{name}` must be {kind} up to {most:,.15g}, not {value!r:.40}")

    def passed(self, name: str, where: str) -> SecodaLimitError:
        """Return the error that says which limit was passed, and how to raise it.

        :param name: of the limit, as it is called here
        :param where: what was asked
        """
        return SecodaLimitError(
            f"{where}: the answer is {_TOO[name].format(getattr(self, name))}. If that is no mistake, raise "
            f"`max_{name}` (an extra of the connection)",
            setting=f"max_{name}",
        )


#: The highest that each may be set to: a terabyte, what Python reads from anywhere, a day.
_MOST = {"body_bytes": 1 << 40, "decompressed_bytes": 1 << 40, "nesting": MAX_NESTING, "answer_seconds": 86_400.0}
_TOO = {
    "body_bytes": "longer than {:,} bytes",
    "decompressed_bytes": "longer than {:,} bytes when decompressed",
    "nesting": "JSON that is nested deeper than {} levels",
}
