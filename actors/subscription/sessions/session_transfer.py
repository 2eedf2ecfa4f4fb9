"""Fetching a session's transcript before its next turn: from the subscription that held it, or from
the node where this subscription was when it held the last one.

The order keeps the history whole: the copy is verified and durable here, then the directory notes
that it has arrived, and only then is anything run on it. A turn that finds the session here already
fetches nothing, so that no older copy ever replaces a newer one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from actors.interfaces.other_nodes import NONE_REACHABLE
from actors.subscription.context import SubscriptionContext
from pool.claude.transcripts.copy import TranscriptGone
from pool.errors import ActorLost, Conflict, NotFound, PoolError
from pool.executions.intent import Intent
from pool.executions.outcome import Failed, FailureKind
from pool.executions.row import ExecutionRow

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

ROUTER_SECONDS = 60.0
"""How long a router that is away is waited for; a restart takes some seconds."""
ROUTER_AWAY_SECONDS = 1.0
LATEST_TURNS = 5
"""Of a session, among which its last one is that was run."""
NOTE_SECONDS = 2.0
"""How long a caller waits for the directory to forget what is gone: lists alone profit."""


@dataclass(frozen=True)
class Elsewhere:
    """The session has another home by now: the turn belongs there, or it would fork the history."""

    subscription_id: str

    def as_failure(self) -> Failed:
        """What the turn fails with if it cannot go there."""
        message = f"its session went on at {self.subscription_id}, which cannot take this turn"
        return Failed(kind=FailureKind.SESSION_NOT_MOVED, message=message)


async def fetched(
    context: SubscriptionContext, row: ExecutionRow, *, waited: bool
) -> ExecutionRow | Failed | Elsewhere:
    """The execution once the session that it goes on from is here; or why it cannot be.

    Where it has ``waited``, another turn may have taken the session elsewhere meanwhile.
    Raises ``StoreError`` and ``ConfigError`` as a run does.
    """
    intent = row.intent
    try:
        await _fetch_from_its_node(context, intent)
        if intent.session_from is None and not (waited and (intent.resumes or intent.forks)):
            return row
        source = await _source(context, intent)
        if isinstance(source, Elsewhere):
            return source
        return row if source is None else await _fetch(context, row, source)
    except TranscriptGone as error:
        return Failed(kind=FailureKind.SESSION_NOT_FOUND, message=str(error))
    except (Conflict, NotFound, ActorLost, OSError) as error:
        source_name = f" from {intent.session_from}" if intent.session_from else ""
        message = f"its session cannot be brought here{source_name}: {_told(error)}"
        log.warning("session not moved", extra={"session_id": intent.session_id})
        await _give_back(context, intent)
        return Failed(kind=FailureKind.SESSION_NOT_MOVED, message=message)


async def note_gone(context: SubscriptionContext, intent: Intent) -> None:
    """Let the directory forget the session of a turn that found no transcript of it. Where that
    cannot be done now, the next turn finds it out again.
    """
    session_id = intent.forks or (intent.session_id if intent.resumes else None)
    if session_id is None:
        return
    held_by = intent.session_from or context.state.spec.id
    try:
        async with asyncio.timeout(NOTE_SECONDS):
            await context.deps.actors.router().session_gone(session_id, held_by)
    except (PoolError, TimeoutError):
        log.warning("session not forgotten", extra={"session_id": session_id})


async def _source(context: SubscriptionContext, intent: Intent) -> str | Elsewhere | None:
    """The subscription that has the transcript; None where it is here already."""
    here, session_id = context.state.spec.id, intent.forks or intent.session_id
    home = await _answer(lambda: context.deps.actors.router().session_home(session_id))
    if home is None:
        raise TranscriptGone("it was forgotten while it waited")
    if intent.forks is not None:
        there = home.fetch_from or home.subscription_id
        return None if there == here else there
    return home.fetch_from if home.subscription_id == here else Elsewhere(home.subscription_id)


async def _fetch_from_its_node(context: SubscriptionContext, intent: Intent) -> None:
    """Bring a session here that this subscription had on another node. It is there still, and this
    copy takes the place of an older one.
    """
    session_id, deps = intent.reads, context.deps
    if session_id is None or intent.session_from or deps.other_nodes is NONE_REACHABLE:
        return
    page = await context.ledger.executions(limit=LATEST_TURNS, session_id=session_id)
    turns = (each for each in page.items if each.process is not None)  # others wrote nothing
    node = next((each.node for each in turns), None)
    if node is None or not context.is_elsewhere(node):
        return
    environment = deps.environment(context.state.spec)
    config_dir = environment["CLAUDE_CONFIG_DIR"]
    copy = await deps.other_nodes.session_copy(node, config_dir, session_id)
    await asyncio.to_thread(deps.runner.install_session, environment, copy)


async def _fetch(context: SubscriptionContext, row: ExecutionRow, source: str) -> ExecutionRow:
    intent, deps = row.intent, context.deps
    session_id = intent.forks or intent.session_id
    copy = await deps.actors.subscription(source).session_copy(session_id, intent.execution_id)
    environment = deps.environment(context.state.spec)
    await deps.runner.quiet(session_id)
    await asyncio.to_thread(deps.runner.install_session, environment, copy)
    known = {"session_total_nano_usd": copy.total_nano_usd}
    here = row.model_copy(update={"intent": intent.model_copy(update=known)})
    await context.ledger.update(here)
    if intent.forks is None and not await _answer(
        lambda: deps.actors.router().session_arrived(session_id, context.state.spec.id)
    ):
        raise Conflict("it was given another home meanwhile")
    return here


async def _answer(question: Callable[[], Awaitable[Answer]]) -> Answer:
    """The router's answer; one that is being restarted is asked again."""
    deadline = time.monotonic() + ROUTER_SECONDS
    while True:
        try:
            return await question()
        except ActorLost:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(ROUTER_AWAY_SECONDS)


async def _give_back(context: SubscriptionContext, intent: Intent) -> None:
    """Let the session be where its transcript is; where that fails, the next turn tries again."""
    if intent.forks is not None or intent.session_from is None:
        return
    try:
        await context.deps.actors.router().session_returns(
            intent.session_id, context.state.spec.id, intent.session_from
        )
    except ActorLost:
        log.warning("session not given back", extra={"session_id": intent.session_id})


def _told(error: Exception) -> str:
    return (error.strerror or "the disk refuses") if isinstance(error, OSError) else str(error)
