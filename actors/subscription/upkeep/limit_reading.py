"""Readings of a subscription's limits without a run, so that its windows stay young while nothing
runs there, and are known before a request tries whether a cooldown is over.

A subscription that signs in with a token or a key is not asked: the CLI says of those that nothing
can be had (tried on 2.1.332), and its limits are known from what its runs tell.
"""

from __future__ import annotations

import logging
import random
from datetime import datetime

from actors.aiokit import every
from actors.subscription.context import SubscriptionContext
from pool.errors import ConfigError, StoreError
from pool.limits.usage_reading import NoProfile, ReadingSchedule
from pool.subscriptions.consequences.standing import active_cooldown

log = logging.getLogger(__name__)

LOOK_SECONDS = 20.0
FIRST_SECONDS = 60.0
"""By then every subscription that comes up with the others has asked, at an instant of its own."""
OF_A_SETUP = "it signs in with a token of claude setup-token, which has no profile"
OF_A_KEY = "it signs in with an API key, which has no such limits"
OF_NO_PROFILE = "its login has no profile"


class LimitReading:
    """The readings of one subscription's limits."""

    def __init__(self, context: SubscriptionContext) -> None:
        self._context = context
        self._schedule = ReadingSchedule()
        self._jitter = random.random()  # noqa: S311 - nobody is to guess it, or needs to

    async def read(self) -> None:
        """Keep the windows young, for as long as this activation lasts."""
        credential = self._context.state.spec.credential
        if credential is not None:
            is_token = credential.oauth_token_env is not None
            self._cannot(OF_A_SETUP if is_token else OF_A_KEY)
            return
        first = FIRST_SECONDS * self._jitter

        async def look() -> float | None:
            nonlocal first
            if first:
                pause, first = first, 0.0
                return pause
            await self._look()
            return None

        await every(LOOK_SECONDS, look, "limits not read")

    async def _look(self) -> None:
        context, now = self._context, self._context.now()
        if context.state.retired or context.state.suspended:
            return
        cooldown = active_cooldown(context.state.standing, now)
        is_due = self._schedule.is_due(
            *(now, self._jitter),
            heard_at=_heard_at(context),
            used_at=context.state.last_request_at,
            probe_at=cooldown.until if cooldown is not None else None,
        )
        if not is_due:
            return
        self._jitter = random.random()  # noqa: S311 - as above
        has_answered = await self._ask()
        self._schedule = self._schedule.asked(now, has_answered=has_answered)

    async def _ask(self) -> bool:
        """Whether there was an answer; one that says no is one."""
        context, ids = self._context, {"subscription_id": self._context.state.spec.id}
        try:
            environment = context.deps.environment(context.state.spec)
            reading = await context.deps.runner.usage(environment, context.now())
            if isinstance(reading, NoProfile):
                self._cannot(OF_NO_PROFILE)
                return True
            await context.ledger.observe((reading.event,))
        except StoreError as error:
            context.trouble(error)
            return False
        except (ConfigError, OSError) as error:
            log.warning("limits not read", extra={**ids, "problem": str(error)})
            return False
        context.state.observe((reading.event,))
        context.state.extra_usage = reading.extra_usage
        context.state.limits_unreadable = None
        context.state.limits_read_at = reading.event.observed_at
        context.changed()
        return True

    def _cannot(self, why: str) -> None:
        if self._context.state.limits_unreadable != why:
            self._context.state.limits_unreadable = why
            self._context.changed()


def _heard_at(context: SubscriptionContext) -> datetime | None:
    """When one of the account's windows was seen last, with its figure."""
    seen = (
        window.utilization_at or window.observed_at
        for window in context.state.windows.values()
        if window.models is None and window.utilization is not None
    )
    return max(seen, default=None)
