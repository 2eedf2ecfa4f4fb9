"""A proxy of an actor: it finds the actor by its name, and repeats a call while it is away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import ray
from ray.exceptions import ActorUnschedulableError, RayActorError

from actors.runtime.calls import Left, Raised
from pool.errors import ActorLost, PoolError

PATIENCE_SECONDS = 20.0
"""How long a call is repeated while its actor is away: a restart takes a second, on a busy machine
more, and its ledger may be held for up to 10 s."""
CALL_SECONDS = 75.0
"""A call that takes longer than any it could be (a 30 s poll after a slow activation) is lost."""
RETRY_SECONDS = 0.05
"""Between two looks at whether Ray has started its process anew, and before the second call."""
MOST_RETRY_SECONDS = 0.4
"""Between two calls of an actor of which Ray knows no better than that it is there, as it does for
seconds of one whose node is gone: each call fails at once, and thousands may wait."""
_ALIVE, _RESTARTING = 2, 3
"""Of Ray's ``ActorTableData.ActorState``."""
AWAY = (RayActorError, ActorUnschedulableError)
"""What Ray says of an actor that is not there: the latter of one whose only node is gone, which is
no kind of the former."""


class ActorProxy:
    """Stands for the object inside a named actor; its methods are those of the object.

    The name is looked up once, however many calls begin at a time, and again when a call fails.
    With ``absent``, that is raised at once where nobody bears the name; with ``wake``, that is
    asked to have the actor come up again, where it has left, before it is called once more;
    ``lost`` is told of each call that an actor did not answer which had not left.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        absent: PoolError | None = None,
        wake: Callable[[], Awaitable[None]] | None = None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._lost = lost
        self._namespace = namespace
        self._absent = absent
        self._wake = wake
        self._handle: Any = None
        self._looking_up = threading.Lock()
        self._watches: MutableMapping[asyncio.AbstractEventLoop, asyncio.Task[None]]
        self._watches = WeakKeyDictionary()

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        if method.startswith("_"):
            raise AttributeError(method)

        async def call(*args: Any, **named: Any) -> Any:
            return await self._call(method, args, named)

        return call

    async def _call(self, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        lost_at: float | None = None
        pause = RETRY_SECONDS
        while True:
            handle, failed_at, has_left = None, time.monotonic(), False
            try:
                handle = self._handle or await asyncio.to_thread(self._look_up)
                async with asyncio.timeout(CALL_SECONDS):
                    answer = await handle.call.remote(method, args, named)
            except (*AWAY, ValueError, TimeoutError) as error:
                if handle is None and self._absent is not None:
                    raise type(self._absent)(*self._absent.args) from error
                problem, has_left = type(error).__name__, handle is None
                self._lost()
                if not isinstance(error, TimeoutError):  # it may have answered until just now
                    failed_at = time.monotonic()
            else:
                if isinstance(answer, Raised):
                    raise answer.error
                if not isinstance(answer, Left):
                    return answer
                problem, failed_at, has_left = "it leaves", time.monotonic(), True
            if self._handle is handle:
                self._handle = None  # another call may have found the next one already
            lost_at = lost_at or failed_at
            if time.monotonic() - lost_at > PATIENCE_SECONDS:
                raise ActorLost(self._name, problem)
            pause = await self._before_a_retry(pause, has_left=has_left)
            await self._while_restarting(handle, lost_at + PATIENCE_SECONDS)

    async def _before_a_retry(self, pause: float, *, has_left: bool) -> float:
        """Wait; how long to wait the next time."""
        if not has_left:
            await asyncio.sleep(pause)
            return min(2 * pause, MOST_RETRY_SECONDS)
        if self._wake is not None:
            with suppress(PoolError):  # a router that is away is asked again
                await self._wake()
        await asyncio.sleep(RETRY_SECONDS)
        return RETRY_SECONDS

    async def _while_restarting(self, handle: Any, until: float) -> None:
        """Wait as long as Ray starts a process anew. One task looks for all calls of an event loop:
        thousands may wait.
        """
        if not is_restarting(handle):
            return
        loop = asyncio.get_running_loop()
        watch = self._watches.get(loop)
        if watch is None or watch.done():
            watch = self._watches[loop] = loop.create_task(_until_restarted(handle, until))
        await asyncio.wait({watch}, timeout=until - time.monotonic())

    def _look_up(self) -> Any:
        """The actor's handle; ``ValueError`` where nobody bears the name."""
        with self._looking_up:
            if self._handle is None:
                self._handle = ray.get_actor(self._name, namespace=self._namespace)
            return self._handle


async def _until_restarted(handle: Any, until: float) -> None:
    while is_restarting(handle) and time.monotonic() < until:  # noqa: ASYNC110 - Ray tells nobody
        await asyncio.sleep(RETRY_SECONDS)


def is_restarting(handle: Any) -> bool:
    """Whether Ray starts a process anew for an actor that was called before: until that is up, a
    call would fail at once. ``None`` is nobody.
    """
    if handle is None:
        return False
    return bool(handle._get_local_state() == _RESTARTING)  # noqa: SLF001 - Ray has no public way


def is_alive(handle: Any) -> bool:
    """Whether an actor has its process, as far as Ray knows; it does once a call was made."""
    return bool(handle._get_local_state() == _ALIVE)  # noqa: SLF001 - Ray has no public way
