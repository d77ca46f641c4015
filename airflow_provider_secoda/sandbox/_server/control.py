"""Control API under ``/sandbox/``: change workspace and faults from another process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_secoda.sandbox._faults import Faults
from airflow_provider_secoda.sandbox._server.control_api import CONTROL
from airflow_provider_secoda.sandbox._workspace.timestamps import datetime_of, parse_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from airflow_provider_secoda.sandbox._server.state import ServerState

_ABOUT = {
    "what": "A sandbox with the listings of Secoda's API. All data is invented.",
    "serves": ["/api/v1/activity_log/audit_logs/", "/api/v1/activity_log/resource_logs/", "/healthcheck"],
    "control": CONTROL,
}


def routes(state: ServerState) -> list[Route]:
    """Return the routes. They need no API key, because the server listens on loopback only."""

    async def about(_request: Request) -> Response:
        return _respond(_ABOUT)

    async def logs(request: Request) -> Response:
        body = await _body(request)
        added = [state.workspace.add_log(**one) for one in (body if isinstance(body, list) else [body])]
        return _respond(added if isinstance(body, list) else added[0], 201)

    async def versions(request: Request) -> Response:
        return _respond(state.workspace.add_version(**(await _body(request))), 201)

    async def history(request: Request) -> Response:
        return _respond(state.workspace.versions(request.query_params.get("resource_id", "")))

    async def faults(request: Request) -> Response:
        state.set_faults(Faults.from_json(await _body(request)))
        return _respond(state.faults)

    async def window(request: Request) -> Response:
        start, end = (
            datetime_of(parse_nanoseconds(request.query_params.get(edge, "")) // 1000) for edge in ("start", "end")
        )
        raws = state.workspace.window(start, end, request.query_params.get("timestamp_field", "logged_at"))
        return Response(b"".join(raw + b"\n" for raw in raws), media_type="application/jsonl")

    async def stats(_request: Request) -> Response:
        return _respond({**state.request_log.stats(), "logs": len(state.workspace)})

    async def reset_stats(_request: Request) -> Response:
        state.request_log.reset()
        return _respond({"status": "OK"})

    return [
        Route("/sandbox/", about),
        Route("/sandbox/logs", _report_errors(logs), methods=["POST"]),
        Route("/sandbox/versions", _report_errors(versions), methods=["POST"]),
        Route("/sandbox/versions", _report_errors(history)),
        Route("/sandbox/faults", _report_errors(faults), methods=["PUT"]),
        Route("/sandbox/window", _report_errors(window)),
        Route("/sandbox/stats", stats),
        Route("/sandbox/reset-stats", reset_stats, methods=["POST"]),
    ]


async def _body(request: Request) -> Any:
    return json.loads(await request.body() or b"{}")


def _respond(content: Any, status: int = 200) -> Response:
    text = json.dumps(msgspec.to_builtins(content), ensure_ascii=False, indent=2) + "\n"
    return Response(text, status, media_type="application/json")


def _report_errors(
    endpoint: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint with errors in the request reported as 400."""

    async def respond(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            return _respond({"detail": str(error)}, 400)

    return respond
