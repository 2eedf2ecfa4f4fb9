"""``/v1/models``: what a client of either dialect may name as its model."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Request

from api.dialects.models import Model, ModelList, model, models
from api.dialects.telling import ModelsError, documented
from api.keys import MayRead, ways_to_present_a_key
from api.routes.arguments import Client
from pool.config import ClaudeSettings
from pool.errors import NotFound

routes = APIRouter(
    prefix="/v1/models",
    tags=["dialects"],
    dependencies=ways_to_present_a_key,
    responses=documented(ModelsError, 400, 401, 403, 422, 500, 503),
)


def _claude(request: Request) -> ClaudeSettings:
    return cast("ClaudeSettings", request.app.state.claude)


Claude = Annotated[ClaudeSettings, Depends(_claude)]
ModelPath = Annotated[str, Path(max_length=200, description="The model's id or alias.")]


@routes.get("")
async def listed(client: Client, claude: Claude, _: MayRead) -> ModelList:
    """The model of requests that name none, those that are configured, and those in use."""
    return models(claude, await client.subscriptions())


@routes.get("/{model_id:path}", responses=documented(ModelsError, 404))
async def one(model_id: ModelPath, claude: Claude, _: MayRead) -> Model:
    """A model that this pool serves, listed or not."""
    if not claude.knows(model_id):
        raise NotFound("model", model_id)
    return model(model_id)
