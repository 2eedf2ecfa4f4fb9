"""Sessions, for the router: shown, moved, forgotten, and spread while they rest.

To give a session another home is one row of the directory: its transcript is fetched by the new
home before the next turn (``session_transfer``). So a move that nobody comes back to costs nothing.
Which home a request's session has, or gets, is chosen with its place
(``dispatching.placement.target_of``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from actors.aiokit import every
from actors.interfaces.protocols import SubscriptionActors
from actors.router.presence.followers import Followers
from actors.router.session_access import is_open
from pool.errors import NotFound
from pool.executions.session import Session, SessionHome, session_of
from pool.keys.access import FULL_ACCESS, Access
from pool.routing.rebalancing import Rebalancing, relocations
from pool.storage.directory.directory import Directory
from pool.storage.paging import Page

log = logging.getLogger(__name__)

CONSIDERED = 200
"""Sessions of a subscription that a cycle looks at, those used last."""

SessionMoved = Callable[[SessionHome, str, str], Awaitable[None]]
"""Called with a session, its old and its new home, once its transcript has arrived."""


class Sessions:
    """The sessions of all subscriptions."""

    def __init__(
        self,
        directory: Directory,
        actors: SubscriptionActors,
        followers: Followers,
        clock: Callable[[], datetime],
        moved: SessionMoved,
    ) -> None:
        self._directory = directory
        self._actors = actors
        self._followers = followers
        self._clock = clock
        self._moved = moved

    async def home(self, session_id: str) -> SessionHome | None:
        """Which subscription holds a session."""
        return await self._directory.session_home(session_id)

    async def page(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        subscription_id: str | None = None,
        access: Access = FULL_ACCESS,
    ) -> Page[Session]:
        """Those used last first."""
        page = await self._directory.session_homes(
            limit=limit, cursor=cursor, subscription_id=subscription_id, access=access
        )
        now = self._clock()
        items = tuple(session_of(home, now) for home in page.items)
        return Page[Session](items=items, next_cursor=page.next_cursor)

    async def one(self, session_id: str, access: Access = FULL_ACCESS) -> Session:
        """A session with its moves; ``NotFound`` for one that is not known, or not covered."""
        home = await self._directory.session_home(session_id)
        if home is None or not await self._is_open(home, access):
            raise NotFound("session", session_id)
        return session_of(home, self._clock(), await self._directory.session_moves(session_id))

    async def of_conversation(self, conversation: str) -> str | None:
        """The session that holds a conversation, by its digest."""
        return await self._directory.conversations.session(conversation)

    async def conversation_answered(
        self, conversation: str, session_id: str, execution_id: str
    ) -> None:
        """Note what a session holds after an answer, unless it has gone on since."""
        await self._directory.conversations.note(conversation, session_id, execution_id)

    async def arrived(self, session_id: str, subscription_id: str) -> bool:
        """Note that a session's transcript was fetched by its new home. False where that is not
        its home any more.
        """
        before = await self._directory.session_home(session_id)
        now = self._clock()
        arrived = await self._directory.session_arrived(session_id, subscription_id, now)
        if arrived and before is not None:
            await self._moved(before, before.fetch_from or "", subscription_id)
        home = await self._directory.session_home(session_id)
        return home is not None and home.subscription_id == subscription_id

    async def returns(self, session_id: str, instead_of: str, source: str) -> None:
        """Let a session that could not be fetched live again where its transcript is."""
        await self._directory.move_session(
            session_id, instead_of=instead_of, subscription_id=source, with_history=True
        )

    async def gone(self, session_id: str, held_by: str) -> None:
        """Forget a session whose transcript is not where it was kept, unless it is elsewhere."""
        home = await self._directory.session_home(session_id)
        if home is not None and (home.fetch_from or home.subscription_id) == held_by:
            await self._directory.forget_session(session_id)
            ids = {"session_id": session_id, "subscription_id": held_by}
            log.warning("session forgotten: its transcript is gone", extra=ids)

    async def forget(self, session_id: str, access: Access = FULL_ACCESS) -> None:
        """Remove a session and its transcripts, wherever it has been. ``Conflict`` at work."""
        session = await self.one(session_id, access)
        ends = [each.from_subscription_id for each in session.moves]
        for place in dict.fromkeys([session.subscription_id, session.fetch_from, *ends]):
            if place is not None and place in self._followers.followed:
                await self._actors.subscription(place).forget_session(session_id)
        await self._directory.forget_session(session_id)

    async def _is_open(self, home: SessionHome, access: Access) -> bool:
        if not access.covers_subscription(home.subscription_id):
            return False
        return await is_open(home, access, self._actors, self._followers.followed)

    async def rebalance(self, policy: Rebalancing) -> None:
        """Give idle sessions other homes, cycle after cycle."""
        if policy.interval_seconds > 0:
            await asyncio.sleep(policy.interval_seconds)
            spread = partial(self.spread, policy)
            await every(policy.interval_seconds, spread, "sessions were not spread")

    async def spread(self, policy: Rebalancing) -> None:
        """One cycle."""
        sessions = {
            report.id: (await self.page(limit=CONSIDERED, subscription_id=report.id)).items
            for report in self._followers.reports
        }
        for move in relocations(self._followers.reports, sessions, policy):
            is_awake = move.instead_of not in self._followers.resting
            holder = self._actors.subscription(move.instead_of)
            if is_awake and await holder.has_at_work(move.session_id):
                continue  # a turn that takes its time
            await self._directory.move_session(
                move.session_id,
                instead_of=move.instead_of,
                subscription_id=move.subscription_id,
                with_history=True,
            )
            log.info("idle session given another home", extra=move._asdict())
