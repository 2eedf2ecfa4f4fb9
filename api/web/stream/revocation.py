"""Streams that end with their caller's key.

A stream may go on for hours, and its caller was let in at its beginning. So while it is open its
key is looked at again, as for a new request: once it was revoked or has expired, or the pool has
keys and its caller brought none, the stream ends within seconds, with an error. What runs goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import NoReturn, TypeVar, cast

from fastapi import Request

from actors.aiokit import end
from api.web.authentication import REMEMBERED_SECONDS, Authenticator, Caller
from pool.errors import KeyEnded, PoolError

T = TypeVar("T")

LOOK_SECONDS = REMEMBERED_SECONDS
"""Between two looks, of which those of all streams of a key ask the pool once."""


async def while_open(events: AsyncGenerator[T, None], http: Request) -> AsyncGenerator[T, None]:
    """The events, for as long as the key of a request opens the pool; then ``KeyEnded``."""
    authenticator = cast("Authenticator", http.app.state.authenticator)
    watching = asyncio.create_task(_ended(authenticator, http.state.caller, http.state.presented))
    coming: asyncio.Task[T] | None = None
    try:
        while True:
            coming = asyncio.create_task(_next(events))
            await asyncio.wait({coming, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                await watching
            try:
                event = await coming
            except StopAsyncIteration:
                return
            yield event
    finally:
        await end([watching, *([coming] if coming is not None else [])])
        await events.aclose()


async def _next(events: AsyncIterator[T]) -> T:
    return await anext(events)


async def _ended(
    authenticator: Authenticator, caller: Caller, presented: tuple[str, ...]
) -> NoReturn:
    """Raise once a caller would not be let in any more. A pool that cannot be asked says nothing
    against anybody.
    """
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            is_open = await authenticator.still_opens(caller, presented)
        except PoolError:
            continue
        if not is_open:
            raise KeyEnded(caller.name, "was revoked, or has expired, while this was open")
