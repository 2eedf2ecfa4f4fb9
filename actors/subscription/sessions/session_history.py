"""The history of a session, as far as its next turn's price hangs on it: its size.

A turn sends the whole conversation again, so a short question in a long session costs as much as a
long one. What the last turn was billed for tells how long it has become.
"""

from __future__ import annotations

from actors.subscription.context import SubscriptionContext
from pool.usage.records import Usage

MOST_TURNS = 5
"""How far back a turn is looked for that was billed: the last ones may wait, or have failed."""


async def history_tokens(context: SubscriptionContext, session_id: str) -> int:
    """About how many tokens the next turn of a session begins with; 0 where nobody knows."""
    known = context.state.histories.get(session_id)
    if known is not None:
        return known
    page = await context.ledger.executions(limit=MOST_TURNS, session_id=session_id)
    outcomes = (row.outcome for row in page.items)
    billed = (each for each in outcomes if each is not None and each.usage != Usage())
    tokens = next((each.context_tokens for each in billed), 0)
    if session_id not in context.state.histories:  # a turn may have ended meanwhile
        context.state.remember_history(session_id, tokens)
    return context.state.histories[session_id]
