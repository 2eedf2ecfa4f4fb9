"""Names of models: one model is called by several.

A request asks for ``claude-sonnet-4-5``, the answer comes from ``claude-sonnet-4-5-20250929``; a
long context is asked for with ``[1m]``, and ``sonnet`` is the newest of its family. The CLI counts
under the name that was asked for, or the one that an alias stands for, Anthropic's reports under
the one that answered. Both are brought together by the plain name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import StringConstraints

from pool.usage.records import ModelUsage, Usage

MODEL_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,99}(\[1m\])?$")
ModelId = Annotated[str, StringConstraints(pattern=MODEL_ID)]
"""A model as callers may name it."""

FAMILIES = frozenset({"sonnet", "opus", "haiku", "fable"})
"""Each is an alias too, which the CLI resolves to the newest model of the family."""
_RELEASE = re.compile(r"(-\d{8}|-latest|@\d{8})?(\[1m\])?$")


def base_name(model: str) -> str:
    """A model without the date of its release."""
    return _RELEASE.sub("", model, count=1) or model


def plain_name(model: str) -> str:
    """A model without its long context."""
    return model.removesuffix("[1m]")


def family_of(model: str) -> str | None:
    """The family that a model is of, by its name."""
    return next((family for family in sorted(FAMILIES) if family in model.lower()), None)


def is_meant(model: str, patterns: Collection[str], runs_as: Collection[str] = frozenset()) -> bool:
    """Whether the patterns mean a model. An alias is meant where all is that it may run as, or,
    while that is not known, where the whole family is.
    """
    plain = plain_name(model)
    family = (f"claude-{plain}-",) if plain in FAMILIES else ()
    stands_for = runs_as or family
    return _matches(plain, patterns) or (
        bool(stands_for) and all(_matches(each, patterns) for each in stands_for)
    )


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def by_base_name(models: Mapping[str, ModelUsage]) -> dict[str, ModelUsage]:
    """The sums by ``base_name``."""
    found: dict[str, ModelUsage] = {}
    for name in sorted(models):
        base = base_name(name)
        found[base] = found.get(base, ModelUsage()) + models[name]
    return found


def plainly_named(usage: Usage) -> Usage:
    return Usage(models=by_base_name(usage.models))
