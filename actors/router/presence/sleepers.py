"""The subscriptions that are asleep: the snapshot that each left, durably, and what it means now.

A subscription with nothing to do costs no process. Its figures are functions of its snapshot and
the time, so the router makes its reports as its actor would; none is woken to be looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from pool.storage.directory.snapshots import SnapshotStore
from pool.subscriptions.report import Report
from pool.subscriptions.reporting import SubscriptionPolicy, report
from pool.subscriptions.snapshot import Snapshot, asleep, of_newcomer
from pool.subscriptions.spec import SubscriptionSpec
from pool.subscriptions.state import REMEMBERED, State

LOOK_EVERY = timedelta(days=1)
"""How long a subscription sleeps at most, before it comes up to see what only its actor sees."""


class Sleepers:
    """The subscriptions that are asleep. ``policy`` is what their reports are made by."""

    def __init__(
        self,
        store: SnapshotStore,
        policy: SubscriptionPolicy,
        clock: Callable[[], datetime],
        keep_prompts: timedelta,
    ) -> None:
        self._keep_prompts = keep_prompts
        self._store = store
        self._policy = policy
        self._clock = clock
        self._left: dict[str, Snapshot] = {}
        self._states: dict[str, State] = {}
        """Made from the snapshots, at the first report of each."""
        self._epochs: dict[str, int] = {}
        """By subscription, the latest epoch that was noted in the store as running."""
        self._is_suspended = False

    async def recover(self) -> None:
        """Read which subscriptions were asleep when this router began."""
        self._left = await self._store.all()

    def __contains__(self, subscription_id: str) -> bool:
        return subscription_id in self._left

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self._left)

    def begin(self, subscription_id: str) -> None:
        """Have a subscription that was never activated sleep from the beginning. Nothing of that is
        stored: after another start it is as new as now.
        """
        self._left[subscription_id] = of_newcomer(self._clock())

    def is_new(self, subscription_id: str) -> bool:
        """Whether a subscription sleeps that was never activated: it has no ledger yet."""
        left = self._left.get(subscription_id)
        return left is not None and left.epoch == 0

    def report(self, spec: SubscriptionSpec) -> Report:
        """The report of a subscription that sleeps, at this instant, with its present settings."""
        state = self._states.get(spec.id)
        if state is None:
            state = self._states[spec.id] = asleep(spec, self._left[spec.id])
        state.spec, state.suspended = spec, self._is_suspended
        return report(state, self._policy, self._clock())

    def records_since(self, subscription_id: str, instant: datetime) -> int | None:
        """How many records a subscription has from an instant on; None where that is not known
        here.
        """
        left = self._left.get(subscription_id)
        if left is None:
            return None
        if instant < left.asleep_since - REMEMBERED:
            return None if left.totals.records else 0
        return sum(at >= instant for at, _ in left.costs)

    def to_be_cleaned(self, now: datetime) -> tuple[str, ...]:
        """The subscriptions whose ledgers hold prompts or answers that are to be removed by now."""
        before = now - self._keep_prompts
        kept = ((id_, left.first_content_at) for id_, left in self._left.items())
        return tuple(id_ for id_, at in kept if at is not None and at <= before)

    async def cleaned(self, subscription_id: str, first_content_at: datetime | None) -> None:
        """What was due is removed; ``first_content_at`` is of the oldest content that is left."""
        left = self._left[subscription_id]
        left = left.model_copy(update={"first_content_at": first_content_at})
        if await self._store.sleeps(subscription_id, left):
            self._left[subscription_id] = left

    def next_to_look(self, now: datetime) -> str | None:
        """The subscription that has slept longest, where it is due to come up (``LOOK_EVERY``). One
        that was never up is due from the beginning.
        """
        if self._is_suspended or not self._left:
            return None
        due_at, first = min((_look_at(left), id_) for id_, left in self._left.items())
        return first if due_at <= now else None

    def suspend(self) -> None:
        """The service is stopping: no request is sent to a subscription that sleeps any more."""
        self._is_suspended = True

    async def sleeps(self, subscription_id: str, snapshot: Snapshot) -> bool:
        """Keep the snapshot of a subscription that falls asleep. False, and it does not sleep,
        where it left something to be done, or where a later activation of it is known by now.
        """
        if not (snapshot.is_at_rest and await self._store.sleeps(subscription_id, snapshot)):
            return False
        self._left[subscription_id] = snapshot
        return True

    async def wakes(self, subscription_id: str) -> None:
        """Note, durably, that a subscription sleeps no more, before it is activated."""
        if subscription_id in self._left:
            await self._store.wakes(subscription_id)
            self._epochs[subscription_id] = self._left[subscription_id].epoch + 1
            self.forget(subscription_id)

    async def is_awake(self, subscription_id: str, epoch: int) -> None:
        """Note that a subscription runs as this activation: no earlier one's snapshot counts."""
        if self._epochs.get(subscription_id) != epoch:
            await self._store.is_awake(subscription_id, epoch)
            self._epochs[subscription_id] = epoch

    def forget(self, subscription_id: str) -> None:
        """A subscription does not sleep any more, or was removed."""
        self._left.pop(subscription_id, None)
        self._states.pop(subscription_id, None)


def _look_at(left: Snapshot) -> datetime:
    """When a subscription is to come up, so that its actor sees what nobody else does."""
    return left.asleep_since + LOOK_EVERY if left.epoch else left.asleep_since
