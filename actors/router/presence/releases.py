"""Releases: a subscription that no node can have lets go of the executions that wait at it.

A subscription whose node is gone for good, or whose directory is on no node, cannot come up. The
router waits for a while: a node that was started anew is back in minutes. After that, the
executions that wait at the subscription go on at others. An execution that only this subscription
may run ends, with an error that says which subscription it was, why it does not come up and what to
do about it. An execution that ran on the lost node ends as its deadline passes.
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
    """Since when subscriptions cannot come up. After ``after`` each is released; where some of its
    executions have not ended by then, it is released again after as long.
    """

    def __init__(
        self, actors: SubscriptionActors, clock: Callable[[], datetime], after: timedelta
    ) -> None:
        self._actors = actors
        self._clock = clock
        self._after = after
        self._since: dict[str, datetime] = {}
        self._released: set[str] = set()
        """The subscriptions that have nothing left to let go of."""
        self.under_way: set[str] = set()
        """The subscriptions that are being released now: their actors are up for that alone, so
        their reports do not mean that they are back."""

    def forget(self, subscription_id: str) -> None:
        """A subscription has come up, or was removed."""
        self._since.pop(subscription_id, None)
        self._released.discard(subscription_id)

    async def consider(
        self, spec: SubscriptionSpec, error: ConfigError, report: Report | None
    ) -> None:
        """Release a subscription that could not come up just now because of ``error``, if it is
        time. ``report`` is its last one.
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
    """Why an execution that waited there has not run: the beginning of its error's message."""
    where = f", which was on the node {node} last," if node else ""
    remedy = "bring back its node, or change its node or config_dir"
    nowhere = f"can run on no node that lives ({error.problem}; {remedy})"
    return f"its subscription {spec.id!r}{where} {nowhere}, and did not come back"
