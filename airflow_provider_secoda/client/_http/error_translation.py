"""Translate errors of the HTTP libraries, of TLS and of sockets: the only place that does, whichever library sends.

The result is a :class:`~.errors.SecodaError` without request, header or key.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.text import printable_line
from airflow_provider_secoda.client.errors import (
    SecodaConfigurationError,
    SecodaConnectionError,
    SecodaError,
    SecodaTimeoutError,
    SecodaTLSError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_secoda.client._api.endpoint import Endpoint

#: Raised when a connection breaks, and when the library only waits for more, which can be the cause of a timeout.
_NOT_CAUSED_BY_TLS = (
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ssl.SSLSyscallError,
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
)


@dataclass(frozen=True)
class ErrorTranslator:
    """Translates the errors of one library.

    :param timeouts: what the library raises when there was no response in time
    :param proxies: what it raises when a proxy refuses
    :param unusable: what it raises for an address that it cannot use
    """

    endpoint: Endpoint
    timeouts: tuple[type[BaseException], ...]
    proxies: tuple[type[BaseException], ...]
    unusable: tuple[type[BaseException], ...]

    def translate(self, exc: BaseException, *, at_proxy: bool = False) -> SecodaError:
        """Return the error to raise, without the request that the original carries.

        :param at_proxy: whether the proxy could not be reached, where the error itself does not say so
        """
        found = list(causes(exc))
        reason = printable_line(self.endpoint.key.scrub_text(str(found[-1])[:2_000]))

        def has(*kinds: type[BaseException]) -> bool:
            return any(isinstance(cause, kinds) for cause in found)

        where = self.endpoint.base_url
        error: SecodaError = SecodaConnectionError(f"{where}: the connection broke ({reason})")
        if has(ssl.SSLCertVerificationError):
            error = SecodaTLSError(f"{where}: the server's certificate could not be verified ({reason})")
        elif has(ssl.SSLError) and not has(*_NOT_CAUSED_BY_TLS):
            error = SecodaTLSError(f"{where}: no TLS connection could be established ({reason})", reason="protocol")
        elif has(*self.timeouts, TimeoutError):
            error = SecodaTimeoutError(f"{where}: no response within {self.endpoint.timeout:g} s")
        elif at_proxy or has(*self.proxies):
            error = SecodaConnectionError(f"{where}: the proxy refuses or cannot be reached", reason="proxy")
        elif has(socket.gaierror):
            error = SecodaConnectionError(f"{where}: the host name could not be resolved", reason="dns")
        elif has(ConnectionRefusedError):
            error = SecodaConnectionError(f"{where}: the connection was refused", reason="refused")
        elif has(*self.unusable):
            error = SecodaConfigurationError(f"{where}: the proxy or the address cannot be used ({reason})")
        return error


def causes(exc: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and the errors that it wraps, in any of the ways in which libraries wrap them, innermost last."""
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
