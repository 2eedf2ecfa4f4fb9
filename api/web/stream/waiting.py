"""Waiting for an execution on behalf of a caller who may hang up."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from actors.client.client import PoolClient
from pool.executions.execution import Execution
from pool.executions.request import ExecutionRequest


async def awaited(
    execution: Execution, request: ExecutionRequest, http: Request, client: PoolClient
) -> Execution:
    """The execution once it has ended.

    Raises ``ClientDisconnect`` as soon as the caller has gone. The run goes on then, unless
    ``cancel_on_disconnect`` was asked for.
    """
    ended = asyncio.create_task(client.ended(execution))
    gone = asyncio.create_task(_gone(http))
    try:
        await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            return await ended
        if request.cancel_on_disconnect:
            await client.cancel(execution.id)
        raise ClientDisconnect
    finally:
        ended.cancel()
        gone.cancel()


async def _gone(http: Request) -> None:
    """Return when the caller has hung up. The body was read; nothing else can come."""
    while (await http.receive())["type"] != "http.disconnect":
        pass
