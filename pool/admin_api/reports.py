"""The three reports, read from what Anthropic sends.

Lenient where something is added: unknown fields are passed over, and counts that came later
(how long a cache write lives) may be absent. Strict where something is counted: a token count that
is missing, or an amount that is no number, would look like use that never was, so the report is
refused with ``Unusable``. No I/O here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from pool.admin_api.problems import Unusable
from pool.money import nano_usd
from pool.reconciliation.problems import ProblemKind
from pool.usage.records import ModelUsage
from pool.values import Instant, Value

UNNAMED = "unnamed"
"""Stands for a model that a report leaves open."""
MAX_NAME = 100
"""Longer than any name that is known; names stand in the ids of records."""
_LARGEST = 10**15
_CENTS_PER_USD = 100


class UsageBucket(Value):
    """An hour of the messages usage report: tokens by model, no money."""

    starts_at: Instant
    models: dict[str, ModelUsage]


class CostRow(Value):
    """Of a day of the cost report, what one model (or one service, such as web search) cost."""

    workspace_id: str | None
    """None: the organization's default workspace."""
    subject: str
    cost_nano_usd: int


class CostBucket(Value):
    starts_at: Instant
    rows: tuple[CostRow, ...]


class PersonUsage(Value):
    """A line of the Claude Code report: what somebody used of a model on a day."""

    email: str
    model: str
    usage: ModelUsage
    """With the cost that Anthropic estimates."""


AnyBucket = TypeVar("AnyBucket", UsageBucket, CostBucket)


def complete(starts: Iterable[datetime], buckets: Iterable[AnyBucket]) -> dict[datetime, AnyBucket]:
    """The buckets by their start, in whatever order they came. ``Unusable`` where one that was
    asked for is missing, or came twice.
    """
    found: dict[datetime, AnyBucket] = {}
    for bucket in buckets:
        if bucket.starts_at in found:
            raise Unusable(ProblemKind.INCOMPLETE, "the report has a bucket twice")
        found[bucket.starts_at] = bucket
    if any(start not in found for start in starts):
        raise Unusable(ProblemKind.INCOMPLETE, "the report lacks a bucket that was asked for")
    return found


def usage_buckets(data: Iterable[Any]) -> tuple[UsageBucket, ...]:
    """The buckets of a page of the usage report."""
    return tuple(
        UsageBucket(starts_at=_instant(bucket), models=_by_model(_results(bucket)))
        for bucket in map(_object, data)
    )


def cost_buckets(data: Iterable[Any]) -> tuple[CostBucket, ...]:
    """The days of a page of the cost report."""
    return tuple(
        CostBucket(
            starts_at=_instant(bucket), rows=tuple(_cost_row(row) for row in _results(bucket))
        )
        for bucket in map(_object, data)
    )


def people(data: Iterable[Any]) -> tuple[PersonUsage, ...]:
    """The persons of a page of the Claude Code report; API keys are in the usage report already."""
    found: list[PersonUsage] = []
    for record in map(_object, data):
        actor = _object(record.get("actor"))
        email = actor.get("email_address")
        if isinstance(email, str):
            found.extend(_of_person(_name(email.lower()), record.get("model_breakdown")))
    return tuple(found)


def _by_model(results: Iterable[Mapping[str, Any]]) -> dict[str, ModelUsage]:
    models: dict[str, ModelUsage] = {}
    for row in results:
        name = _name(row.get("model"))
        models[name] = models.get(name, ModelUsage()) + _tokens(row)
    return models


def _tokens(row: Mapping[str, Any]) -> ModelUsage:
    written = _object(row.get("cache_creation") or {})
    return ModelUsage(
        input_tokens=_count(row, "uncached_input_tokens"),
        output_tokens=_count(row, "output_tokens"),
        cache_creation_input_tokens=_count(written, "ephemeral_5m_input_tokens", 0)
        + _count(written, "ephemeral_1h_input_tokens", 0),
        cache_read_input_tokens=_count(row, "cache_read_input_tokens", 0),
    )


def _cost_row(row: Mapping[str, Any]) -> CostRow:
    if row.get("currency", "USD") != "USD":
        raise Unusable(ProblemKind.MALFORMED, "an amount is in another currency than USD")
    workspace_id, model, kind = row.get("workspace_id"), row.get("model"), row.get("cost_type")
    return CostRow(
        workspace_id=None if workspace_id is None else _name(workspace_id),
        subject=_name(model) if model is not None else f"({_name(kind)})",
        cost_nano_usd=_nano_of_cents(row.get("amount")),
    )


def _of_person(email: str, breakdown: Any) -> Iterable[PersonUsage]:
    if not isinstance(breakdown, list):
        raise _malformed("model_breakdown")
    for each in map(_object, breakdown):
        tokens = _object(each.get("tokens"))
        usage = ModelUsage(
            input_tokens=_count(tokens, "input"),
            output_tokens=_count(tokens, "output"),
            cache_creation_input_tokens=_count(tokens, "cache_creation", 0),
            cache_read_input_tokens=_count(tokens, "cache_read", 0),
            cost_nano_usd=_nano_of_cents(_object(each.get("estimated_cost")).get("amount")),
        )
        yield PersonUsage(email=email, model=_name(each.get("model")), usage=usage)


def _malformed(field: str) -> Unusable:
    return Unusable(
        ProblemKind.MALFORMED,
        f"{field} is missing or in a form that is not known: nothing was concluded from it",
    )


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _malformed("an object")
    return value


def _results(bucket: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    results = bucket.get("results")
    if not isinstance(results, list):
        raise _malformed("results")
    return tuple(_object(row) for row in results)


def _instant(bucket: Mapping[str, Any]) -> datetime:
    try:
        found = datetime.fromisoformat(str(bucket.get("starting_at")))
    except ValueError:
        raise _malformed("starting_at") from None
    if found.tzinfo is None:
        raise _malformed("starting_at")
    return found.astimezone(UTC)


def _name(value: Any) -> str:
    """A name as it may stand in an id: printable ASCII, of bounded length."""
    if not isinstance(value, str) or not value:
        return UNNAMED
    return "".join(each if "!" <= each <= "~" else "?" for each in value)[:MAX_NAME]


def _count(row: Mapping[str, Any], field: str, default: int | None = None) -> int:
    value = row.get(field)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise _malformed(field)
    return value


def _nano_of_cents(amount: Any) -> int:
    if isinstance(amount, bool) or not isinstance(amount, str | int | float):
        raise _malformed("amount")
    try:
        cents = Decimal(str(amount))
    except InvalidOperation:
        raise _malformed("amount") from None
    if not cents.is_finite() or abs(cents) > _LARGEST:
        raise _malformed("amount")
    return nano_usd(cents / _CENTS_PER_USD)
