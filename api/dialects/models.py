"""``/v1/models``: one list that both SDKs read.

It names the model of requests that name none, what the subscriptions' CLIs offer, what the pool has
used, and what the configuration spells out. Aliases stand in it by themselves, and a model names
its own. Any other name that a request may have is found by its id.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

from pool.routing.model_catalogue import Catalogue
from pool.usage.model_names import base_name
from pool.values import Instant, Value

_UNKNOWN = datetime.fromtimestamp(0, UTC)
_RELEASED = re.compile(r"[-@](20\d{6})(?:\[1m\])?$")


class Model(Value):
    """A model, in the fields of both APIs. It was released on the day that its id names; where none
    is named, at the epoch, by which Anthropic's API says that it does not know.
    """

    id: str
    type: Literal["model"] = "model"
    object: Literal["model"] = "model"
    display_name: str
    aliases: tuple[str, ...] = ()
    """Other names of it."""
    created_at: Instant = _UNKNOWN
    created: int = 0
    owned_by: str = "anthropic"
    lifecycle: Literal["active"] = "active"


class ModelList(Value):
    """All of them on one page."""

    object: Literal["list"] = "list"
    data: tuple[Model, ...]
    has_more: Literal[False] = False
    first_id: str | None
    last_id: str | None


def model(catalogue: Catalogue, name: str) -> Model:
    """A model by a name that the catalogue has found."""
    targets = catalogue.runs_as(name)
    is_one = len(targets) == 1
    released = _released_at(next(iter(targets)) if is_one else name)
    return Model(
        id=name,
        display_name=_title(name, targets),
        aliases=catalogue.aliases(name),
        created_at=released,
        created=int(released.timestamp()),
    )


def models(catalogue: Catalogue) -> ModelList:
    """The models that can be named, the default one first."""
    listed = tuple(model(catalogue, name) for name in catalogue.names)
    if not listed:  # a key may cover none of them
        return ModelList(data=(), first_id=None, last_id=None)
    return ModelList(data=listed, first_id=listed[0].id, last_id=listed[-1].id)


def _released_at(name: str) -> datetime:
    dated = _RELEASED.search(name)
    try:
        return datetime.strptime(dated[1], "%Y%m%d").replace(tzinfo=UTC) if dated else _UNKNOWN
    except ValueError:
        return _UNKNOWN


def _title(name: str, runs_as: frozenset[str]) -> str:
    """``Claude Sonnet 5.5`` for a model; an alias says which one it is."""
    if runs_as:
        return f"{name} ({' or '.join(sorted(map(_model_title, runs_as)))})"
    return _model_title(name)


def _model_title(name: str) -> str:
    maker, *words = base_name(name).split("-")
    family = [word for word in words if not word.isdigit()]
    if maker != "claude" or len(family) != 1:
        return name
    version = ".".join(word for word in words if word.isdigit())
    return f"Claude {family[0].capitalize()} {version}"
