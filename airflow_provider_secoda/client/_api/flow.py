"""API operations as values: requests, responses, calls, and flows of them; without credentials."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from airflow_provider_secoda.client._api.endpoint import Limits
from airflow_provider_secoda.client.errors import SecodaError

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Request:
    """A GET below the API's base URL; only the transport adds the origin and the key."""

    path: str
    params: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Response:
    """A response: header names in lower case, the body decompressed, ``received_at`` in epoch seconds.

    :param limits: the limits of the endpoint; who reads the body checks the one for nesting
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    received_at: float = 0.0
    limits: Limits = field(default=Limits(), repr=False)

    @property
    def json(self) -> bytes:
        """The body without a byte-order mark, which a reader of JSON may ignore (RFC 8259, section 8.1)."""
        return self.body.removeprefix(codecs.BOM_UTF8)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """An API operation as a value.

    :param request: what to send
    :param read: reads the response; may raise a :class:`~.errors.SecodaError`
    :param attempts: how often it is sent at most, instead of the retry policy's: a call that a poll makes again anyway
        needs no retries
    """

    request: Request
    read: Callable[[Response], Any]
    attempts: int | None = None


@dataclass(frozen=True, slots=True)
class Emit:
    """A value that a flow passes on before it ends."""

    value: Any


#: What wants calls made: a flow yields calls to start (or an :class:`Emit`), and is sent one finished call with its
#: value or its error. An empty sequence means "nothing new; wait for the calls in flight".
Answer: TypeAlias = "tuple[Call, Any]"
Flow: TypeAlias = Generator["Sequence[Call] | Emit", "Answer | None", R]


def answered(answer: Answer | None) -> Answer:
    """Return what was sent for calls; only an :class:`Emit` is answered with None."""
    if answer is None:
        raise TypeError("calls must be answered with a call and its outcome")
    return answer


def once(call: Call) -> Flow[Any]:
    """Make one call; return its value or raise its error."""
    (outcome,) = yield from several([call])
    if isinstance(outcome, SecodaError):
        raise outcome
    return outcome


def several(calls: Sequence[Call]) -> Flow[list[Any]]:
    """Make calls concurrently; return values or errors in the order of the calls.

    Answers to calls that were started earlier and abandoned are ignored.
    """
    outcomes: dict[Call, Any] = {}
    start = calls
    while len(outcomes) < len(calls):
        call, outcome = answered((yield start))
        if call in calls:
            outcomes[call] = outcome
        start = ()
    return [outcomes[call] for call in calls]
