"""Requests, responses and the vocabulary between rules and drivers: frozen values without credentials."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from airflow_provider_secoda.client._api.limits import Limits
from airflow_provider_secoda.client.errors import SecodaError

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Request:
    """A GET below the API's base URL; the driver adds the origin and the key, nobody else knows them."""

    path: str
    params: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Response:
    """What came back: header names in lower case, the body decompressed, ``received_at`` in epoch seconds.

    :param limits: what the body kept to; whoever reads it keeps to the limit of its nesting
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    received_at: float = 0.0
    limits: Limits = field(default=Limits(), repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """An API operation as a value: what to send, and how to read the answer (which may raise a SecodaError)."""

    request: Request
    read: Callable[[Response], Any]
    #: At most so many sendings, whatever the policy says: a call that is made again and again needs no repeats.
    attempts: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One sending of a call by a driver, after a pause in seconds."""

    call: Call
    request: Request
    pause: float = 0.0
    #: The time of the answer that asked for the pause, in epoch seconds; drivers need not look at it.
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Emit:
    """Something for the reader of a flow, in passing."""

    value: Any


#: A rule: yields calls to start (or an :class:`Emit`), is sent one finished call with its value or its error.
#: An empty sequence means "nothing new, I wait for what is under way".
Answer: TypeAlias = "tuple[Call, Any]"
Flow: TypeAlias = Generator["Sequence[Call] | Emit", "Answer | None", R]

#: What a driver runs: yields attempts to start, is sent one finished attempt with its response or its error.
Outcome: TypeAlias = "Response | SecodaError"
Exchange: TypeAlias = Generator["Sequence[Attempt] | Emit", "tuple[Attempt, Outcome] | None", R]


def answered(answer: Answer | None) -> Answer:
    """Return what a driver sent for calls; a driver answers nothing only to an :class:`Emit`."""
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
    """Make calls side by side; return values or errors in the order given.

    Answers to calls that somebody made earlier and gave up on are passed over.
    """
    outcomes: dict[Call, Any] = {}
    start = calls
    while len(outcomes) < len(calls):
        call, outcome = answered((yield start))
        if call in calls:
            outcomes[call] = outcome
        start = ()
    return [outcomes[call] for call in calls]


def one_line(text: str, most: int = 200) -> str:
    """Return what a server said as one short line that does no harm in a log."""
    return "".join(sign for sign in " ".join(text[: 8 * most].split()) if sign.isprintable())[:most]
