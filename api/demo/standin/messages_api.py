"""The routes of the stand-in: those the CLI calls, and `/_standin/...` for a steering process.

Seen of CLI 2.1.330 with nonessential traffic off: `POST /v1/messages?beta=true`, streamed, and
nothing else; with it on, also `HEAD /api/hello`. `claude auth status` calls nothing; profile and
usage pages are asked of api.anthropic.com whatever the base URL, so there is none here. Any other
path gets Anthropic's 404.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from api.demo.answers.conversation import Caller
from api.demo.answers.playback import Playback
from api.demo.answers.problems import Problem, unauthorized
from api.demo.standin.control import control_routes
from api.demo.standin.journal import Recorded
from api.demo.standin.standin import Plan, Refused, Standin

MAX_BODY_BYTES = 32 * 1024 * 1024  # as at Anthropic
_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "cookie", "proxy-authorization"})
_MODELS = (
    ("claude-opus-4-5-20251101", "Claude Opus 4.5", "2025-11-24T00:00:00Z"),
    ("claude-haiku-4-5-20251001", "Claude Haiku 4.5", "2025-10-15T00:00:00Z"),
    ("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "2025-09-29T00:00:00Z"),
)


def create_app(standin: Standin | None = None) -> FastAPI:
    """The stand-in as an ASGI app; serve it with `api.demo.standin.server.serving`, which alone
    can cut connections.
    """
    mind = standin or Standin()
    app = FastAPI(title="Stand-in for the Messages API", openapi_url=None)
    app.state.standin = mind
    app.include_router(control_routes(mind))

    @app.post("/v1/messages")
    async def messages(request: Request) -> Response:
        recorded = await _arrived(request, mind)
        caller = Caller(recorded.auth, recorded.credential)
        plan: Plan | Refused = _unreadable(recorded) or mind.decide(
            caller, recorded.body or {}, recorded.request_id
        )
        stream = bool((recorded.body or {}).get("stream"))
        return Playback(mind, plan, stream=stream, organization=mind.organization(caller))

    @app.post("/v1/messages/count_tokens")
    async def count_tokens(request: Request) -> Response:
        recorded = await _arrived(request, mind)
        return _checked(mind, recorded, {"input_tokens": max(1, recorded.size_bytes // 4)})

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        data = [
            {"type": "model", "id": name, "display_name": title, "created_at": created}
            for name, title, created in _MODELS
        ]
        page = {
            "data": data,
            "has_more": False,
            "first_id": data[0]["id"],
            "last_id": data[-1]["id"],
        }
        return _checked(mind, await _arrived(request, mind), page)

    @app.api_route("/api/hello", methods=["GET", "HEAD"])
    @app.api_route("/", methods=["GET", "HEAD"])
    async def hello(request: Request) -> Response:
        await _arrived(request, mind)
        return JSONResponse({"message": "hello"})

    @app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    async def anything_else(request: Request) -> Response:
        return _error(Problem(404), await _arrived(request, mind))

    return app


async def _arrived(request: Request, standin: Standin) -> Recorded:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk if len(raw) <= MAX_BODY_BYTES else b""
    caller = Caller.of(request.headers)
    headers = {
        name: value for name, value in request.headers.items() if name not in _SECRET_HEADERS
    }
    recorded = Recorded(
        request_id=f"req_{uuid.uuid4().hex[:24]}",
        method=request.method,
        path=request.url.path,
        auth=caller.auth,
        credential=caller.credential,
        headers=headers,
        body=_object(bytes(raw)) if len(raw) <= MAX_BODY_BYTES else None,
        size_bytes=len(raw),
        received_at=standin.clock(),
    )
    standin.record(recorded)
    return recorded


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _unreadable(recorded: Recorded) -> Refused | None:
    if recorded.size_bytes > MAX_BODY_BYTES:
        return Refused(Problem(413), recorded.request_id)
    messages = (recorded.body or {}).get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return Refused(Problem(400, "messages: a list of objects is required"), recorded.request_id)
    return None


def _checked(standin: Standin, recorded: Recorded, content: dict[str, Any]) -> Response:
    if not standin.admits(Caller(recorded.auth, recorded.credential)):
        return _error(unauthorized(recorded.auth), recorded)
    return JSONResponse(content, headers={"request-id": recorded.request_id})


def _error(problem: Problem, recorded: Recorded) -> Response:
    return JSONResponse(
        problem.body(recorded.request_id),
        status_code=problem.status,
        headers={"request-id": recorded.request_id},
    )
