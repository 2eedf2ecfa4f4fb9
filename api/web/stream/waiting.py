"""Waiting on behalf of a caller who may hang up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from actors.aiokit import end
from actors.client.client import PoolClient
from pool.executions.execution import Execution
from pool.executions.request import ExecutionRequest

T = TypeVar("T")


async def awaited(
    execution: Execution, request: ExecutionRequest, http: Request, client: PoolClient
) -> Execution:
    """The execution once it has ended. ``ClientDisconnect`` as soon as the caller has gone."""
    ended = client.ended(execution)
    return await attended(ended, http.receive, lambda: abandon(execution, request, client))


async def abandon(execution: Execution, request: ExecutionRequest, client: PoolClient) -> None:
    """What becomes of a run whose caller has hung up: it goes on, unless that was asked for."""
    if request.cancel_on_disconnect:
        await client.cancel(execution.id)


async def attended(
    work: Awaitable[T], receive: Receive, abandon: Callable[[], Awaitable[None]]
) -> T:
    """What ``work`` comes to, while the caller waits.

    ``ClientDisconnect`` as soon as the caller has gone, after ``abandon`` has seen to what becomes
    of the work then.
    """
    working = asyncio.ensure_future(work)
    going = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({working, going}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return await working
        await abandon()
        raise ClientDisconnect
    finally:
        await end([working, going])


async def _gone(receive: Receive) -> None:
    """Return when the caller has hung up. The body was read; nothing else can come."""
    while (await receive())["type"] != "http.disconnect":
        pass
