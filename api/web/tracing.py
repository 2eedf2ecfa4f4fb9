"""The layer in which a request over HTTP becomes a span, in the trace that its caller names.

A caller names its trace by the header ``traceparent`` (W3C Trace Context). Only what is asked of
the API is traced: neither probes nor scrapes, nor ``/v1/events``, which never ends.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from actors.telemetry.tracing import Tracing, within
from api.web.request.request_id import request_id_of

_ENDLESS = "/v1/events"


class Traced:
    """Gives requests their spans. Stands inside ``RequestIds``."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path"))
        if scope["type"] != "http" or not path.startswith("/v1/") or path == _ENDLESS:
            await self._app(scope, receive, send)
            return
        parent = Headers(scope=scope).get("traceparent")
        ids = {"http.request.method": scope["method"], "request_id": request_id_of(scope)}
        with self._tracing.span("request", parent, **ids) as trace, within(trace):
            await self._app(scope, receive, send)
