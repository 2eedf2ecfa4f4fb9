"""The execution that made a call of its caller's tools, by the provider's id of the call.

The ledgers know it, each those of its own executions, from the very commit with which the call is
told; nothing else has to be kept, or can be wrong. They are asked side by side; those of sleepers
are read after that, and nobody is woken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from actors.interfaces.protocols import SubscriptionActors
from actors.router.ledgers.resting import RestingLedgers
from actors.router.presence.followers import Followers
from pool.errors import InvalidRequest, NotFound, PoolError
from pool.keys.access import Access


class ToolCallSearch:
    """Asks the subscriptions of a pool."""

    def __init__(
        self, actors: SubscriptionActors, followers: Followers, resting: RestingLedgers
    ) -> None:
        self._actors = actors
        self._followers = followers
        self._resting = resting

    async def execution(self, call_ids: Sequence[str], access: Access) -> str:
        """The id of the execution that made some calls; see ``RouterActor``."""
        found = await asyncio.gather(*(self._one(id_, access) for id_ in dict.fromkeys(call_ids)))
        if not found:
            raise InvalidRequest("tool_use_id", "names no call: pass the ids of the results")
        if len(set(found)) > 1:
            raise InvalidRequest("tool_use_id", "these are calls of several executions")
        return found[0]

    async def _one(self, call_id: str, access: Access) -> str:
        known = set(filter(access.covers_subscription, self._followers.followed))
        resting = known & self._followers.resting
        asked = (
            self._actors.subscription(id_).execution_of_call(call_id, access.tenant)
            for id_ in known - resting
        )
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, str):
                return answer
        found = await self._resting.execution_of_call(call_id, access.tenant, sorted(resting))
        if found is not None:
            return found
        for answer in answers:
            if isinstance(answer, PoolError):
                raise answer  # who does not answer may have it
        raise NotFound("tool call", call_id)
