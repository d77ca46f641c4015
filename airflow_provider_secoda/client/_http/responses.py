"""What an answer means: a value, an error of ours, or the request that a redirect asks for.

The one place that knows statuses and headers. The reference lists 200, 401, 403 and 500; the rest is RFC 9110.
"""

from __future__ import annotations

import re
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from airflow_provider_secoda.client._api.base_url import origin_of
from airflow_provider_secoda.client._api.flow import Attempt, Call, Outcome, Request, Response, one_line
from airflow_provider_secoda.client.errors import (
    SecodaAuthenticationError,
    SecodaError,
    SecodaFatalError,
    SecodaNotFoundError,
    SecodaPermissionError,
    SecodaRateLimitError,
    SecodaRedirectError,
    SecodaRequestError,
    SecodaResponseError,
    SecodaServerError,
)

_FATAL: dict[int, type[SecodaFatalError]] = {
    401: SecodaAuthenticationError,
    403: SecodaPermissionError,
    404: SecodaNotFoundError,
}
_WHAT_TO_DO = {
    401: "the API key is wrong or was revoked",
    403: "the API key is valid, but its maker may not do this; audit logs need a workspace admin",
    404: "there is no such address or resource; check the connection's region or host, and the id",
    429: "too many requests",
}
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 3
#: Servers take a path apart in more ways than clients do.
_STEP = re.compile(r"[/\\;]")


def interpret(attempt: Attempt, outcome: Outcome, base_url: str, hops: dict[Call, int]) -> Any:
    """Turn an outcome into a value, an error, or the request that a redirect asks for.

    :param hops: how many redirects each call has followed; counted on here
    """
    if isinstance(outcome, SecodaError):
        return outcome
    if outcome.status == 200:  # noqa: PLR2004 - the one status that the reference documents for success
        return _read(attempt.call, outcome)
    if outcome.status in _REDIRECTS:
        hops[attempt.call] = hops.get(attempt.call, 0) + 1
        return _redirect(attempt.request, outcome, base_url, hops[attempt.call])
    return _error(attempt.request, outcome)


def _read(call: Call, response: Response) -> Any:
    try:
        return call.read(response)
    except SecodaError as error:
        # Without the frames of the reading: their local variables hold the body.
        error.__context__ = None
        return error.with_traceback(None)


def _error(request: Request, response: Response) -> SecodaError:
    status, what = response.status, _describe(request, response)
    if status == 429:  # noqa: PLR2004
        return SecodaRateLimitError(what, status=status, retry_after=_retry_after(response))
    if status >= 500 or status == 408:  # noqa: PLR2004
        return SecodaServerError(what, status=status, retry_after=_retry_after(response))
    if status >= 400:  # noqa: PLR2004
        return _FATAL.get(status, SecodaRequestError)(what, status=status)
    return SecodaResponseError(what, status=status)


def _describe(request: Request, response: Response) -> str:
    text = f"Secoda answered {response.status} to {request.path}"
    if response.status in _WHAT_TO_DO:
        text += f": {_WHAT_TO_DO[response.status]}"
    try:
        detail = str(msgspec.json.decode(response.body)["detail"])
    except (msgspec.MsgspecError, ValueError, RecursionError, LookupError, TypeError):
        return text
    return f"{text} ({one_line(detail)})"


def _retry_after(response: Response) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, as a number or as a date (RFC 9110, section 10.2.3).

    A date is read against the server's own ``Date``, so that a wrong clock on this side does no harm.
    """
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text.lstrip("0")[:12] or 0)
    until = _moment(text)
    if until is None:
        return None
    now = _moment(response.headers.get("date", ""))
    return max(0.0, until - (response.received_at if now is None else now))


def _moment(text: str) -> float | None:
    """Return an HTTP date in epoch seconds; without a zone it is GMT (RFC 9110, section 5.6.7)."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _redirect(request: Request, response: Response, base_url: str, hop: int) -> Request | SecodaError:
    """AuditLogPoller a redirect within the origin only: nothing that a server sends decides where the key goes."""
    location = response.headers.get("location")
    if not location:
        return SecodaRedirectError(
            f"Secoda redirected {request.path}, but did not say where to", status=response.status
        )
    prefix, target = urlsplit(base_url).path, location
    try:
        target = urljoin(base_url + request.path, location)
        path = urlsplit(target).path
        same = origin_of(target) == origin_of(base_url) and path.startswith(prefix + "/") and _is_plain(path)
    except ValueError:
        same = False
    if not same:
        where = one_line(target.split("?")[0].split("#")[0].rpartition("@")[2])
        return SecodaRedirectError(
            f"Secoda redirected {request.path} to another address ({where!r}), which would take the API key "
            "there; it was not followed. Set `host` to the address that answers without a redirect",
            status=response.status,
        )
    if hop > _MAX_REDIRECTS:
        return SecodaRedirectError(f"Secoda redirects {request.path} in a circle", status=response.status)
    # What was asked stays what was asked: some redirects lose the query, and with it the filter and the page.
    return Request(path.removeprefix(prefix), request.params)


def _is_plain(path: str) -> bool:
    """Return whether a path is one that can be asked for as it stands, and told in a log."""
    steps = _STEP.split(unquote(unquote(path)))
    if "." in steps or ".." in steps:
        return False  # it would lead out of the base URL's path, wherever that is noticed first
    return path.isascii() and path.isprintable() and " " not in path and len(path) < 2_000  # noqa: PLR2004
