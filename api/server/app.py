"""The HTTP application: routes over a ``PoolClient``, and the layers every request goes through.

From the outside in: answers get their headers, requests are named and timed, errors become
problems, heads are bounded, callers are known, bodies are bounded and unpacked, then a route.
Nothing here knows where the pool runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from actors.client.client import PoolClient
from actors.telemetry.tracing import OFF, Tracing
from api.dialects.error_format import SHAPES, error_format_of
from api.dialects.openapi import stream_schemas
from api.page.page import serve_page
from api.routes import (
    capacity,
    executions,
    pool,
    reconciliations,
    routing,
    sessions,
    subscriptions,
    usage,
)
from api.routes.dialects import chat, messages, models, responses
from api.routes.keys import routes as key_routes
from api.routes.operations import alerts, backups, events, metrics, nodes, probes, telemetry
from api.server.docs import serve_docs
from api.web.authentication import Authentication, Authenticator, Keys
from api.web.metrics import HttpMetrics, Measured
from api.web.problems.answering import Answering
from api.web.problems.framework_errors import HANDLERS
from api.web.problems.problem import MEDIA_TYPE, documented
from api.web.request.body import MAX_BODY_BYTES, BodyLimit
from api.web.request.compression import ContentCoding
from api.web.request.head import HeadLimit, SecurityHeaders
from api.web.request.request_id import RequestIds
from api.web.stream.sse import event_schemas
from api.web.tracing import Traced
from pool.config import ClaudeSettings
from pool.values import now_in_utc

TITLE = "Claude subscription pool"
DESCRIPTION = """\
Runs prompts on a pool of Claude subscriptions: it picks the one with the most headroom, and knows
what each has spent.

Errors are `application/problem+json` (RFC 9457). Lists are `{items, next_cursor}`; pass the cursor
back as `cursor`. Times are ISO 8601 in UTC, amounts US dollars.
"""


def create_app(
    client: PoolClient,
    keys: Keys,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    claude: ClaudeSettings | None = None,
    credential_env: Sequence[str] = (),
    is_cluster: bool = False,
    clock: Callable[[], datetime] = now_in_utc,
    tracing: Tracing = OFF,
) -> FastAPI:
    """The application that serves ``client`` to the owners of ``keys``. Where subscriptions may be
    on other machines (``is_cluster``), what they need is not looked for on this one.
    """
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=HANDLERS,
        routes=list(_routes().routes),
    )
    app.state.client = client
    app.state.authenticator = Authenticator(keys, client, clock)
    app.state.http_metrics = HttpMetrics()
    app.state.claude = claude or ClaudeSettings()
    app.state.credential_env = tuple(credential_env)
    app.state.is_cluster = is_cluster
    app.add_middleware(ContentCoding, limit=max_body_bytes)
    app.add_middleware(BodyLimit, limit=max_body_bytes)
    app.add_middleware(Authentication, authenticator=app.state.authenticator)
    app.add_middleware(HeadLimit)
    app.add_middleware(Answering, clock=clock, error_format_of=error_format_of)
    app.add_middleware(Traced, tracing=tracing)
    app.add_middleware(Measured, metrics=app.state.http_metrics)
    app.add_middleware(RequestIds)
    app.add_middleware(SecurityHeaders)
    serve_docs(app)
    serve_page(app)
    app.openapi = _document  # type: ignore[method-assign] # the way that FastAPI documents
    return app


@cache
def _routes() -> APIRouter:
    """All routes, once: what FastAPI works out of them, at first use, takes 0.1 s, and is the same
    for every application.
    """
    router = APIRouter()
    for each in (executions, messages, chat, responses, models, subscriptions, pool):
        router.include_router(each.routes)
    for each in (alerts, backups, probes, reconciliations, capacity, routing, sessions):
        router.include_router(each.routes)
    for each in (telemetry, events, metrics, nodes, usage):
        router.include_router(each.routes)
    router.include_router(key_routes)
    return router


_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


@cache
def _document() -> dict[str, Any]:
    """The OpenAPI document, which says that errors are problems. Once: it takes a second, and is
    the same for every application.
    """
    schema = get_openapi(
        title=TITLE,
        version=version("claude-subscription-pool"),
        description=DESCRIPTION,
        routes=_routes().routes,
    )
    known = schema["components"]["schemas"]
    own = {**event_schemas(), **events.happening_schemas(), **stream_schemas()}
    known.update({**own, **known})
    for path in schema["paths"].values():
        for operation in path.values():
            _retyped(operation["responses"])
            _bounded(operation)
    return schema


def _retyped(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        content = response.get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        is_own = schema.get("$ref", "").rpartition("/")[2] in SHAPES
        if int(status) >= 400 and schema and not is_own:
            content[MEDIA_TYPE] = content.pop("application/json")


def _bounded(operation: dict[str, Any]) -> None:
    """Say what may befall any request before its route: a head too large or of two meanings, too
    many keys that are not known, a body too slow.
    """
    responses = operation["responses"]
    content = responses.get("500", {}).get("content", _PROBLEM)
    for status in (400, 408, 429, 431) if "requestBody" in operation else (400, 429, 431):
        description = documented(status)[status]["description"]
        responses.setdefault(str(status), {"description": description, "content": content})
