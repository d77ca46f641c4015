"""Interpret a response: as a value, as an error, or as the request that a redirect leads to.

Statuses and headers are interpreted only here. The reference documents 200, 401, 403 and 500; the rest is RFC 9110.
"""

from __future__ import annotations

import re
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from airflow_provider_secoda.client import errors
from airflow_provider_secoda.client._api.base_url import origin_of
from airflow_provider_secoda.client._api.flow import Call, Request, Response
from airflow_provider_secoda.client._api.text import printable_line

_FATAL: dict[int, type[errors.SecodaFatalError]] = {
    401: errors.SecodaAuthenticationError,
    403: errors.SecodaPermissionError,
    404: errors.SecodaNotFoundError,
}
_WHAT_TO_DO = {
    401: "the API key is wrong, was revoked, or belongs to another region or workspace than this host",
    403: "the API key is valid, but the person who created it lacks the permission; audit logs need a workspace admin",
    404: "not found; check the connection's region or host, and the id of the resource",
    429: "too many requests",
}
#: The longest ``Retry-After`` that is obeyed, in seconds.
LONGEST_RETRY_AFTER = 86_400.0
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
#: Numbers that are times in epoch seconds, and milliseconds when divided: from 2001 to 2128. No delay has 31 years.
_EPOCH_TIMES = (1e9, 5e9)
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 3
#: Servers split a path at more characters than clients do.
_SEPARATOR = re.compile(r"[/\\;]")


def interpret(
    call: Call, request: Request, outcome: Response | errors.SecodaError, base_url: str, redirects: int
) -> Any:
    """Return what an outcome means: a value, an error, or the request that a redirect leads to.

    :param request: what was sent for the call, after this many ``redirects``
    """
    if isinstance(outcome, errors.SecodaError):
        return outcome
    if outcome.status == 200:  # noqa: PLR2004 - the one status that the reference documents for success
        return _read(call, outcome)
    if outcome.status in _REDIRECTS:
        return _redirect(request, outcome, base_url, redirects)
    return _error(f"{base_url}{request.path}", outcome)


def retry_after(response: Response) -> float | None:
    """Return the seconds of ``Retry-After`` (RFC 9110, section 10.2.3), at most a day; None if there are none.

    Without a usable one, a 429 that says that its quota is used up has them in ``X-RateLimit-Reset``. Times are
    compared with the server's own ``Date``, so that a wrong clock on this side does no harm.
    """
    headers = response.headers
    date = _epoch_seconds(headers.get("date", ""))
    now = response.received_at if date is None else date
    seconds = _seconds_until(headers.get("retry-after", ""), now)
    if seconds is None and response.status == 429 and headers.get("x-ratelimit-remaining", "").strip() == "0":  # noqa: PLR2004
        seconds = _seconds_until(headers.get("x-ratelimit-reset", ""), now)
    return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER)


def _seconds_until(text: str, now: float) -> float | None:
    """Return the seconds that a header says to wait: a number, an HTTP date, or, from some servers, an epoch time.

    A time that has passed is ignored: the server's clock is wrong, and retries without a pause would not help it.

    :param now: epoch seconds
    """
    text = text.strip()
    until = None
    if _NUMBER.fullmatch(text):
        number = float(text)
        until = next((number / unit for unit in (1, 1_000) if _EPOCH_TIMES[0] <= number / unit < _EPOCH_TIMES[1]), None)
        if until is None:
            return number
    else:
        until = _epoch_seconds(text)
    return until - now if until is not None and until > now else None


def _read(call: Call, response: Response) -> Any:
    try:
        return call.read(response)
    except errors.SecodaError as error:
        # Without the frames of the reader: their local variables contain the body.
        error.__context__ = None
        return error.with_traceback(None)


def _error(url: str, response: Response) -> errors.SecodaError:
    status, what = response.status, _describe(url, response)
    if status == 429 or status >= 500 or status == 408:  # noqa: PLR2004
        kind = errors.SecodaRateLimitError if status == 429 else errors.SecodaServerError  # noqa: PLR2004
        seconds = retry_after(response)
        if seconds is not None:
            # A worker receives only the message of an error that was raised in the triggerer.
            what += f" (Retry-After: {round(seconds, 3):.15g} s)"
        return kind(what, status=status, retry_after=seconds)
    if status >= 400:  # noqa: PLR2004
        return _FATAL.get(status, errors.SecodaRequestError)(what, status=status)
    return errors.SecodaResponseError(what, status=status)


def _describe(url: str, response: Response) -> str:
    text = f"Secoda answered {response.status} to {url}"
    if response.status in _WHAT_TO_DO:
        text += f": {_WHAT_TO_DO[response.status]}"
    try:
        detail = str(msgspec.json.decode(response.json)["detail"])
    except (msgspec.MsgspecError, ValueError, RecursionError, LookupError, TypeError):
        return text
    return f"{text} ({printable_line(detail)})"


def _epoch_seconds(text: str) -> float | None:
    """Return an HTTP date in epoch seconds; without a zone it is GMT (RFC 9110, section 5.6.7)."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _redirect(request: Request, response: Response, base_url: str, redirects: int) -> Request | errors.SecodaError:
    """Follow a redirect within the origin only: nothing that a server sends decides where the key goes."""
    location, what = response.headers.get("location"), f"Secoda redirected {base_url}{request.path}"
    if not location:
        return errors.SecodaRedirectError(f"{what} without a `Location`", status=response.status)
    prefix, target = urlsplit(base_url).path, location
    try:
        target = urljoin(base_url + request.path, location)
        path = urlsplit(target).path
        same = origin_of(target) == origin_of(base_url) and path.startswith(prefix + "/") and _is_plain(path)
    except ValueError:
        same = False
    if not same:
        where = printable_line(target.split("?")[0].split("#")[0].rpartition("@")[2])
        return errors.SecodaRedirectError(
            f"{what} to another address ({where!r}). The redirect was not followed, because "
            "it would send the API key there. Set `host` to the address that answers without a redirect",
            status=response.status,
        )
    if redirects >= _MAX_REDIRECTS:
        return errors.SecodaRedirectError(f"{what} in a loop", status=response.status)
    # The query of the original request is sent again: some redirects lose it, and with it the filter and the page.
    return Request(path.removeprefix(prefix), request.params)


def _is_plain(path: str) -> bool:
    """Return whether a path can be requested as it is, and shown in a log."""
    segments = _SEPARATOR.split(unquote(unquote(path)))
    if "." in segments or ".." in segments:
        return False  # a client or a server would resolve it to a path outside the base URL's
    return path.isascii() and path.isprintable() and " " not in path and len(path) < 2_000  # noqa: PLR2004
