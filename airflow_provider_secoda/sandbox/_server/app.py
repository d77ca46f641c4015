"""ASGI application with Secoda's two listings and the health check; paths and API keys are checked strictly."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_secoda.sandbox._server import control, fault_responses, pages
from airflow_provider_secoda.sandbox._server.query import BadQueryError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from airflow_provider_secoda.sandbox._server.state import ServerState

AUDIT_LOGS = "/api/v1/activity_log/audit_logs/"
RESOURCE_LOGS = "/api/v1/activity_log/resource_logs/"
_MIN_GZIP_BYTES = 200


def make_app(state: ServerState) -> ASGIApp:
    """Return the ASGI application for a state."""

    async def audit_logs(request: Request) -> Response:
        role = state.role(request.headers.get("authorization", ""))
        if role is None:
            return _detail(401, "Unauthorized")
        if role != "admin":
            return _detail(403, "Only workspace admins can read audit logs")
        with state.workspace.lock:
            state.change_workspace()
            params = dict(request.query_params)
            page = pages.audit_logs(state.workspace, state.faults, state.random, params, state.page_size)
        return _json(page)

    async def resource_logs(request: Request) -> Response:
        if state.role(request.headers.get("authorization", "")) is None:
            return _detail(401, "Unauthorized")
        with state.workspace.lock:
            page = pages.resource_logs(state.workspace, state.faults, dict(request.query_params), state.page_size)
        return _json(page)

    async def health(_request: Request) -> Response:
        return _json({"status": "OK"})

    handlers: dict[Any, Any] = {
        HTTPException: _http_error,
        BadQueryError: _bad_query,
        pages.RefusedError: _refused,
    }
    routes = [
        Route(AUDIT_LOGS, audit_logs),
        Route(RESOURCE_LOGS, resource_logs),
        Route("/healthcheck", health),
        *control.routes(state),
    ]
    app = Starlette(routes=routes, exception_handlers=handlers)
    # A missing slash must fail as it does at Secoda, without a redirect.
    app.router.redirect_slashes = False
    return _FaultInjector(app, state)


class _FaultInjector:
    """Middleware that records requests, and sends the responses of faults in place of the application's."""

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/sandbox/"):
            await self.app(scope, receive, send)
            return
        # Cancelled when the server stops: the connection is closed.
        with suppress(asyncio.CancelledError):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, state = Request(scope), self.state
        headers = dict(request.headers)
        authorized = state.role(headers.get("authorization", "")) is not None
        with state.request_log.record(
            request.method, request.url.path, dict(request.query_params), headers, authorized
        ) as record:
            response = await self._fault(scope["path"], state.request_log.in_flight)
            if not isinstance(response, Response):
                truncate = response is fault_responses.Truncated
                response = await self._correct_response(scope, receive)
                self._compress(request, response)
                if truncate:
                    response = fault_responses.Truncated.from_response(response)
            record.status = None if isinstance(response, fault_responses.Reset) else response.status_code
            await response(scope, receive, send)

    async def _fault(self, path: str, in_flight: int) -> Response | type[fault_responses.Truncated] | None:
        state, faults = self.state, self.state.faults
        if not path.startswith("/api/"):
            return None
        if faults.most_in_flight is not None and in_flight > faults.most_in_flight:
            return fault_responses.failure(429, {"retry-after": "1"})
        if faults.latency:
            await asyncio.sleep(faults.latency)
        try:
            found = await fault_responses.scripted(faults.script.pop(0)) if faults.script else None
        except ValueError as error:
            return _detail(400, f"sandbox: {error}")
        if found is None and faults.rate_limit is not None:
            found = state.rate_limit.check(faults.rate_limit)
        return found or fault_responses.random_error(faults, state.random)

    async def _correct_response(self, scope: Scope, receive: Receive) -> Response:
        """Return the response of the application as a value, which can be compressed or truncated."""
        messages: list[Any] = []

        async def keep(message: Any) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        response = Response(b"".join(message.get("body", b"") for message in messages[1:]), messages[0]["status"])
        response.raw_headers = list(messages[0]["headers"])
        return response

    def _compress(self, request: Request, response: Response) -> None:
        accepted = "gzip" in request.headers.get("accept-encoding", "")
        if self.state.faults.gzip and accepted and len(response.body) >= _MIN_GZIP_BYTES:
            response.body = gzip.compress(response.body, 1, mtime=0)
            response.headers["content-encoding"] = "gzip"
            response.headers["content-length"] = str(len(response.body))


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


def _detail(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status)


async def _bad_query(_request: Request, error: BadQueryError) -> Response:
    return _detail(400, str(error))


async def _refused(_request: Request, error: pages.RefusedError) -> Response:
    return _detail(error.status, str(error))


async def _http_error(_request: Request, error: HTTPException) -> Response:
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
