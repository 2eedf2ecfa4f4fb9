"""The client for programs without an event loop: the same methods, values and errors, blocking.

Its calls run in an event loop on a thread of its own, which begins with the first call. So a client
costs nothing to make or to send to a task of Ray, and begins its thread anew where it arrives. The
thread ends when the client is closed, or when nobody holds it any more.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from actors.client.client import PoolClient
from pool.alerts.delivery import ListedAlert
from pool.claude.transcripts.telemetry import Export, Taken
from pool.executions.execution import Execution, ExecutionStatus
from pool.executions.permissions import Grant
from pool.executions.progress import Event, ProgressPage
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.session import Session
from pool.keys.api_keys import (
    DEFAULT_GRACE_SECONDS,
    IssuedKey,
    KeyHolder,
    KeySpec,
    Presented,
    ShownKey,
)
from pool.reconciliation.findings import (
    Reconciliation,
    ReconciliationOrder,
    ReconciliationRange,
    ReportKind,
)
from pool.storage.backup import Backup
from pool.storage.paging import Page
from pool.subscriptions.pool_overview import Overview
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionChange, SubscriptionSpec
from pool.telemetry.counters import Figures
from pool.telemetry.events import EventFilter, PoolEventPage, StoredEvent
from pool.usage.breakdown import Grouping, UsageBreakdown
from pool.usage.reported import RecordedUsage, ReportedUsage, ShownRecord
from pool.usage.totals import BlockReport

T = TypeVar("T")


class _LoopThread:
    """An event loop on a thread of its own, which puts everything away when it ends."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=_run, args=(self.loop,), name="pool-client", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Ask it to end; asked again, it does nothing."""
        with suppress(RuntimeError):  # it has ended, and its loop is closed
            self.loop.call_soon_threadsafe(self.loop.stop)

    def join(self) -> None:
        self._thread.join()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        waiting = asyncio.all_tasks(loop)
        for task in waiting:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


