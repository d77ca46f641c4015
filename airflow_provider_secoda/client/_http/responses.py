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
    401: "the API key is wrong or was revoked",
    403: "the API key is valid, but the person who created it lacks the permission; audit logs need a workspace admin",
    404: "not found; check the connection's region or host, and the id of the resource",
    429: "too many requests",
}
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
    return _error(request, outcome)


def retry_after(response: Response) -> float | None:
    """Return the seconds of ``Retry-After``, which is a number or a date (RFC 9110, section 10.2.3).

    A date is compared with the server's own ``Date``, so that a wrong clock on this side does no harm.
    """
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text.lstrip("0")[:12] or 0)
    until = _epoch_seconds(text)
    if until is None:
        return None
    now = _epoch_seconds(response.headers.get("date", ""))
    return max(0.0, until - (response.received_at if now is None else now))


def _read(call: Call, response: Response) -> Any:
    try:
        return call.read(response)
    except errors.SecodaError as error:
        # Without the frames of the reader: their local variables contain the body.
        error.__context__ = None
        return error.with_traceback(None)


def _error(request: Request, response: Response) -> errors.SecodaError:
    status, what = response.status, _describe(request, response)
    if status == 429:  # noqa: PLR2004
        return errors.SecodaRateLimitError(what, status=status, retry_after=retry_after(response))
    if status >= 500 or status == 408:  # noqa: PLR2004
        return errors.SecodaServerError(what, status=status, retry_after=retry_after(response))
    if status >= 400:  # noqa: PLR2004
        return _FATAL.get(status, errors.SecodaRequestError)(what, status=status)
    return errors.SecodaResponseError(what, status=status)


def _describe(request: Request, response: Response) -> str:
    text = f"Secoda answered {response.status} to {request.path}"
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
    location = response.headers.get("location")
    if not location:
        return errors.SecodaRedirectError(
            f"Secoda redirected {request.path} without a `Location`", status=response.status
        )
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
            f"Secoda redirected {request.path} to another address ({where!r}). The redirect was not followed, because "
            "it would send the API key there. Set `host` to the address that answers without a redirect",
            status=response.status,
        )
    if redirects >= _MAX_REDIRECTS:
        return errors.SecodaRedirectError(f"Secoda redirects {request.path} in a loop", status=response.status)
    # The query of the original request is sent again: some redirects lose it, and with it the filter and the page.
    return Request(path.removeprefix(prefix), request.params)


def _is_plain(path: str) -> bool:
    """Return whether a path can be requested as it is, and shown in a log."""
    segments = _SEPARATOR.split(unquote(unquote(path)))
    if "." in segments or ".." in segments:
        return False  # a client or a server would resolve it to a path outside the base URL's
    return path.isascii() and path.isprintable() and " " not in path and len(path) < 2_000  # noqa: PLR2004
