"""The correction of an execution: usage that is found after its end, counted next to it.

An execution is corrected once, under an id that is made of its own: who finds the same usage again
adds nothing (G3).
"""

from __future__ import annotations

from actors.subscription.context import SubscriptionContext
from pool.executions.intent import Intent
from pool.usage.records import Usage, UsageRecord, UsageSource, tags_of


async def correct(
    context: SubscriptionContext, intent: Intent, usage: Usage, source: UsageSource
) -> None:
    """Record what an execution cost beyond what was recorded at its end."""
    record = UsageRecord(
        id=f"{intent.execution_id}:correction",
        subscription_id=context.state.spec.id,
        timestamp=context.now(),
        source=source,
        execution_id=intent.execution_id,
        session_id=intent.session_id,
        caller=intent.caller or None,
        tenant=intent.tenant,
        tags=tags_of(intent.request.metadata, context.deps.policy.tags),
        usage=usage,
    )
    if await context.ledger.record(record):
        context.state.spend(record)
        context.recorder.recorded(record)
        context.changed()
