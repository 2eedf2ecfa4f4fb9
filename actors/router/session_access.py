"""Whether a session is open to a caller.

The directory knows whom a session belongs to. Of one that began before that was noted, until its
next turn, the executions tell: it is open to those whose turns are in it.
"""

from __future__ import annotations

from collections.abc import Container

from actors.interfaces.protocols import SubscriptionActors
from pool.executions.session import SessionHome
from pool.keys.access import Access


async def is_open(
    home: SessionHome, access: Access, actors: SubscriptionActors, known: Container[str]
) -> bool:
    """Whether ``access`` covers a session. ``known`` are the subscriptions that can be asked."""
    if home.tenant is not None or access.tenant is None:
        return access.owns(home.tenant)
    holder = home.fetch_from or home.subscription_id
    if holder not in known:
        return False
    turns = await actors.subscription(holder).executions(
        limit=1, session_id=home.session_id, access=Access(tenant=access.tenant)
    )
    return bool(turns.items)
