"""The pool's figures in the words of Prometheus.

What is shown is declared and written in ``pool.telemetry``, and nothing is counted twice: what
ledgers keep is read from reports, what subscriptions and routers count since they began comes from
their tallies, and begins anew with them, as Prometheus expects of counters; requests over HTTP are
counted here.
"""

from __future__ import annotations

import time

from prometheus_client.exposition import choose_encoder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pool.telemetry.counters import Durations, Timer
from pool.telemetry.exposition import OPENMETRICS_END, Ids, figure, histograms
from pool.telemetry.gauges import OTHER

_METHODS = {"GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"}
_HTTP = Timer(
    "http_request_seconds",
    "From a request over HTTP until its answer began, by the address's template.",
)


class HttpMetrics:
    """What this process answered over HTTP."""

    def __init__(self) -> None:
        self.seconds: dict[Ids, Durations] = {}
        """How long answers took to begin, by method, template of the address, and status."""

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        labels = (method if method in _METHODS else OTHER, route, str(status))
        self.seconds[labels] = self.seconds.get(labels, Durations()).having(seconds)


class Measured:
    """The layer that times requests. A stream has answered once it begins."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", OTHER)
                seconds = time.monotonic() - began
                self._metrics.observe(scope["method"], route, message["status"], seconds)
            await send(message)

        await self._app(scope, receive, measured)


def exposition(pool: str | None, http: HttpMetrics, *, openmetrics: bool = False) -> str:
    """The text of all metrics: of the pool, as its router has written them, and of this process.
    Without a router, of this process alone.
    """
    up = figure("router_up", "Whether the router answered.", pool is not None)
    own = histograms(_HTTP, ("method", "route", "status"), http.seconds)
    end = OPENMETRICS_END if openmetrics else ""
    return f"{up.text(openmetrics=openmetrics)}{pool or ''}{own.text(openmetrics=openmetrics)}{end}"


def media_type(accept: str) -> tuple[str, bool]:
    """The media type that is asked for, and whether that is OpenMetrics."""
    _, chosen = choose_encoder(accept)
    return chosen, "openmetrics" in chosen
