"""Three ways to use a pool, spoken to in one way: that of ``PoolClient``. Over HTTP the answers are
read back into the same values, and problems into the same errors.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter

from actors.client.blocking import BlockingPoolClient
from pool.alerts.delivery import ListedAlert
from pool.errors import (
    ActorLost,
    Conflict,
    Exhausted,
    InvalidRequest,
    KeyReused,
    NotFound,
    PoolError,
    Unavailable,
    UnknownModel,
)
from pool.executions.execution import Execution
from pool.executions.progress import Event
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.session import Session
from pool.keys.api_keys import IssuedKey, KeySpec, ShownKey
from pool.keys.own_usage import OwnUsage
from pool.reconciliation.findings import Reconciliation, ReconciliationOrder, ReconciliationRange
from pool.routing.capacity import Capacity
from pool.storage.backup import Backup
from pool.storage.paging import Page
from pool.subscriptions.overview.pool_overview import Overview
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionChange, SubscriptionSpec
from pool.telemetry.events import PoolEvent, StoredEvent
from pool.usage.breakdown.breakdown import UsageBreakdown
from pool.usage.breakdown.question import Grouping
from pool.usage.reported import RecordedUsage, ReportedUsage
from pool.usage.shown_usage import ShownRecord
from pool.usage.totals import BlockReport
from pool.values import Value

T = TypeVar("T")

_ERRORS: Mapping[str, Callable[[dict[str, Any]], PoolError]] = {
    "not-found": lambda told: NotFound("thing", told["detail"]),
    "model-not-found": lambda told: UnknownModel(told["detail"], ()),
    "conflict": lambda told: Conflict(told["detail"]),
    "invalid-request": lambda told: InvalidRequest(told["field"], told["detail"]),
    "key-reused": lambda told: KeyReused("", told["execution_id"]),
    "exhausted": lambda told: Exhausted(told["execution_id"], told["detail"], told["retry_at"]),
    "unavailable": lambda told: Unavailable(told["execution_id"], told["detail"]),
    "peer-lost": lambda told: ActorLost("", told["detail"]),
}


def _error(answer: httpx.Response) -> PoolError:
    told = answer.json()
    seconds = answer.headers.get("Retry-After")
    told["retry_at"] = datetime.now(UTC) + timedelta(seconds=int(seconds)) if seconds else None
    return _ERRORS[told["type"].removeprefix("urn:claude-pool:")]({"execution_id": "", **told})


class HttpClient:
    """The pool over HTTP, with the methods of ``PoolClient`` that have an operation there."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def _ask(
        self,
        of: Any,
        method: str,
        path: str,
        body: Value | None = None,
        key: str | None = None,
        **query: Any,
    ) -> Any:
        answer = await self._http.request(
            method,
            path,
            content=None if body is None else body.model_dump_json(exclude_unset=True),
            params={name: value for name, value in query.items() if value is not None},
            headers={"content-type": "application/json"}
            | ({"Idempotency-Key": key} if key else {}),
        )
        if answer.is_error:
            raise _error(answer)
        return None if of is None else TypeAdapter(of).validate_json(answer.content)

    async def _events(
        self, method: str, path: str, **of: Any
    ) -> AsyncIterator[tuple[str, str, Any]]:
        """``id``, ``event`` and ``data`` of each."""
        headers = {"content-type": "application/json"}
        async with self._http.stream(method, path, headers=headers, **of) as answer:
            if answer.is_error:
                await answer.aread()
                raise _error(answer)
            fields: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    yield fields["id"], fields["event"], json.loads(fields["data"])
                    fields = {}

    # -- executions ------------------------------------------------------------------------------

    async def execute(
        self, request: ExecutionRequest, *, idempotency_key: str | None = None
    ) -> Execution:
        return await self._ask(Execution, "POST", "/v1/executions", request, idempotency_key)

    async def start(
        self, request: ExecutionRequest, *, idempotency_key: str | None = None
    ) -> Execution:
        there = ExecutionRequest.model_validate(
            {**request.model_dump(exclude_unset=True), "background": True}
        )
        return await self._ask(Execution, "POST", "/v1/executions", there, idempotency_key)

    async def stream(self, request: ExecutionRequest) -> AsyncIterator[Event]:
        body = {**request.model_dump(mode="json", exclude_unset=True), "stream": True}
        sent = json.dumps(body).encode()
        async for id_, _, data in self._events("POST", "/v1/executions", content=sent):
            yield Event.model_validate({"cursor": id_, "progress": data})

    async def events(self, execution_id: str, *, after: str | None = None) -> AsyncIterator[Event]:
        path, params = f"/v1/executions/{execution_id}/events", {"after": after} if after else {}
        async for id_, _, data in self._events("GET", path, params=params):
            yield Event.model_validate({"cursor": id_, "progress": data})

    async def result(self, execution_id: str, *, wait_seconds: float = 0) -> Execution:
        path = f"/v1/executions/{execution_id}"
        return await self._ask(Execution, "GET", path, wait_seconds=wait_seconds)

    async def cancel(self, execution_id: str) -> Execution:
        return await self._ask(Execution, "POST", f"/v1/executions/{execution_id}/cancel")

    async def executions(self, **wanted: Any) -> Page[Execution]:
        return await self._ask(Page[Execution], "GET", "/v1/executions", **wanted)

    async def route(self, request: ExecutionRequest) -> Routing:
        return await self._ask(Routing, "POST", "/v1/route", request)

    async def capacity(self, **wanted: Any) -> Capacity:
        return await self._ask(Capacity, "GET", "/v1/capacity", **wanted)

    # -- sessions --------------------------------------------------------------------------------

    async def sessions(self, **wanted: Any) -> Page[Session]:
        return await self._ask(Page[Session], "GET", "/v1/sessions", **wanted)

    async def session(self, session_id: str) -> Session:
        return await self._ask(Session, "GET", f"/v1/sessions/{session_id}")

    async def forget_session(self, session_id: str) -> None:
        await self._ask(None, "DELETE", f"/v1/sessions/{session_id}")

    # -- subscriptions ---------------------------------------------------------------------------

    async def subscriptions(self) -> tuple[Report, ...]:
        page: Page[Report] = await self._ask(Page[Report], "GET", "/v1/subscriptions")
        return page.items

    async def subscription(self, subscription_id: str) -> Report:
        return await self._ask(Report, "GET", f"/v1/subscriptions/{subscription_id}")

    async def add(self, spec: SubscriptionSpec) -> Report:
        return await self._ask(Report, "POST", "/v1/subscriptions", spec)

    async def change(self, subscription_id: str, change: SubscriptionChange) -> Report:
        return await self._ask(Report, "PATCH", f"/v1/subscriptions/{subscription_id}", change)

    async def remove(self, subscription_id: str) -> None:
        await self._ask(None, "DELETE", f"/v1/subscriptions/{subscription_id}")

    async def pause(self, subscription_id: str) -> Report:
        return await self._ask(Report, "POST", f"/v1/subscriptions/{subscription_id}/pause")

    async def resume(self, subscription_id: str) -> Report:
        return await self._ask(Report, "POST", f"/v1/subscriptions/{subscription_id}/resume")

    async def drain(self, subscription_id: str) -> Report:
        return await self._ask(Report, "POST", f"/v1/subscriptions/{subscription_id}/drain")

    # -- usage -----------------------------------------------------------------------------------

    async def report_usage(self, subscription_id: str, reported: ReportedUsage) -> RecordedUsage:
        path = f"/v1/subscriptions/{subscription_id}/usage"
        return await self._ask(RecordedUsage, "POST", path, reported)

    async def usage(self, subscription_id: str, **wanted: Any) -> Page[ShownRecord]:
        path = f"/v1/subscriptions/{subscription_id}/usage"
        return await self._ask(Page[ShownRecord], "GET", path, **wanted)

    async def usage_by(
        self, group_by: tuple[Grouping, ...] = (Grouping.DAY,), **wanted: Any
    ) -> UsageBreakdown:
        names = [each.value for each in group_by]
        return await self._ask(UsageBreakdown, "GET", "/v1/usage", group_by=names, **wanted)

    async def own_usage(self) -> OwnUsage:
        return await self._ask(OwnUsage, "GET", "/v1/usage/own")

    async def blocks(self, subscription_id: str, **wanted: Any) -> Page[BlockReport]:
        path = f"/v1/subscriptions/{subscription_id}/blocks"
        return await self._ask(Page[BlockReport], "GET", path, **wanted)

    # -- the pool --------------------------------------------------------------------------------

    async def pool(self) -> Overview:
        return await self._ask(Overview, "GET", "/v1/pool")

    async def alerts(self, **wanted: Any) -> Page[ListedAlert]:
        return await self._ask(Page[ListedAlert], "GET", "/v1/alerts", **wanted)

    async def watch(self) -> AsyncIterator[StoredEvent]:
        async for id_, _, data in self._events("GET", "/v1/events"):
            yield StoredEvent(id=id_, happening=PoolEvent.model_validate(data))

    async def backup(self) -> Backup:
        return await self._ask(Backup, "POST", "/v1/backups")

    async def keys(self) -> tuple[ShownKey, ...]:
        page: Page[ShownKey] = await self._ask(Page[ShownKey], "GET", "/v1/keys")
        return page.items

    async def create_key(self, spec: KeySpec) -> IssuedKey:
        return await self._ask(IssuedKey, "POST", "/v1/keys", spec)

    async def rotate_key(self, key_id: str) -> IssuedKey:
        return await self._ask(IssuedKey, "POST", f"/v1/keys/{key_id}/rotate")

    async def revoke_key(self, key_id: str) -> None:
        await self._ask(None, "DELETE", f"/v1/keys/{key_id}")

    async def reconcile(self, wanted: ReconciliationRange) -> ReconciliationOrder:
        return await self._ask(ReconciliationOrder, "POST", "/v1/reconciliations", wanted)

    async def reconciliations(self, **wanted: Any) -> Page[Reconciliation]:
        return await self._ask(Page[Reconciliation], "GET", "/v1/reconciliations", **wanted)


class Blocking:
    """A blocking client, each call on a thread of its own."""

    def __init__(self, client: BlockingPoolClient) -> None:
        self._client = client

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method in {"stream", "events", "watch"}:
            return lambda *args, **named: self._each(method, args, named)

        async def call(*args: object, **named: object) -> Any:
            return await asyncio.to_thread(getattr(self._client, method), *args, **named)

        return call

    async def _each(
        self, method: str, args: tuple[Any, ...], named: dict[str, Any]
    ) -> AsyncIterator[Any]:
        items: Iterator[Any] = getattr(self._client, method)(*args, **named)
        try:
            while (item := await asyncio.to_thread(next, items, None)) is not None:
                yield item
        finally:
            await asyncio.to_thread(items.close)  # type: ignore[attr-defined]


async def collected(
    items: AsyncIterator[T], until: Callable[[T], bool] = lambda _: False
) -> list[T]:
    """Items up to the first that fits, or all."""
    found = []
    async with aclosing(items) as each:  # type: ignore[type-var]
        async for item in each:
            found.append(item)
            if until(item):
                break
    return found
