"""Values that most tests begin with: an instant, a model, what a run costs, a specification."""

from __future__ import annotations

from datetime import UTC, datetime

from pool.executions.outcome import Completed
from pool.money import nano_usd
from pool.subscriptions.reporting import SubscriptionPolicy
from pool.subscriptions.spec import SubscriptionSpec
from pool.usage.records import ModelUsage, Usage

NOON = datetime(2026, 1, 28, 12, 0, tzinfo=UTC)


SONNET = "claude-sonnet-4-5"


def usage_of(cost_usd: str = "0.0006", model: str = SONNET) -> Usage:
    return Usage(
        models={
            model: ModelUsage(input_tokens=100, output_tokens=20, cost_nano_usd=nano_usd(cost_usd))
        }
    )


def completed(result: str = "yes", cost_usd: str = "0.0006") -> Completed:
    return Completed(result=result, usage=usage_of(cost_usd), num_turns=1, model=SONNET)


POLICY = SubscriptionPolicy(tags=("project",))


def spec(id_: str = "sub1", **settings: object) -> SubscriptionSpec:
    return SubscriptionSpec.model_validate(
        {"id": id_, "credential": {"oauth_token_env": "SUB_TOKEN"}, **settings}
    )
