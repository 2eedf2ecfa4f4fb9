"""The HTTP application: routes over a ``PoolClient``, and the layers every request goes through.

From the outside in: errors become problems, callers are known, bodies are bounded, then a route.
Nothing here knows where the pool runs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from actors.client import PoolClient, now_in_utc
from api.body import MAX_BODY_BYTES, BodyLimit
from api.keys import Authentication, Keys
from api.problems import HANDLERS, MEDIA_TYPE, Answering
from api.routes import backups, executions, pool, probes, subscriptions

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
    clock: Callable[[], datetime] = now_in_utc,
) -> FastAPI:
    """The application that serves ``client`` to the owners of ``keys``."""
    app = FastAPI(
        title="Claude subscription pool",
        description=DESCRIPTION,
        version=version("claude-subscription-pool"),
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=HANDLERS,
    )
    app.state.client = client
    for each in (executions, subscriptions, pool, backups, probes):
        app.include_router(each.routes)
    app.add_middleware(BodyLimit, limit=max_body_bytes)
    app.add_middleware(Authentication, keys=keys)
    app.add_middleware(Answering, clock=clock)
    _document(app)
    return app


def _document(app: FastAPI) -> None:
    """Let the OpenAPI document say that errors are problems."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            for path in schema["paths"].values():
                for operation in path.values():
                    _retyped(operation["responses"])
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # the way that FastAPI documents


def _retyped(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        content = response.get("content", {})
        if int(status) >= 400 and "application/json" in content:
            content[MEDIA_TYPE] = content.pop("application/json")
