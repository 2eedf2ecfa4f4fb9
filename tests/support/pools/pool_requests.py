"""Builders of what happens to subscriptions: failures that blame them, and requests to a pool
of them."""

from __future__ import annotations

from datetime import datetime, timedelta

from pool.executions.execution import Execution
from pool.executions.outcome import Failed, FailureKind
from pool.executions.request import ExecutionRequest
from pool.limits.windows import RateLimitEvent
from pool.subscriptions.report import Report
from pool.usage.records import Usage
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON


def ask(prompt: str = "q", **of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": prompt} | of)


def failed(kind: FailureKind, usage: Usage | None = None) -> Failed:
    return Failed(kind=kind, message=f"{kind.value} there", usage=usage or Usage())


def limit(resets_at: datetime = NOON + timedelta(hours=1)) -> Failed:
    """The subscription's five-hour window is used up."""
    event = RateLimitEvent(
        observed_at=NOON, status="rejected", type="five_hour", resets_at=resets_at
    )
    return Failed(kind=FailureKind.USAGE_LIMIT, message="limit", limits=(event,))


async def report_of(pool: LocalPool, subscription_id: str) -> Report:
    """The report of a subscription, from itself and at this instant."""
    return await pool.actors.subscription(subscription_id).next_report(-1, -1, 0)


async def later(pool: LocalPool, by: timedelta) -> None:
    """Let time pass, and have the router hear of everybody again, as it does all the time."""
    pool.clock.advance(by)
    for id_ in tuple(pool.actors.subscriptions):
        pool.router._followers.remember(await report_of(pool, id_))


async def runs_at(pool: LocalPool, subscription_id: str, prompt: str = "first") -> Execution:
    """A request that was answered there; its session lives there."""
    return await pool.client.execute(ask(prompt, subscription_id=subscription_id))


async def stop_for(pool: LocalPool, subscription_id: str, outcome: Failed | None = None) -> None:
    """Have a subscription's cooldown begin, by the failure of a run of its own."""
    pool.runner.scripts[subscription_id] = [outcome or limit()]
    await pool.client.execute(ask("stops it", subscription_id=subscription_id))
