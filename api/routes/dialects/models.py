"""``/v1/models``: what a client of either dialect may name as its model."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Request

from api.dialects.error_format import ModelsError, documented
from api.dialects.models import Model, ModelList, model, models
from api.web.authentication import MayLook, ways_to_present_a_key
from api.web.request.arguments import Client
from pool.config import ClaudeSettings
from pool.errors import UnknownModel
from pool.routing.model_catalogue import Catalogue, catalogue

routes = APIRouter(
    prefix="/v1/models",
    tags=["dialects"],
    dependencies=ways_to_present_a_key,
    responses=documented(ModelsError, 400, 401, 403, 422, 500, 503),
)


async def _catalogue(request: Request, client: Client, caller: MayLook) -> Catalogue:
    settings = cast("ClaudeSettings", request.app.state.claude)
    reports = await client.subscriptions()
    return catalogue(settings.model, settings.models, reports, caller.sees.models)


Known = Annotated[Catalogue, Depends(_catalogue)]
ModelPath = Annotated[str, Path(max_length=200, description="The model's id or alias.")]


@routes.get("/", include_in_schema=False)
@routes.get("")
async def listed(known: Known) -> ModelList:
    """The model of requests that name none, and all that the pool offers or has used, as far as the
    key covers them.
    """
    return models(known)


@routes.get("/{model_id:path}", responses=documented(ModelsError, 404))
async def one(model_id: ModelPath, known: Known) -> Model:
    """A model that this pool serves, listed or not."""
    wanted = model_id.rstrip("/")
    name = known.find(wanted)
    if name is None:
        raise UnknownModel(wanted, known.nearest(wanted))
    return model(known, name)
