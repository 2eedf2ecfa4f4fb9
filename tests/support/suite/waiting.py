"""Waits for what no event announces: other processes, their files, and the state of a pool."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """What a condition gives, plain or awaited, once that is something. ``TimeoutError`` where it
    does not come.
    """
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.005)
