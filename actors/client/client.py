"""The client of the pool, for programs with an event loop.

What HTTP can do, a client can do, with the same values and the same errors. Every request has an
execution id before it leaves; when a part of the pool dies on the way, asking again by that id
gives the same run and the same answer, so that a caller does not feel it (G5).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from actors.client.calls.conversations import ConversationCalls
from actors.client.calls.keys import KeyCalls
from actors.client.calls.operations import OperationCalls
from actors.client.calls.reconciliations import ReconciliationCalls
from actors.client.calls.sessions import SessionCalls
from actors.client.calls.subscriptions import SubscriptionCalls
from actors.client.calls.usage import UsageCalls
from actors.client.concurrency import MAX_IN_FLIGHT, ConcurrencyLimit
from actors.interfaces.protocols import Actors
from pool.keys.access import FULL_ACCESS, Access
from pool.values import now_in_utc


class PoolClient(
    ConversationCalls,
    SessionCalls,
    SubscriptionCalls,
    UsageCalls,
    KeyCalls,
    OperationCalls,
    ReconciliationCalls,
):
    """The pool, from inside an event loop, one at a time. Cheap to make and to send to Ray's tasks
    and actors: it holds nothing but where the actors are found. Its methods stand in ``calls``, by
    their noun.

    ``execute`` and ``stream`` together have at most ``max_in_flight`` executions on their way; a
    further one waits here, not in a queue of the pool.
    """

    def __init__(
        self,
        actors: Actors,
        clock: Callable[[], datetime] = now_in_utc,
        *,
        max_in_flight: int | ConcurrencyLimit = MAX_IN_FLIGHT,
        access: Access = FULL_ACCESS,
    ) -> None:
        if isinstance(max_in_flight, int):
            max_in_flight = ConcurrencyLimit(max_in_flight)
        super().__init__(actors, clock, access, max_in_flight)

    def __getstate__(self) -> tuple[Actors, Callable[[], datetime], int, Access | None]:
        access = None if self._access == FULL_ACCESS else self._access
        return self._actors, self._clock, self._in_flight.most, access

    def __setstate__(
        self, state: tuple[Actors, Callable[[], datetime], int, Access | None]
    ) -> None:
        actors, clock, most, access = state
        PoolClient.__init__(self, actors, clock, max_in_flight=most, access=access or FULL_ACCESS)

    def with_access(self, access: Access) -> PoolClient:
        """The pool as somebody sees it: what is not theirs is not there. Both clients share their
        places for executions on their way.
        """
        if access == self._access:
            return self
        return PoolClient(self._actors, self._clock, max_in_flight=self._in_flight, access=access)
