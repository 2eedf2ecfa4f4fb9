"""Names of models: one model is called by several.

A request asks for ``claude-sonnet-4-5``, the answer comes from ``claude-sonnet-4-5-20250929``, and
a long context is asked for with ``[1m]``. The CLI counts under the name that was asked for,
Anthropic's reports under the one that answered. Both are brought together by the plain name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pool.usage import ModelUsage, Usage

_RELEASE = re.compile(r"(-\d{8}|-latest|@\d{8})?(\[1m\])?$")


def base_name(model: str) -> str:
    """A model without the date of its release."""
    return _RELEASE.sub("", model, count=1) or model


def by_base_name(models: Mapping[str, ModelUsage]) -> dict[str, ModelUsage]:
    """The sums by ``base_name``."""
    found: dict[str, ModelUsage] = {}
    for name in sorted(models):
        base = base_name(name)
        found[base] = found.get(base, ModelUsage()) + models[name]
    return found


def plainly_named(usage: Usage) -> Usage:
    return Usage(models=by_base_name(usage.models))
