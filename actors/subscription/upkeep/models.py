"""The models of a subscription's CLI: at activation as it told them within the last half hour, or
else asked for; and asked for every hour.

The CLI may be updated while the pool runs, and the models of an account may change. Nothing waits
for the answer: until there is one, the pool takes any name that a model may have.
"""

from __future__ import annotations

import logging

from actors.aiokit import every
from actors.subscription.context import SubscriptionContext
from pool.errors import ConfigError

log = logging.getLogger(__name__)

ASK_SECONDS = 3600.0
"""An answer takes 0.3 s of one CPU."""
RETRY_SECONDS = 60.0
"""While it has said nothing yet: somebody may be installing it, or signing in. Then twice as long
each time, up to the hour."""


async def learn_models(context: SubscriptionContext) -> None:
    """Let the report say which models the CLI offers, for as long as this activation lasts."""
    pause = RETRY_SECONDS

    async def learn() -> float | None:
        nonlocal pause
        await _learn(context)
        asked, pause = pause, min(2 * pause, ASK_SECONDS)
        return None if context.state.models else asked

    await every(ASK_SECONDS, learn, "models not learned")


async def _learn(context: SubscriptionContext) -> None:
    """What was known stays where the CLI cannot say."""
    try:
        environment = context.deps.environment(context.state.spec)
        models = await context.deps.runner.models(environment)
    except (ConfigError, OSError) as error:
        ids = {"subscription_id": context.state.spec.id}
        log.warning("models not learned", extra={**ids, "problem": str(error)})
        return
    if models != context.state.models:
        context.state.models = models
        context.changed()
