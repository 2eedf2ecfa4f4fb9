"""Telemetry of Claude Code on other machines, counted as usage outside the pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import datetime

from actors.interfaces.protocols import Actors
from pool.claude.transcripts.telemetry import Export, Taken, outside_record


async def count_telemetry(
    actors: Actors,
    export: Export,
    subscription_id: str | None,
    known: Collection[str],
    now: datetime,
) -> Taken:
    """Count every request of an export once, for the subscription that is given or that it names.
    Those of the pool's own sessions are counted already; those of none that is ``known`` to whoever
    asks are rejected.
    """
    router = actors.router()
    taken = Counter[str](rejected=export.rejected)
    own: dict[tuple[str, str], bool] = {}
    for request in export.requests:
        home = subscription_id or request.subscription_id
        if home is None or home not in known:
            taken["rejected"] += 1
            continue
        session = (home, request.session_id)
        if session not in own:
            own[session] = await _is_own(actors, *session)
        if own[session]:
            taken["known"] += 1
        else:
            added = await router.record(outside_record(request, home, now))
            taken["added" if added else "known"] += 1
    return Taken(**taken)


async def _is_own(actors: Actors, subscription_id: str, session_id: str) -> bool:
    """Whether the pool ran something in a session."""
    subscription = actors.subscription(subscription_id)
    return bool((await subscription.executions(limit=1, session_id=session_id)).items)