class BlockingPoolClient:
    """``PoolClient`` on a thread of its own. Safe to share between threads; close it at the end."""

    def __init__(self, client: PoolClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._thread: _LoopThread | None = None
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[BlockingPoolClient], tuple[PoolClient]]:
        return type(self), (self._client,)

    def close(self) -> None:
        """End the thread, and what still waits in it with ``CancelledError``. Executions go on."""
        with self._lock:
            self._is_closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.end()
            thread.join()

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            loop = self._loop()
        except BaseException:
            call.close()
            raise
        future = asyncio.run_coroutine_threadsafe(call, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("this client was closed: make another one")
            if self._thread is None:
                self._thread = _LoopThread()
                weakref.finalize(self, self._thread.end)
            return self._thread.loop

    def _each(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        """Items as they come, each asked for when the one before was taken."""

        async def following() -> T | None:
            return await anext(items, None)

        try:
            while (item := self._wait(following())) is not None:
                yield item
        finally:
            if not self._is_closed:
                self._wait(items.aclose())

    def start(
        self,
        request: ExecutionRequest,
        *,
        idempotency_key: str | None = None,
        caller: str = "",
        execution_id: str | None = None,
        grant: Grant | None = None,
    ) -> Execution:
        return self._wait(
            self._client.start(
                request,
                idempotency_key=idempotency_key,
                caller=caller,
                execution_id=execution_id,
                grant=grant,
            )
        )

    def execute(
        self,
        request: ExecutionRequest,
        *,
        idempotency_key: str | None = None,
        caller: str = "",
        execution_id: str | None = None,
        grant: Grant | None = None,
        patience_seconds: float = 0,
    ) -> Execution:
        return self._wait(
            self._client.execute(
                request,
                idempotency_key=idempotency_key,
                caller=caller,
                execution_id=execution_id,
                grant=grant,
                patience_seconds=patience_seconds,
            )
        )

    def stream(
        self,
        request: ExecutionRequest,
        *,
        idempotency_key: str | None = None,
        caller: str = "",
        execution_id: str | None = None,
        grant: Grant | None = None,
    ) -> Iterator[Event]:
        return self._each(
            self._client.stream(
                request,
                idempotency_key=idempotency_key,
                caller=caller,
                execution_id=execution_id,
                grant=grant,
            )
        )

    def events(
        self, execution_id: str, *, after: str | None = None, raw: bool = False
    ) -> Iterator[Event]:
        return self._each(self._client.events(execution_id, after=after, raw=raw))

    def progress(
        self,
        execution_id: str,
        *,
        after: str | None = None,
        wait_seconds: float = 0,
        raw: bool = False,
    ) -> ProgressPage:
        return self._wait(
            self._client.progress(execution_id, after=after, wait_seconds=wait_seconds, raw=raw)
        )

    def ended(self, execution: Execution) -> Execution:
        return self._wait(self._client.ended(execution))

    def result(self, execution_id: str, *, wait_seconds: float = 0) -> Execution:
        return self._wait(self._client.result(execution_id, wait_seconds=wait_seconds))

    def cancel(self, execution_id: str) -> Execution:
        return self._wait(self._client.cancel(execution_id))

    def executions(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        status: ExecutionStatus | None = None,
        session_id: str | None = None,
        subscription_id: str | None = None,
    ) -> Page[Execution]:
        return self._wait(
            self._client.executions(
                limit=limit,
                cursor=cursor,
                status=status,
                session_id=session_id,
                subscription_id=subscription_id,
            )
        )

    def route(self, request: ExecutionRequest) -> Routing:
        return self._wait(self._client.route(request))

    def sessions(
        self, *, limit: int = 50, cursor: str | None = None, subscription_id: str | None = None
    ) -> Page[Session]:
        return self._wait(
            self._client.sessions(limit=limit, cursor=cursor, subscription_id=subscription_id)
        )

    def session(self, session_id: str) -> Session:
        return self._wait(self._client.session(session_id))

    def forget_session(self, session_id: str) -> None:
        self._wait(self._client.forget_session(session_id))

    def subscriptions(self) -> tuple[Report, ...]:
        return self._wait(self._client.subscriptions())

    def subscription(self, subscription_id: str) -> Report:
        return self._wait(self._client.subscription(subscription_id))

    def add(self, spec: SubscriptionSpec) -> Report:
        return self._wait(self._client.add(spec))

    def change(self, subscription_id: str, change: SubscriptionChange) -> Report:
        return self._wait(self._client.change(subscription_id, change))

    def remove(self, subscription_id: str) -> None:
        self._wait(self._client.remove(subscription_id))

    def pause(self, subscription_id: str) -> Report:
        return self._wait(self._client.pause(subscription_id))

    def resume(self, subscription_id: str) -> Report:
        return self._wait(self._client.resume(subscription_id))

    def drain(self, subscription_id: str) -> Report:
        return self._wait(self._client.drain(subscription_id))

    def report_usage(self, subscription_id: str, reported: ReportedUsage) -> RecordedUsage:
        return self._wait(self._client.report_usage(subscription_id, reported))

    def report_telemetry(self, export: Export, subscription_id: str | None = None) -> Taken:
        return self._wait(self._client.report_telemetry(export, subscription_id))

    def usage(
        self,
        subscription_id: str,
        *,
        limit: int = 50,
        cursor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[ShownRecord]:
        return self._wait(
            self._client.usage(
                subscription_id, limit=limit, cursor=cursor, since=since, until=until
            )
        )

    def usage_by(
        self,
        group_by: Sequence[Grouping] = (Grouping.DAY,),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        subscription_id: str | None = None,
    ) -> UsageBreakdown:
        return self._wait(
            self._client.usage_by(
                group_by, since=since, until=until, subscription_id=subscription_id
            )
        )

    def blocks(
        self, subscription_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[BlockReport]:
        return self._wait(self._client.blocks(subscription_id, limit=limit, cursor=cursor))

    def is_open(self) -> bool:
        return self._wait(self._client.is_open())

    def authenticate(self, shown: Presented) -> KeyHolder | None:
        return self._wait(self._client.authenticate(shown))

    def keys(self) -> tuple[ShownKey, ...]:
        return self._wait(self._client.keys())

    def create_key(self, spec: KeySpec) -> IssuedKey:
        return self._wait(self._client.create_key(spec))

    def rotate_key(self, key_id: str, *, grace_seconds: float = DEFAULT_GRACE_SECONDS) -> IssuedKey:
        return self._wait(self._client.rotate_key(key_id, grace_seconds=grace_seconds))

    def revoke_key(self, key_id: str) -> ShownKey:
        return self._wait(self._client.revoke_key(key_id))

    def backup(self) -> Backup:
        return self._wait(self._client.backup())

    def stop(self, drain_seconds: float) -> None:
        self._wait(self._client.stop(drain_seconds))

    def alerts(self, *, limit: int = 50, cursor: str | None = None) -> Page[ListedAlert]:
        return self._wait(self._client.alerts(limit=limit, cursor=cursor))

    def happenings(
        self,
        *,
        after: str | None = None,
        wanted: EventFilter | None = None,
        wait_seconds: float = 0,
    ) -> PoolEventPage:
        return self._wait(
            self._client.happenings(after=after, wanted=wanted, wait_seconds=wait_seconds)
        )

    def watch(
        self, *, after: str | None = None, wanted: EventFilter | None = None
    ) -> Iterator[StoredEvent]:
        return self._each(self._client.watch(after=after, wanted=wanted))

    def figures(self) -> Figures:
        return self._wait(self._client.figures())

    def reconcile(self, wanted: ReconciliationRange) -> ReconciliationOrder:
        return self._wait(self._client.reconcile(wanted))

    def reconciliations(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        organization_id: str | None = None,
        kind: ReportKind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[Reconciliation]:
        return self._wait(
            self._client.reconciliations(
                limit=limit,
                cursor=cursor,
                organization_id=organization_id,
                kind=kind,
                since=since,
                until=until,
            )
        )

    def reconciliation(self, reconciliation_id: str) -> Reconciliation:
        return self._wait(self._client.reconciliation(reconciliation_id))

    def reverse_adjustments(self, reconciliation_id: str) -> Reconciliation:
        return self._wait(self._client.reverse_adjustments(reconciliation_id))

    def pool(self) -> Overview:
        return self._wait(self._client.pool())
