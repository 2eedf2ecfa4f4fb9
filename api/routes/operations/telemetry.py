"""``/v1/otlp/v1/logs``: what Claude Code reports of its own use, over OTLP/HTTP in JSON.

For programs that use a subscription beside the pool: ``CLAUDE_CODE_ENABLE_TELEMETRY=1``,
``OTEL_LOGS_EXPORTER=otlp``, ``OTEL_EXPORTER_OTLP_PROTOCOL=http/json``,
``OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`` this address, a key with the scope ``report`` in
``OTEL_EXPORTER_OTLP_HEADERS``, and the subscription as ``?subscription_id=`` or in
``OTEL_RESOURCE_ATTRIBUTES=pool.subscription_id=...``.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import Field

from api.web.authentication import MayReport, ways_to_present_a_key
from api.web.problems.problem import documented
from api.web.request.arguments import Client
from api.web.request.body import RoomyJsonRoute
from pool.claude.transcripts.telemetry import MAX_COST_USD, read_export
from pool.values import Value

routes = APIRouter(
    prefix="/v1/otlp/v1",
    tags=["subscriptions"],
    route_class=RoomyJsonRoute,
    dependencies=ways_to_present_a_key,
    responses=documented(400, 401, 403, 404, 413, 415, 422, 500, 503),
)


class PartialSuccess(Value):
    """What of an export was not taken; nothing, as a rule."""

    rejected: int = Field(default=0, serialization_alias="rejectedLogRecords")
    message: str = Field(default="", serialization_alias="errorMessage")


class ExportAnswer(Value):
    """The protocol's answer."""

    partial_success: PartialSuccess = Field(serialization_alias="partialSuccess")


@routes.post("/logs")
async def logs(
    export: Annotated[dict[str, Any], Body()],
    client: Client,
    _: MayReport,
    subscription_id: Annotated[str | None, Query(max_length=64)] = None,
) -> ExportAnswer:
    """Count the `claude_code.api_request` events of an export as use beside the pool, once each;
    everything else in it is passed over.
    """
    taken = await client.report_telemetry(read_export(export), subscription_id)
    message = (
        "each api_request needs session.id, model, a time, a subscription that this pool knows, "
        f"and cost_usd from 0 to {MAX_COST_USD:,.0f}"
    )
    partial = PartialSuccess(rejected=taken.rejected, message=message if taken.rejected else "")
    return ExportAnswer(partial_success=partial)
