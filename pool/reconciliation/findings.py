"""A reconciliation: what the pool recorded and what Anthropic reports, side by side.

There is one for each organization, report and bucket (an hour of the usage report, a UTC day of the
other two), and its id says which. It holds both figures, their difference (remote less local) and a
verdict for each model; or why there is none. Agreement is only ever said of what was compared: a
Pro or Max subscription has no Admin API, and is ``not_reconcilable``, never ``match``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import StringConstraints

from pool.money import Usd
from pool.reconciliation.problems import ReportProblem
from pool.values import Instant, Value, instant_text

OrganizationId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$", max_length=40)
]
"""Short, because it stands in the ids of adjustments, before the name of a model."""


class ReportKind(StrEnum):
    USAGE = "usage"
    """Tokens by model, an hour at a time."""
    COST = "cost"
    """Dollars by model, a UTC day at a time."""
    CLAUDE_CODE = "claude_code"
    """Claude Code by person and model, a UTC day at a time."""

    @property
    def length(self) -> timedelta:
        """How long a bucket of the report is."""
        return timedelta(hours=1) if self is ReportKind.USAGE else timedelta(days=1)


class Bucket(Value):
    """What is reconciled at once."""

    organization_id: str
    kind: ReportKind
    starts_at: Instant

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + self.kind.length

    @property
    def id(self) -> str:
        return f"{self.organization_id}:{self.kind}:{instant_text(self.starts_at)}"


class Verdict(StrEnum):
    MATCH = "match"
    LOCAL_MISSING = "local_missing"
    """Anthropic saw what the pool has no record of: it was spent outside the pool."""
    REMOTE_MISSING = "remote_missing"
    """The pool recorded what Anthropic does not report."""
    DIFFERS = "differs"
    PENDING = "pending"
    NOT_RECONCILABLE = "not_reconcilable"


class ReconciliationState(StrEnum):
    PENDING = "pending"
    """It is due, or will be: ``next_attempt_at`` says when."""
    COMPARED = "compared"
    FAILED = "failed"
    """``problem`` says why; it is tried again."""
    NOT_RECONCILABLE = "not_reconcilable"
    """Nothing in it can ever be compared; the findings say why."""


class Figures(Value):
    """Tokens and money of one side. None where the report does not say, or no price is known."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cost_usd: Usd | None = None


class Finding(Value):
    """What was found of one model; of one person's, in the Claude Code report."""

    model: str | None = None
    """None: all of a subscription that cannot be compared."""
    email: str | None = None
    subscription_id: str | None = None
    local: Figures | None = None
    remote: Figures | None = None
    difference: Figures | None = None
    verdict: Verdict
    exceeds: bool = False
    """Whether the difference is beyond the threshold."""
    reason: str | None = None


class AdjustmentMade(Value):
    """A record that was appended to a ledger, and the figures that it rests on."""

    record_id: str
    subscription_id: str
    model: str
    added: Figures
    local: Figures | None
    remote: Figures | None
    made_at: Instant


class Reconciliation(Value):
    """One bucket of one report, as it stands."""

    id: str
    organization_id: str
    kind: ReportKind
    starts_at: Instant
    ends_at: Instant
    state: ReconciliationState = ReconciliationState.PENDING
    verdict: Verdict = Verdict.PENDING
    """The most notable one of the findings."""
    exceeds: bool = False
    """Whether a finding, or all of them together, are beyond the threshold."""
    difference_usd: Usd | None = None
    """Remote less local; None where a price is not known, or nothing was compared."""
    findings: tuple[Finding, ...] = ()
    problem: ReportProblem | None = None
    attempts: int = 0
    """In vain, since it was compared last."""
    checked_at: Instant | None = None
    next_attempt_at: Instant | None = None
    """None: nothing more is planned."""
    adjustments: tuple[AdjustmentMade, ...] = ()
    reversed_at: Instant | None = None
    """Since when its adjustments are taken back; nothing is adjusted here any more."""

    @property
    def bucket(self) -> Bucket:
        return Bucket(
            organization_id=self.organization_id, kind=self.kind, starts_at=self.starts_at
        )


def untouched(bucket: Bucket, due_at: datetime) -> Reconciliation:
    """A bucket that nobody has looked at yet."""
    return Reconciliation(
        id=bucket.id,
        organization_id=bucket.organization_id,
        kind=bucket.kind,
        starts_at=bucket.starts_at,
        ends_at=bucket.ends_at,
        next_attempt_at=due_at,
    )


class ReconciliationRange(Value):
    """The body of ``POST /v1/reconciliations``: what is to be compared now, or again."""

    starts_at: Instant
    ends_at: Instant
    organization_id: str | None = None
    """None: every organization."""


class ReconciliationOrder(Value):
    """What was ordered by it. The buckets stand in the list, and are looked at in the background:
    Anthropic asks for one poll a minute at most.
    """

    starts_at: Instant
    ends_at: Instant
    """Of whole hours and days; the list of this range holds what was ordered."""
    organizations: tuple[str, ...]
    buckets: int
