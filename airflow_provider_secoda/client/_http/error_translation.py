"""What breaks on the way, in our words: the one translation of foreign errors, whichever library sends.

What leaves is a :class:`~.errors.SecodaError` without request, header or key.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.flow import one_line
from airflow_provider_secoda.client.errors import (
    SecodaConfigurationError,
    SecodaConnectionError,
    SecodaError,
    SecodaTimeoutError,
    SecodaTLSError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_secoda.client._api.key import Key

#: What the library says when a connection breaks, and when it merely waits for more, which can stand behind a timeout.
_NO_FAULT_OF_TLS = (
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ssl.SSLSyscallError,
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
)


@dataclass(frozen=True)
class Translation:
    """Tells one server's failures.

    :param where: the base URL, as it stands in the texts
    :param timeout: seconds, as they stand in the texts
    :param timeouts: what a library raises when there was no answer in time
    :param proxies: what it raises when a proxy refuses
    :param unusable: what it raises when an address makes no sense to it
    """

    where: str
    timeout: float
    key: Key
    timeouts: tuple[type[BaseException], ...]
    proxies: tuple[type[BaseException], ...]
    unusable: tuple[type[BaseException], ...]

    def error(self, exc: BaseException, *, at_proxy: bool = False) -> SecodaError:
        """Turn a foreign error into one of ours, in words, without the request that it carries.

        :param at_proxy: whether it is the proxy that was not reached, where the error does not say so itself
        """
        found = list(causes(exc))
        what = one_line(self.key.scrub_text(str(found[-1])[:2_000]))

        def has(*kinds: type[BaseException]) -> bool:
            return any(isinstance(cause, kinds) for cause in found)

        where = self.where
        error: SecodaError = SecodaConnectionError(f"{where}: the connection broke ({what})")
        if has(ssl.SSLCertVerificationError):
            error = SecodaTLSError(f"{where}: the server's certificate could not be verified ({what})")
        elif has(ssl.SSLError) and not has(*_NO_FAULT_OF_TLS):
            error = SecodaTLSError(f"{where}: the server does not speak TLS as it should ({what})", reason="protocol")
        elif has(*self.timeouts, TimeoutError):
            error = SecodaTimeoutError(f"{where}: no answer within {self.timeout:g} s")
        elif at_proxy or has(*self.proxies):
            error = SecodaConnectionError(f"{where}: the proxy does not let us through", reason="proxy")
        elif has(socket.gaierror):
            error = SecodaConnectionError(f"{where}: there is no such host", reason="dns")
        elif has(ConnectionRefusedError):
            error = SecodaConnectionError(f"{where}: the connection was refused", reason="refused")
        elif has(*self.unusable):
            error = SecodaConfigurationError(f"{where}: the proxy or the address cannot be used ({what})")
        return error


def causes(exc: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it wraps, by any of the ways in which libraries wrap errors, innermost last."""
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        members = getattr(exc, "exceptions", None)  # of an exception group: several addresses, each with its error
        inside = (
            getattr(exc, "reason", None),
            *(members if isinstance(members, tuple) else ()),
            *exc.args,
            exc.__cause__,
            exc.__context__,
        )
        exc = next((one for one in inside if isinstance(one, BaseException) and id(one) not in seen), None)
