"""The control API under ``/sandbox/``: change a sandbox's workspace and faults from another process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_secoda.sandbox.faults import Faults
from airflow_provider_secoda.sandbox.timestamps import moment_of, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from airflow_provider_secoda.sandbox.stage import Stage

_ABOUT = {
    "what": "A sandbox shaped like Secoda's API, with invented data. Nothing here is real.",
    "serves": ["/api/v1/activity_log/audit_logs/", "/api/v1/activity_log/resource_logs/", "/healthcheck"],
    "control": {
        "POST /sandbox/logs": "add a log (an object of its fields; {} invents one), or a list of them",
        "POST /sandbox/versions": "add a version (an object with resource_id)",
        "PUT /sandbox/faults": "replace all switches; {} turns every fault off",
        "GET /sandbox/window": "what a complete read of a window holds, as JSON lines in ascending (timestamp, id); "
        "start, end (excluded) and timestamp_field are parameters",
        "GET /sandbox/stats": "requests by path and status, peak in flight, number of logs",
        "POST /sandbox/reset-stats": "forget the requests",
    },
}


def routes(stage: Stage) -> list[Route]:
    """Return the routes that act on a stage. They ask for no key: the server listens on loopback only."""

    async def about(_request: Request) -> Response:
        return _answer(_ABOUT)

    async def logs(request: Request) -> Response:
        body = await _body(request)
        added = [stage.workspace.add_log(**one) for one in (body if isinstance(body, list) else [body])]
        return _answer(added if isinstance(body, list) else added[0], 201)

    async def versions(request: Request) -> Response:
        return _answer(stage.workspace.add_version(**(await _body(request))), 201)

    async def faults(request: Request) -> Response:
        stage.use(Faults.of(await _body(request)))
        return _answer(stage.faults)

    async def window(request: Request) -> Response:
        start, end = (moment_of(nanoseconds(request.query_params.get(edge, "")) // 1000) for edge in ("start", "end"))
        raws = stage.workspace.window(start, end, request.query_params.get("timestamp_field", "logged_at"))
        return Response(b"".join(raw + b"\n" for raw in raws), media_type="application/jsonl")

    async def stats(_request: Request) -> Response:
        return _answer({**stage.traffic.stats(), "logs": len(stage.workspace)})

    async def reset_stats(_request: Request) -> Response:
        stage.traffic.reset()
        return _answer({"status": "OK"})

    return [
        Route("/sandbox/", about),
        Route("/sandbox/logs", _explained(logs), methods=["POST"]),
        Route("/sandbox/versions", _explained(versions), methods=["POST"]),
        Route("/sandbox/faults", _explained(faults), methods=["PUT"]),
        Route("/sandbox/window", _explained(window)),
        Route("/sandbox/stats", stats),
        Route("/sandbox/reset-stats", reset_stats, methods=["POST"]),
    ]


async def _body(request: Request) -> Any:
    return json.loads(await request.body() or b"{}")


def _answer(content: Any, status: int = 200) -> Response:
    text = json.dumps(msgspec.to_builtins(content), ensure_ascii=False, indent=2) + "\n"
    return Response(text, status, media_type="application/json")


def _explained(
    endpoint: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint, which then says what was wrong with a body instead of failing."""

    async def explain(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            return _answer({"detail": str(error)}, 400)

    return explain
