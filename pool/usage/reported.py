"""Usage that somebody reports to the pool: what was spent on a subscription outside the pool."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

from pydantic import Field, model_validator

from pool.errors import InvalidRequest
from pool.foreign_text import fit
from pool.money import Usd, nano_usd
from pool.usage.records import ModelUsage, Usage, UsageRecord, UsageSource
from pool.usage.shown_usage import ShownRecord
from pool.values import Instant, Value


class ReportedModelUsage(Value):
    """Usage of one model, reported from outside."""

    cost_usd: Usd = Field(ge=0, le=1_000_000, decimal_places=9)
    input_tokens: int = Field(default=0, ge=0, le=10**15)
    output_tokens: int = Field(default=0, ge=0, le=10**15)
    cache_creation_input_tokens: int = Field(default=0, ge=0, le=10**15)
    cache_read_input_tokens: int = Field(default=0, ge=0, le=10**15)


class ReportedUsage(Value):
    """The body of ``POST /v1/subscriptions/{id}/usage``: what was spent outside the pool."""

    id: str = Field(default_factory=lambda: uuid4().hex, min_length=1, max_length=150)
    """Unique for the usage: sent again, it is counted once."""
    timestamp: Instant | None = None
    """When it was spent; absent: now."""
    session_id: str | None = Field(default=None, max_length=100)
    models: dict[str, ReportedModelUsage] = Field(min_length=1, max_length=50)

    @model_validator(mode="before")
    @classmethod
    def _mended(cls, reported: Any) -> Any:
        """What no store could keep is replaced, as in all text that others wrote."""
        return fit(reported)


class RecordedUsage(Value):
    """The record that stands for reported usage, and whether this call added it."""

    record: ShownRecord
    added: bool


def record_of(subscription_id: str, reported: ReportedUsage, now: datetime) -> UsageRecord:
    """The usage record of what was reported; ``InvalidRequest`` for a time in the future."""
    timestamp = reported.timestamp or now
    if timestamp > now:
        raise InvalidRequest("timestamp", "lies in the future: report usage once it was spent")
    models = {
        name: ModelUsage(
            **each.model_dump(exclude={"cost_usd"}), cost_nano_usd=nano_usd(each.cost_usd)
        )
        for name, each in reported.models.items()
    }
    return UsageRecord(
        id=f"external:{reported.id}",
        subscription_id=subscription_id,
        timestamp=timestamp,
        source=UsageSource.EXTERNAL,
        session_id=reported.session_id,
        usage=Usage(models=models),
    )
