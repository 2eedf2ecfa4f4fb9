"""``/v1/reconciliations``: the pool's records beside Anthropic's reports."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.web.authentication import MayAdminister, MayReadAll, ways_to_present_a_key
from api.web.problems.problem import documented
from api.web.request.arguments import Client, Cursor, Limit, PathId
from api.web.request.body import JsonRoute
from pool.reconciliation.findings import (
    Reconciliation,
    ReconciliationOrder,
    ReconciliationRange,
    ReportKind,
)
from pool.storage.paging import Page
from pool.values import Instant

routes = APIRouter(
    prefix="/v1/reconciliations",
    tags=["reconciliations"],
    route_class=JsonRoute,
    dependencies=ways_to_present_a_key,
    responses=documented(401, 403, 404, 409, 422, 500, 503),
)


@routes.get("")
async def reconciliations(
    *,
    client: Client,
    _: MayReadAll,
    organization_id: Annotated[str | None, Query(max_length=100)] = None,
    kind: ReportKind | None = None,
    since: Instant | None = None,
    until: Instant | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Reconciliation]:
    """Those whose hour or day begins in `since <= start < until`, newest first. 409 where no
    organization is configured. They are about everybody: for `read_all`.
    """
    return await client.reconciliations(
        limit=limit,
        cursor=cursor,
        organization_id=organization_id,
        kind=kind,
        since=since,
        until=until,
    )


@routes.post("", status_code=202, responses=documented(400, 413, 415))
async def reconcile(
    wanted: ReconciliationRange, client: Client, _: MayAdminister
) -> ReconciliationOrder:
    """Have a range compared now, again where it was: at most 31 days. The results appear in the
    list as they come; Anthropic asks for a minute between two polls.
    """
    return await client.reconcile(wanted)


@routes.get("/{reconciliation_id}")
async def reconciliation(
    reconciliation_id: PathId, client: Client, _: MayReadAll
) -> Reconciliation:
    """One hour or day of one report of an organization, with its findings."""
    return await client.reconciliation(reconciliation_id)


@routes.post("/{reconciliation_id}/reverse")
async def reverse(reconciliation_id: PathId, client: Client, _: MayAdminister) -> Reconciliation:
    """Take its adjustments back, by further records, and adjust there no more."""
    return await client.reverse_adjustments(reconciliation_id)
