"""The server's side of HTTP: Secoda's two listings and the health check, strict about paths and keys."""

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

from airflow_provider_secoda.sandbox import control, listing, mishaps
from airflow_provider_secoda.sandbox.query import BadQueryError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from airflow_provider_secoda.sandbox.stage import Stage

AUDIT_LOGS = "/api/v1/activity_log/audit_logs/"
RESOURCE_LOGS = "/api/v1/activity_log/resource_logs/"
_SMALLEST_GZIP = 200


def build(stage: Stage) -> ASGIApp:
    """Return the ASGI application that plays on a stage."""

    async def audit_logs(request: Request) -> Response:
        role = stage.role(request.headers.get("authorization", ""))
        if role is None:
            return _detail(401, "Unauthorized")
        if role != "admin":
            return _detail(403, "Only workspace admins can read audit logs")
        with stage.workspace.lock:
            stage.move()
            params = dict(request.query_params)
            page = listing.audit_logs(stage.workspace, stage.faults, stage.random, params, stage.page_size)
        return _json(page)

    async def resource_logs(request: Request) -> Response:
        if stage.role(request.headers.get("authorization", "")) is None:
            return _detail(401, "Unauthorized")
        with stage.workspace.lock:
            page = listing.resource_logs(stage.workspace, stage.faults, dict(request.query_params), stage.page_size)
        return _json(page)

    async def health(_request: Request) -> Response:
        return _json({"status": "OK"})

    handlers: dict[Any, Any] = {
        HTTPException: _http_error,
        BadQueryError: _bad_query,
        listing.RefusedError: _refused,
    }
    routes = [
        Route(AUDIT_LOGS, audit_logs),
        Route(RESOURCE_LOGS, resource_logs),
        Route("/healthcheck", health),
        *control.routes(stage),
    ]
    app = Starlette(routes=routes, exception_handlers=handlers)
    # A missing slash must fail here as it fails there, not be mended by a redirect.
    app.router.redirect_slashes = False
    return _Gate(app, stage)


class _Gate:
    """Records what comes in, and lets faults answer in the application's place."""

    def __init__(self, app: ASGIApp, stage: Stage) -> None:
        self.app = app
        self.stage = stage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/sandbox/"):
            await self.app(scope, receive, send)
            return
        # Cancelled means that the server stops, and that nobody waits for an answer any more.
        with suppress(asyncio.CancelledError):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, stage = Request(scope), self.stage
        headers = dict(request.headers)
        authorized = stage.role(headers.get("authorization", "")) is not None
        with stage.traffic.record(
            request.method, request.url.path, dict(request.query_params), headers, authorized
        ) as record:
            answer = await self._mishap(scope["path"], stage.traffic.in_flight)
            if not isinstance(answer, Response):
                cut = answer is mishaps.Cut
                answer = await self._true_answer(scope, receive)
                self._squeeze(request, answer)
                if cut:
                    answer = _recast(answer)
            record.status = None if isinstance(answer, mishaps.Reset) else answer.status_code
            await answer(scope, receive, send)

    async def _mishap(self, path: str, in_flight: int) -> Response | type[mishaps.Cut] | None:
        stage = self.stage
        faults = stage.faults
        if not path.startswith("/api/"):
            return None
        if faults.most_in_flight is not None and in_flight > faults.most_in_flight:
            return mishaps.failure(429, {"retry-after": "1"})
        if faults.latency:
            await asyncio.sleep(faults.latency)
        try:
            found = await mishaps.scripted(faults.script.pop(0)) if faults.script else None
        except ValueError as error:
            return _detail(400, f"the sandbox cannot do that: {error}")
        if found is None and faults.rate_limit is not None:
            found = stage.limit.refuse(faults.rate_limit)
        return found or mishaps.random_error(faults, stage.random)

    async def _true_answer(self, scope: Scope, receive: Receive) -> Response:
        """Return what the application answers, held back so that it can be compressed or cut."""
        messages: list[Any] = []

        async def keep(message: Any) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        answer = Response(b"".join(message.get("body", b"") for message in messages[1:]), messages[0]["status"])
        answer.raw_headers = list(messages[0]["headers"])
        return answer

    def _squeeze(self, request: Request, answer: Response) -> None:
        accepted = "gzip" in request.headers.get("accept-encoding", "")
        if self.stage.faults.gzip and accepted and len(answer.body) >= _SMALLEST_GZIP:
            answer.body = gzip.compress(answer.body, 1, mtime=0)
            answer.headers["content-encoding"] = "gzip"
            answer.headers["content-length"] = str(len(answer.body))


def _recast(answer: Response) -> mishaps.Cut:
    cut = mishaps.Cut(answer.body, answer.status_code)
    cut.raw_headers = answer.raw_headers
    return cut


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


def _detail(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status)


async def _bad_query(_request: Request, error: BadQueryError) -> Response:
    return _detail(400, str(error))


async def _refused(_request: Request, error: listing.RefusedError) -> Response:
    return _detail(error.status, str(error))


async def _http_error(_request: Request, error: HTTPException) -> Response:
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
