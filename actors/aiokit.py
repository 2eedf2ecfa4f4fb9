"""Asyncio as every room of the actors uses it: tasks, periodic work, news, locks, bounded waits,
and methods that only pass a call on.

Where anyio does the thing, it is used. What happens in a pause, in which order and what becomes of
an error is said here once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import Context
from functools import update_wrapper
from typing import Any, Concatenate, Generic, NoReturn, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from anyio import move_on_after

from pool.errors import PoolError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Holder = TypeVar("Holder")
Target = TypeVar("Target")

AFTER_FAILURE_SECONDS = 5.0
"""The shortest pause after work that failed: a store that is away is not asked at every turn, and
a defect does not fill the log."""


async def within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event; whether it was set within so many seconds."""
    with move_on_after(seconds):
        await event.wait()
    return event.is_set()


async def every(
    seconds: float,
    work: Callable[[], Awaitable[float | None]],
    failing: str,
    *,
    wake: asyncio.Event | None = None,
    after_failure: float = AFTER_FAILURE_SECONDS,
    **ids: str,
) -> NoReturn:
    """Do ``work`` now and after every pause, for as long as the task lives.

    The pause is what the work answers, or else ``seconds``; ``wake`` cuts it short. An error ends
    nothing: it is logged as ``failing``, with ``ids``, and the pause is at least ``after_failure``.
    """
    wake = wake or asyncio.Event()
    while True:
        wake.clear()
        try:
            asked = await work()
            pause = seconds if asked is None else asked
        except (PoolError, OSError) as error:
            log.warning(failing, extra={**ids, "problem": str(error)})
            pause = max(seconds, after_failure)
        except Exception:  # a defect in one turn must not end all others
            log.exception(failing, extra=ids)
            pause = max(seconds, after_failure)
        await within(pause, wake)


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks, and return when they have ended, however they did."""
    tasks = tuple(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Tasks:
    """Tasks that live as long as their holder. One that fails ends alone; the log says of what."""

    def __init__(self, **ids: str) -> None:
        self._ids = ids
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(
        self, work: Coroutine[Any, Any, T], context: Context | None = None
    ) -> asyncio.Task[T]:
        """Begin a task; it is held until it has ended."""
        task = asyncio.create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """End all of them."""
        await end(self._tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("task failed", exc_info=task.exception(), extra=self._ids)


class News:
    """The changes of something, for all who wait for the next one."""

    def __init__(self) -> None:
        self.next = asyncio.Event()
        """Set at the next change. Who takes it before a look misses no change after that look."""

    def tell(self) -> None:
        """Let all who wait go on."""
        self.next.set()
        self.next = asyncio.Event()

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait, from change to change, until something holds; whether it did in so many seconds."""
        with move_on_after(seconds):
            while not condition():
                await self.next.wait()
        return condition()


class Keyed(Generic[T]):
    """Something for each key, such as a lock, for as long as somebody holds it or waits for it."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._held: WeakValueDictionary[str, T] = WeakValueDictionary()

    def __getitem__(self, key: str) -> T:
        return self._held.setdefault(key, self._make())

    def values(self) -> Iterable[T]:
        """What is held now."""
        return tuple(self._held.values())


def forwarded(
    to: Callable[[Holder], Target],
    method: Callable[Concatenate[Target, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Holder, P], Coroutine[Any, Any, T]]:
    """A method that passes its call on to one of somebody else. Its signature and what it promises
    are those of that method.
    """
    name = method.__name__

    async def call(self: Holder, /, *args: P.args, **named: P.kwargs) -> T:
        answer: T = await getattr(to(self), name)(*args, **named)
        return answer

    return update_wrapper(call, method)
