"""Usage: tokens and money, by model, and the record that keeps them.

A usage record is the pool's unit of account. It is written once, under an id that is unique for
the run it describes, so that the same evidence read twice counts once (G3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from pydantic import Field, model_validator

from pool.money import Usd, usd
from pool.values import Instant, Value


class ModelUsage(Value):
    """Tokens and cost of one model, as the CLI counted them for one run. Below nothing only in a
    difference; of the records, those of adjustments and retractions alone may hold one.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    cost_nano_usd: int = 0

    @property
    def takes_away(self) -> bool:
        """Whether a figure is below nothing."""
        figures = (
            self.input_tokens,
            self.output_tokens,
            self.cache_creation_input_tokens,
            self.cache_read_input_tokens,
            self.cost_nano_usd,
        )
        return min(figures) < 0

    def __add__(self, other: ModelUsage) -> ModelUsage:
        return ModelUsage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_creation_input_tokens=self.cache_creation_input_tokens
            + other.cache_creation_input_tokens,
            cache_read_input_tokens=self.cache_read_input_tokens + other.cache_read_input_tokens,
            cost_nano_usd=self.cost_nano_usd + other.cost_nano_usd,
        )


class Usage(Value):
    """Usage by model. Addition is per model, exact, and independent of order."""

    models: dict[str, ModelUsage] = Field(default_factory=dict)

    @property
    def total(self) -> ModelUsage:
        return sum(self.models.values(), ModelUsage())

    @property
    def cost_nano_usd(self) -> int:
        return sum(model.cost_nano_usd for model in self.models.values())

    def __add__(self, other: Usage) -> Usage:
        names = sorted({*self.models, *other.models})
        nothing = ModelUsage()
        return Usage(
            models={
                name: self.models.get(name, nothing) + other.models.get(name, nothing)
                for name in names
            }
        )


class UsageSource(StrEnum):
    """Where a figure comes from (G11)."""

    CLI = "cli"
    """The ``result`` message of a run this pool made."""
    PARTIAL = "partial"
    """What was seen of a run that ended without a result: a lower bound of tokens and cost."""
    EXTERNAL = "external"
    """Reported to the pool by somebody else."""
    OUTSIDE = "outside"
    """Seen of the subscription's use outside the pool: in transcripts, or reported by Claude Code
    itself."""
    ADJUSTMENT = "adjustment"
    """What Anthropic's report says beyond the records; or less than they do, then negative."""


MAX_TAGS = 10
"""Keys of metadata that records may keep."""
MAX_TAG_CHARACTERS = 100
"""Of a value; a longer one is cut."""


def tags_of(metadata: Mapping[str, str], wanted: Iterable[str]) -> dict[str, str]:
    """What of a request's metadata its usage is kept by."""
    return {name: metadata[name][:MAX_TAG_CHARACTERS] for name in wanted if name in metadata}


class Call(Value):
    """The call of the API that a record is of, by the names that its witnesses have for it."""

    message_id: str | None = None
    """Of its answer: unique for ever."""
    request_ids: tuple[str, ...] = ()
    """Several where the same answer was kept under the requests of others that had a copy of it."""


class RunSize(Value):
    """What a run was given to do, as far as its cost hangs on it."""

    model: str
    input_tokens: int
    """Of what it was asked and of the history that it went on from; an estimate, rather too high:
    bytes are known before a run, and tokens after it.
    """
    uses_tools: bool = False


class Retraction(Value):
    """That usage was taken back."""

    of: str
    """The id of the record that was."""
    at: Instant
    by: str
    """The name of the key; empty where none stands behind it."""
    reason: str | None = None


class UsageRecord(Value):
    """What one run cost. ``timestamp`` is the instant it was settled, which decides its block."""

    id: str = Field(min_length=1, max_length=200)
    subscription_id: str
    timestamp: Instant
    source: UsageSource = UsageSource.CLI
    execution_id: str | None = None
    session_id: str | None = None
    caller: str | None = None
    """The name of the key whose request it was; None where no key stands behind it, and in records
    that were kept before it was noted."""
    tenant: str | None = None
    """Whom it was spent for; None where no key stands behind it."""
    call: Call | None = None
    """Of usage outside the pool; None in records that were kept before it was noted."""
    tags: dict[str, str] = Field(default_factory=dict)
    """Of the request's ``metadata`` those that ``pool.tags`` named; empty in records that were kept
    before, and of usage outside the pool."""
    size: RunSize | None = None
    """Of a run of the pool's own; None in records that were kept before it was noted."""
    retracted: Retraction | None = None
    """It was taken back: another record takes away what this one adds."""
    retraction: Retraction | None = None
    """It takes away what another one has added."""
    usage: Usage = Usage()

    @property
    def belongs_to(self) -> str | None:
        """The tenant that sees it. Before there were tenants, each key was one by itself."""
        return self.tenant or self.caller

    @model_validator(mode="after")
    def _adds(self) -> UsageRecord:
        takes_away = any(model.takes_away for model in self.usage.models.values())
        if takes_away and self.source is not UsageSource.ADJUSTMENT and self.retraction is None:
            raise ValueError("usage below nothing belongs to adjustments and retractions alone")
        return self


class ModelUsageReport(Value):
    """A model's usage as it is shown."""

    cost_usd: Usd
    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int


class UsageReport(ModelUsageReport):
    """Usage as it is shown: the totals and the models they are made of."""

    models: dict[str, ModelUsageReport]


def _shown(usage: ModelUsage) -> ModelUsageReport:
    figures = usage.model_dump(exclude={"cost_nano_usd"})
    return ModelUsageReport(cost_usd=usd(usage.cost_nano_usd), **figures)


def usage_report(usage: Usage) -> UsageReport:
    """Usage as it is shown, in US dollars."""
    return UsageReport(
        **_shown(usage.total).model_dump(),
        models={name: _shown(model) for name, model in usage.models.items()},
    )
