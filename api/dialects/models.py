"""``/v1/models``: one list that both SDKs read.

The pool serves patterns, not a list; what it can name is the model of requests that name none, what
the patterns spell out, and what its seats have used. Any model that a pattern allows is found by
its id, listed or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from pool.config import ClaudeSettings
from pool.report import Report
from pool.value import Instant, Value

_UNKNOWN = datetime.fromtimestamp(0, UTC)
_WILD = frozenset("*?[")


class Model(Value):
    """A model, in the fields of both APIs. When it was released is not known here: the epoch."""

    id: str
    type: Literal["model"] = "model"
    object: Literal["model"] = "model"
    display_name: str
    created_at: Instant = _UNKNOWN
    created: int = 0
    owned_by: str = "anthropic"
    lifecycle: Literal["active"] = "active"


class ModelList(Value):
    """All of them on one page."""

    object: Literal["list"] = "list"
    data: tuple[Model, ...]
    has_more: Literal[False] = False
    first_id: str
    last_id: str


def model(name: str) -> Model:
    return Model(id=name, display_name=name)


def models(claude: ClaudeSettings, reports: Iterable[Report]) -> ModelList:
    """The models that can be named, the default one first."""
    spelt_out = {pattern for pattern in claude.models if not _WILD & set(pattern)}
    used = {name for each in reports for name in each.totals.usage.models if claude.knows(name)}
    others = sorted((spelt_out | used) - {claude.model})
    listed = tuple(model(name) for name in (claude.model, *others))
    return ModelList(data=listed, first_id=listed[0].id, last_id=listed[-1].id)
