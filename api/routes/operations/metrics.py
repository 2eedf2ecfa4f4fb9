"""``/metrics``: the pool's figures for Prometheus.

They say what is spent, so a pool with keys gives them only to a key with the scope ``read``
(``authorization`` in a scrape configuration). The format is not JSON and the address is none of the
API's: it is not in the OpenAPI document.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from fastapi import APIRouter, Request, Response

from actors.client.client import PoolClient
from api.web.authentication import MayRead
from api.web.metrics import HttpMetrics, exposition, media_type
from api.web.request.arguments import Client
from pool.errors import PoolError

log = logging.getLogger(__name__)
routes = APIRouter(include_in_schema=False)

PATIENCE_SECONDS = 3.0
"""Shorter than a scrape may take: without the router there is still what this process saw."""


@routes.get("/metrics")
async def metrics(request: Request, client: Client, _: MayRead) -> Response:
    """Every figure, in the format that is asked for."""
    http = cast("HttpMetrics", request.app.state.http_metrics)
    chosen, openmetrics = media_type(request.headers.get("accept", ""))
    body = exposition(
        await _of_pool(client, openmetrics=openmetrics), http, openmetrics=openmetrics
    )
    return Response(body, headers={"Content-Type": chosen})


async def _of_pool(client: PoolClient, *, openmetrics: bool) -> str | None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await client.shown_figures(openmetrics=openmetrics)
    except (PoolError, TimeoutError) as error:
        log.warning("metrics without the pool's", extra={"problem": str(error)})
        return None
