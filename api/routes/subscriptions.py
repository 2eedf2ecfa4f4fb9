"""``/v1/subscriptions``: the registry, and what each subscription has spent."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from fastapi import APIRouter, Request, Response

from api.web.authentication import MayAdminister, MayRead, ways_to_present_a_key
from api.web.problems.problem import Responses, documented
from api.web.request.arguments import Client, Cursor, Limit, MaybeLimit, PathId
from api.web.request.body import JsonRoute
from pool.config import check_subscription, environment
from pool.errors import ConfigError, InvalidRequest
from pool.storage.paging import Page
from pool.subscriptions.health import Health
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionChange, SubscriptionSpec
from pool.usage.reported import RecordedUsage, ReportedUsage
from pool.usage.retraction import RetractedUsage, UsageToRetract
from pool.usage.shown_usage import ShownRecord
from pool.usage.totals import BlockReport
from pool.values import Instant

routes = APIRouter(
    prefix="/v1/subscriptions",
    tags=["subscriptions"],
    route_class=JsonRoute,
    dependencies=ways_to_present_a_key,
    responses=documented(401, 403, 404, 422, 500, 503),
)
_BODY = documented(400, 413, 415)
_KNOWN: Responses = {200: {"model": RecordedUsage, "description": "Counted before"}}


def _usable(
    spec: SubscriptionSpec, allowed: Sequence[str], *, is_cluster: bool
) -> SubscriptionSpec:
    """The specification with its directory in full. ``InvalidRequest`` where that is unusable, or
    its credential is in a variable that was not set apart for this: it would be sent to Anthropic.
    In a cluster the nodes are asked, as the subscription is placed.
    """
    name = "" if spec.credential is None else spec.credential.environment_name
    if name and not any(fnmatchcase(name, pattern) for pattern in allowed):
        problem = f"the variable {name} is not among those of server.credential_env in pool.toml"
        raise InvalidRequest("credential", f"{problem}: name one that is, or have it added there")
    if spec.config_dir is not None:
        config_dir = spec.config_dir.expanduser()
        if not config_dir.is_absolute():
            raise InvalidRequest("config_dir", "must be an absolute path on the pool's machine")
        spec = spec.model_copy(update={"config_dir": config_dir})
    try:
        if not is_cluster:
            check_subscription(spec, environment(), "")
    except ConfigError as error:
        raise InvalidRequest(error.field.removeprefix("."), error.problem) from None
    return spec


@routes.get("", response_model=Page[Report])
async def subscriptions(
    client: Client, _: MayRead, limit: MaybeLimit = None, cursor: Cursor = None
) -> Response:
    """Subscriptions with their latest reports, by id: all, unless a limit is named."""
    shown = await client.shown_subscriptions(limit=limit, cursor=cursor)
    return Response(shown, media_type="application/json")


@routes.post("", status_code=201, responses={**_BODY, **documented(409)})
async def add(
    spec: SubscriptionSpec, request: Request, response: Response, client: Client, _: MayAdminister
) -> Report:
    """Add a subscription while the pool runs. Its directory and the variable of its credential
    must exist where the pool runs, and the variable be one of `server.credential_env`.
    """
    state = request.app.state
    report = await client.add(_usable(spec, state.credential_env, is_cluster=state.is_cluster))
    response.headers["Location"] = f"/v1/subscriptions/{report.id}"
    return report


@routes.get("/{subscription_id}")
async def subscription(subscription_id: PathId, client: Client, _: MayRead) -> Report:
    """One subscription."""
    return await client.subscription(subscription_id)


@routes.patch("/{subscription_id}", responses=_BODY)
async def change(
    subscription_id: PathId, wanted: SubscriptionChange, client: Client, _: MayAdminister
) -> Report:
    """Change settings. One that stands in `pool.toml` has those of the file after a restart."""
    return await client.change(subscription_id, wanted)


@routes.delete("/{subscription_id}", status_code=204, responses=documented(409))
async def remove(subscription_id: PathId, client: Client, _: MayAdminister) -> None:
    """Drain a subscription and forget it; its records stay on disk. 409 while it has work."""
    await client.remove(subscription_id)


@routes.post("/{subscription_id}/pause")
async def pause(subscription_id: PathId, client: Client, _: MayAdminister) -> Report:
    """Take no new work; what runs or waits goes on."""
    return await client.pause(subscription_id)


@routes.post("/{subscription_id}/resume")
async def resume(subscription_id: PathId, client: Client, _: MayAdminister) -> Report:
    """Take work again, after a pause, a drain or a cooldown."""
    return await client.resume(subscription_id)


@routes.post("/{subscription_id}/drain")
async def drain(subscription_id: PathId, client: Client, _: MayAdminister) -> Report:
    """End what runs or waits, and take nothing new: the step before removal."""
    return await client.drain(subscription_id)


@routes.get("/{subscription_id}/usage")
async def usage(
    *,
    subscription_id: PathId,
    client: Client,
    _: MayRead,
    since: Instant | None = None,
    until: Instant | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ShownRecord]:
    """Usage records with `since <= timestamp < until`, newest first."""
    return await client.usage(subscription_id, limit=limit, cursor=cursor, since=since, until=until)


@routes.post("/{subscription_id}/usage", status_code=201, responses={**_KNOWN, **_BODY})
async def report_usage(
    subscription_id: PathId,
    reported: ReportedUsage,
    response: Response,
    client: Client,
    _: MayAdminister,
) -> RecordedUsage:
    """Count usage from outside the pool: 201 when added, 200 when its id was counted before."""
    recorded = await client.report_usage(subscription_id, reported)
    response.status_code = 201 if recorded.added else 200
    return recorded


@routes.post("/{subscription_id}/usage/retract", responses=_BODY)
async def retract_usage(
    subscription_id: PathId, wanted: UsageToRetract, client: Client, caller: MayAdminister
) -> RetractedUsage:
    """Take usage from outside back: records by their `ids`, or all of a `source` (`external`,
    `outside`) with `since <= timestamp < until`, 500 at a time (`more`). Each once; it stays in the
    list, with `retracted`, beside the record that takes it away.
    """
    return await client.retract_usage(subscription_id, wanted, by=caller.name)


@routes.get("/{subscription_id}/blocks")
async def blocks(
    subscription_id: PathId, client: Client, _: MayRead, limit: Limit = 50, cursor: Cursor = None
) -> Page[BlockReport]:
    """The blocks in which something was spent, newest first."""
    return await client.blocks(subscription_id, limit=limit, cursor=cursor)


@routes.get("/{subscription_id}/health")
async def health(subscription_id: PathId, client: Client, _: MayRead) -> Health:
    """The health score with its components, a sentence each."""
    return (await client.subscription(subscription_id)).health
