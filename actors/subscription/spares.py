"""Spares of a subscription: processes that are started ahead of the sessions that will begin here.

How many there are follows from how many sessions began lately: none where nothing does. An
execution that begins a session at once, without tools and whatever else a spare cannot take,
takes the session id of a spare with its admission, before it is durable: its process has that id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque

from actors.aiokit import every
from actors.subscription.context import SubscriptionContext
from pool.claude.launch.launch_spec import Launch
from pool.errors import ConfigError
from pool.executions.intent import Intent
from pool.executions.tools.permissions import AgentSettings
from pool.subscriptions.report import SubscriptionState

log = logging.getLogger(__name__)

TEND_SECONDS = 1.0
RECENT_SECONDS = 60.0
REST_SECONDS = 3600.0
_SERVING = {SubscriptionState.AVAILABLE, SubscriptionState.APPROACHING}


class SpareKeeper:
    """Promises spares to executions, and has them started."""

    def __init__(self, context: SubscriptionContext) -> None:
        self._context = context
        self._begun: deque[float] = deque(maxlen=1000)
        """When sessions began here that a spare could have served, on the monotonic clock."""
        self._model: str | None = None
        self._begins = asyncio.Event()
        """Cuts a rest short in which nothing began."""
        self._rests = True

    async def promised(self, intent: Intent, launch: Launch) -> str | None:
        """The session that an execution is to begin, where a process is there for it: one that was
        cleared of another session, or a spare. None where it has to start one.
        """
        self._begun.append(time.monotonic())
        self._model = intent.model
        if self._rests:
            self._begins.set()
        try:
            environment = self._context.deps.environment(self._context.state.spec)
            return await self._context.deps.runner.promise(launch, environment)
        except ConfigError:  # its start will say so
            return None
        except Exception:  # a defect must not keep the slot: it starts a process of its own
            log.exception("no process was promised", extra={"execution_id": intent.execution_id})
            return None

    async def tend(self) -> None:
        """Have as many spares as are needed, for as long as this activation lasts."""
        await every(TEND_SECONDS, self._tend, "spares not tended", wake=self._begins)

    async def _tend(self) -> float | None:
        """How long to wait until the next time, where that is longer than as a rule."""
        context, self._rests = self._context, False
        if self._model is None or context.takes_no_more:
            return self._rest()
        recent = sum(time.monotonic() - at < RECENT_SECONDS for at in self._begun)
        is_busy = context.report().running > 0
        serves = context.report().state in _SERVING
        environment = context.deps.environment(context.state.spec)
        await context.deps.runner.tend_spares(
            recent if serves else 0, environment, self._model, may_start=not is_busy
        )
        return None if recent else self._rest()

    def _rest(self) -> float:
        self._rests = True
        return REST_SECONDS


def can_have_one(intent: Intent) -> bool:
    """Whether it begins a session that nobody knows yet, and asks for nothing that a running
    process cannot take; the runner looks again.
    """
    request = intent.request
    begins = not intent.resumes and intent.forks is None and not intent.earlier_owners
    begins = begins and len(request.messages) <= 1
    is_bounded = request.max_turns is not None or intent.budget_usd is not None
    is_plain = not request.tools and request.agent == AgentSettings()
    return begins and is_plain and not is_bounded and request.json_schema is None
