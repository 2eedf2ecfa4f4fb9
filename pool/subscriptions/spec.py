"""The specification of a subscription: who it is, how it signs in, how much it may spend.

Credentials are named, never held: a specification carries the name of an environment variable, or
relies on the login in the subscription's own config directory.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from pool.executions.request import SubscriptionId
from pool.money import Usd
from pool.values import Value

EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
NodeName = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Budget = Annotated[Usd, Field(gt=0, le=1_000_000, decimal_places=9)]


class Credential(Value):
    """The one environment variable that holds the subscription's secret."""

    oauth_token_env: EnvironmentName | None = None
    """A token made by ``claude setup-token``."""
    api_key_env: EnvironmentName | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Credential:
        if (self.oauth_token_env is None) == (self.api_key_env is None):
            raise ValueError("name exactly one of oauth_token_env and api_key_env")
        return self

    @property
    def environment_name(self) -> str:
        """The variable to read, in the pool's environment."""
        return self.oauth_token_env or self.api_key_env or ""

    @property
    def cli_name(self) -> str:
        """The variable that the CLI reads."""
        return "CLAUDE_CODE_OAUTH_TOKEN" if self.oauth_token_env else "ANTHROPIC_API_KEY"


class SubscriptionSettings(Value):
    """What may be changed while the subscription is in use (``PATCH``)."""

    email: str | None = Field(default=None, max_length=254)
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")] = "max"
    weekly_budget_usd: Budget = Decimal(456)
    expected_block_usd: Budget = Decimal(25)
    """What a full block is expected to cost: 100 percent of the local block percentage."""
    max_concurrent: Annotated[int, Field(ge=1, le=1000)] = 5
    max_queued: Annotated[int, Field(ge=0, le=100_000)] = 50
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Plan size: of two equally healthy subscriptions, work is shared in proportion to it."""
    tier: Annotated[int, Field(ge=1, le=9)] | None = None
    """A subscription of a later tier serves only what none of an earlier one can take. Absent: 1,
    and 2 for an ``api_key``, whose every token costs money."""
    reserve_percent: Annotated[float, Field(ge=0, le=100)] = 0
    """The share of Anthropic's windows that is kept for whoever else uses the account."""
    allow_overage: bool = False
    """Whether it may go on beyond Anthropic's windows, which costs real money."""

    @property
    def effective_tier(self) -> int:
        return self.tier if self.tier is not None else 2 if self.kind == "api_key" else 1


class SubscriptionSpec(SubscriptionSettings):
    """A subscription as it stands in ``pool.toml`` or in the body of ``POST /v1/subscriptions``."""

    id: SubscriptionId
    config_dir: Path | None = None
    """The CLI's own directory, with login and sessions. Absent: one below the data directory."""
    credential: Credential | None = None
    """Absent: the login in ``config_dir``."""
    node: NodeName | None = None
    """Where it is to be, of several nodes: one's own name, its host's, or a label ``key=value``."""


class SubscriptionChange(Value):
    """The body of ``PATCH``: what is absent stays as it is."""

    email: str | None = Field(default=None, max_length=254)
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")] | None = None
    weekly_budget_usd: Budget | None = None
    expected_block_usd: Budget | None = None
    max_concurrent: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_queued: Annotated[int, Field(ge=0, le=100_000)] | None = None
    weight: Annotated[float, Field(gt=0, le=1000)] | None = None
    tier: Annotated[int, Field(ge=1, le=9)] | None = None
    reserve_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    allow_overage: bool | None = None


def changed(spec: SubscriptionSpec, change: SubscriptionChange) -> SubscriptionSpec:
    """The specification with a change applied."""
    return spec.model_copy(update=change.model_dump(exclude_none=True))
