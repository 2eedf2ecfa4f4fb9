"""Releases: subscriptions that no node can have let go of what waits there.

One whose node is gone for good, or whose directory is nowhere, cannot come up. For a while that is
waited for: a node that was started anew is back in minutes. After that what waits goes on at
others, and what only that one may run ends, with an error that says which subscription it was, why
it does not come up and what to do about it; what ran on the node that is gone ends as its deadline
passes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from actors.interfaces.protocols import SubscriptionActors
from pool.errors import ConfigError, PoolError
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionSpec

log = logging.getLogger(__name__)


class Releases:
    """Since when subscriptions cannot come up, and what is done about it ``after`` so long; as long
    again until what had not ended then is looked at once more.
    """

    def __init__(
        self, actors: SubscriptionActors, clock: Callable[[], datetime], after: timedelta
    ) -> None:
        self._actors = actors
        self._clock = clock
        self._after = after
        self._since: dict[str, datetime] = {}
        self._released: set[str] = set()
        """Those that have nothing any more."""
        self.under_way: set[str] = set()
        """Those that let go just now: what they report of themselves is no sign of life."""

    def forget(self, subscription_id: str) -> None:
        """One has come up, or was removed."""
        self._since.pop(subscription_id, None)
        self._released.discard(subscription_id)

    async def consider(
        self, spec: SubscriptionSpec, error: ConfigError, report: Report | None
    ) -> None:
        """One could not come up just now: have it let go of what it has, if it is time. ``report``
        is its last one.
        """
        now = self._clock()
        since = self._since.setdefault(spec.id, now)
        if spec.id in self._released or now - since < self._after:
            return
        self._since[spec.id] = now
        ids = {"subscription_id": spec.id}
        self.under_way.add(spec.id)
        try:
            left = await self._actors.release(
                spec, why_released(spec, error, None if report is None else report.node)
            )
        except PoolError as problem:  # it is tried again
            log.warning("subscription not released", extra={**ids, "problem": str(problem)})
            return
        finally:
            self.under_way.discard(spec.id)
        log.warning("subscription released: it has no node", extra={**ids, "executions": left})
        if not left:
            self._released.add(spec.id)


def why_released(spec: SubscriptionSpec, error: ConfigError, node: str | None) -> str:
    """What is said of what waited there, as the beginning of a sentence."""
    where = f", which was on the node {node} last," if node else ""
    remedy = "bring back its node, or change its node or config_dir"
    nowhere = f"can run on no node that lives ({error.problem}; {remedy})"
    return f"its subscription {spec.id!r}{where} {nowhere}, and did not come back"
