"""A pool of one subscription, as its tests look at it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pool.executions.request import ExecutionRequest
from pool.executions.row import ExecutionRow
from pool.subscriptions.report import Report
from tests.support.pools.localpool import LocalPool

OpenPool = Callable[..., Awaitable[LocalPool]]
ID = "exec_" + "1" * 28


def ask(prompt: str = "q", **of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": prompt} | of)


async def report_of(pool: LocalPool) -> Report:
    return await pool.actors.subscription("sub1").next_report(-1, -1, 0)


async def held_at_its_intent(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold the next T1 before its commit: set once it is reached, and what lets it go on."""
    ledger = pool.actors.subscription("sub1")._context.ledger
    begin, reached, go_on = ledger.begin, asyncio.Event(), asyncio.Event()

    async def held_begin(row: ExecutionRow) -> ExecutionRow:
        reached.set()
        await go_on.wait()
        return await begin(row)

    monkeypatch.setattr(ledger, "begin", held_begin)
    return reached, go_on


def failing(error: Exception) -> Callable[..., Awaitable[object]]:
    async def fail(*_: object) -> object:
        raise error

    return fail
