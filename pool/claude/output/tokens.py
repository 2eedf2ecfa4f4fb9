"""Reading the CLI's token counts, in every shape that it prints them.

The API's form is ``{"input_tokens": 100, ...}``; the CLI's per-model form is an object keyed by
model, ``{"m": {"inputTokens": 100, "costUSD": 0.0006}}``, or, in older notes, an array
``[{"model": "m", "inputTokens": 100, "cost": 0.0006}]``. What cannot be read counts as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pool.money import nano_usd
from pool.usage.records import ModelUsage, Usage

_MAX_USD = 1e9


def count(value: Any) -> int:
    """A token count."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0
    return max(0, int(value))


def nano(value: Any) -> int:
    """Nano-dollars of an amount in US dollars: rounded here, once, and summed as integers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return nano_usd(value) if 0 <= value <= _MAX_USD else 0


def message_usage(usage: Any) -> ModelUsage:
    """Tokens in the form of the API; it prints no money."""
    fields = usage if isinstance(usage, dict) else {}
    return ModelUsage(**{name: count(fields.get(name)) for name in _API_FIELDS})


def hour_writes(usage: Any) -> int:
    """The tokens that a message wrote to the cache for an hour, not for five minutes."""
    written = usage.get("cache_creation") if isinstance(usage, dict) else None
    return count(written.get("ephemeral_1h_input_tokens")) if isinstance(written, dict) else 0


def terms(usage: Any) -> str:
    """What is unusual about a message's price: ``fast``, ``batch``, whatever else the API says."""
    words = [usage.get("speed"), usage.get("service_tier")] if isinstance(usage, dict) else []
    return " ".join(each for each in words if isinstance(each, str) and each not in _USUAL)


_USUAL = ("", "standard")
_API_FIELDS = (
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
)


def usage_by_model(printed: Any) -> Usage:
    """Tokens and money in the CLI's per-model form."""
    models: dict[str, ModelUsage] = {}
    for name, fields in _rows(printed):
        models[name] = models.get(name, ModelUsage()) + ModelUsage(
            input_tokens=count(fields.get("inputTokens")),
            output_tokens=count(fields.get("outputTokens")),
            cache_creation_input_tokens=count(fields.get("cacheCreationInputTokens")),
            cache_read_input_tokens=count(fields.get("cacheReadInputTokens")),
            cost_nano_usd=nano(fields.get("costUSD", fields.get("cost"))),
        )
    return Usage(models=models)


def _rows(printed: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(printed, dict):
        rows = list(printed.items())
    elif isinstance(printed, list):
        rows = [(row.get("model"), row) for row in printed if isinstance(row, dict)]
    else:
        rows = []
    for name, fields in rows:
        if isinstance(name, str) and isinstance(fields, dict):
            yield name, fields


def larger(one: ModelUsage, other: ModelUsage) -> ModelUsage:
    """The larger of each count: two sightings of the same message."""
    return ModelUsage(
        **{name: max(getattr(one, name), getattr(other, name)) for name in ModelUsage.model_fields}
    )
