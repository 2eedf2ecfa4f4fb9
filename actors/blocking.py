"""The client for programs without an event loop: the same methods, values and errors, blocking."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from actors.client import PoolClient
from pool.backup import Backup
from pool.execution import Execution, ExecutionRequest, ExecutionStatus
from pool.overview import Overview
from pool.report import BlockReport, Report
from pool.reported import RecordedUsage, ReportedUsage, ShownRecord
from pool.store.protocol import Page
from pool.subscription import SubscriptionChange, SubscriptionSpec

T = TypeVar("T")


class BlockingPoolClient:
    """``PoolClient`` on a thread of its own. Safe to share between threads; close it at the end."""

    def __init__(self, client: PoolClient) -> None:
        self._client = client
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="pool-client", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread. Executions go on."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def start(
        self,
        request: ExecutionRequest,
        *,
        idempotency_key: str | None = None,
        caller: str = "",
        execution_id: str | None = None,
    ) -> Execution:
        return self._wait(
            self._client.start(
                request, idempotency_key=idempotency_key, caller=caller, execution_id=execution_id
            )
        )

    def execute(
        self,
        request: ExecutionRequest,
        *,
        idempotency_key: str | None = None,
        caller: str = "",
        execution_id: str | None = None,
    ) -> Execution:
        return self._wait(
            self._client.execute(
                request, idempotency_key=idempotency_key, caller=caller, execution_id=execution_id
            )
        )

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

    def blocks(
        self, subscription_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[BlockReport]:
        return self._wait(self._client.blocks(subscription_id, limit=limit, cursor=cursor))

    def backup(self) -> Backup:
        return self._wait(self._client.backup())

    def pool(self) -> Overview:
        return self._wait(self._client.pool())
