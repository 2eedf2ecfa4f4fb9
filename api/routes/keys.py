"""``/v1/keys``: who may call, how much, and until when. For administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.web.authentication import MayAdminister, ways_to_present_a_key
from api.web.problems.problem import documented
from api.web.request.arguments import Client
from api.web.request.body import JsonRoute
from pool.keys.api_keys import (
    DEFAULT_GRACE_SECONDS,
    LONGEST_GRACE_SECONDS,
    IssuedKey,
    KeySpec,
    ShownKey,
)
from pool.storage.paging import Page

routes = APIRouter(
    prefix="/v1/keys",
    tags=["keys"],
    route_class=JsonRoute,
    dependencies=ways_to_present_a_key,
    responses=documented(401, 403, 500, 503),
)

Grace = Annotated[
    float,
    Query(
        ge=0,
        le=LONGEST_GRACE_SECONDS,
        allow_inf_nan=False,
        description="For how long the old secret stays valid.",
    ),
]
KeyId = Annotated[
    str,
    Path(
        pattern=r"^(config:[A-Za-z0-9._-]{1,64}|[A-Za-z0-9]{1,64})$",
        description="The key's id; never the key itself.",
    ),
]
_SECRET = {"Cache-Control": "no-store"}


@routes.get("")
async def keys(client: Client, _: MayAdminister) -> Page[ShownKey]:
    """Every key with its limits and what it has used; those of `pool.toml` first."""
    return Page[ShownKey](items=await client.keys())


@routes.post("", status_code=201, responses=documented(400, 409, 413, 415, 422))
async def create(spec: KeySpec, response: Response, client: Client, _: MayAdminister) -> IssuedKey:
    """Make a key. Its `secret` is in this answer and nowhere else: the pool keeps its digest."""
    response.headers.update(_SECRET)
    return await client.create_key(spec)


@routes.post("/{key_id}/rotate", responses=documented(404, 409, 422))
async def rotate(
    key_id: KeyId,
    response: Response,
    client: Client,
    _: MayAdminister,
    grace_seconds: Grace = DEFAULT_GRACE_SECONDS,
) -> IssuedKey:
    """Give a key a new secret. The old one goes on for a while, so that callers can change over."""
    response.headers.update(_SECRET)
    return await client.rotate_key(key_id, grace_seconds=grace_seconds)


@routes.delete("/{key_id}", status_code=204, responses=documented(404, 409, 422))
async def revoke(key_id: KeyId, client: Client, _: MayAdminister) -> None:
    """Let a key open nothing any more, within two seconds; its open streams end. What it has
    running goes on. 409 for the last one that may administer.
    """
    await client.revoke_key(key_id)
