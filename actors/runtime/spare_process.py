"""The spare process: one of Ray's that is up and has nothing to do, on the router's node. The next
actor there comes up in it: the router after its death, or a subscription that wakes.

To start a process takes Python and Ray half a second of a core, of the second or so in which an
actor is there. Ray has no word for a spare, and keeps one nevertheless (2.60): an actor is given an
idle process that has run nothing yet, and idle processes stay while they are not more than the
node's free CPUs. For a task that finds none Ray starts one process more than the task needs. So a
task is run which does nothing, and whose own process ends with it.

A spare has loaded Ray and nothing of the pool: no code that an upgrade replaces, no variable, no
connection. It serves actors of the job that it was started for alone, the router's, and Ray ends it
when the program of that job leaves, which is the service that made the router. A Ray of the pool's
own ends with that one; in a cluster the router goes on, without a spare from then on. Where there
is none, an actor comes up all the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import ray
from ray.exceptions import RayError

from actors.aiokit import Tasks, within
from actors.runtime import cluster
from actors.runtime.nodes import ray_nodes
from pool.claude.process.identity import start_time

log = logging.getLogger(__name__)

QUIET_SECONDS = 15.0
"""Since an actor came up: what comes up together needs the cores, and a pool that is there for a
moment needs no spare."""
APART_SECONDS = 60.0
"""Between two spares, each of which takes two starts of a process, a second of a core: where
hundreds of subscriptions come up one after the other for a look, few need be quick."""
ANSWER_SECONDS = 30.0
"""For the task: on a busy machine its process takes seconds to start."""
TRIES = 3
"""A task that finds a spare runs in it, and so ends it: the next one makes another."""


class SpareProcess:
    """Sees to it that there is a spare. ``start`` runs a task of Ray's on this node; whether that
    was all that can be done, since Ray has started a process for it, or no spare could stay.
    """

    def __init__(self, start: Callable[[], Awaitable[bool]]) -> None:
        self._start = start
        self._tasks = Tasks()
        self._is_kept = False
        self._taken = asyncio.Event()

    def keep(self) -> None:
        """Have a spare from now on, for as long as this process lives."""
        self.taken()
        if not self._is_kept:
            self._is_kept = True
            self._tasks.spawn(self._keep())

    def taken(self) -> None:
        """An actor comes up: perhaps in the spare."""
        self._taken.set()

    async def _keep(self) -> None:
        while True:
            await self._taken.wait()
            self._taken.clear()
            if not await within(QUIET_SECONDS, self._taken):
                await self._begin()
                await asyncio.sleep(APART_SECONDS)

    async def _begin(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                for _ in range(TRIES):
                    if await self._start():
                        return
        except (RayError, TimeoutError) as error:
            problem = str(error).partition("\n")[0] or type(error).__name__
            log.warning("no spare process was started", extra={"problem": problem})


async def _seen_to() -> bool:
    if await cluster.is_orphan():
        return True  # as good as it gets: Ray would end a spare at once
    here = ray_nodes.only(ray_nodes.here())
    task: Any = ray.remote(num_cpus=0, max_calls=1, max_retries=0, **here)(_start_time)
    now = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
    return bool(await task.remote() >= now)


def _start_time() -> int:
    """Of this process, in ticks since boot."""
    return start_time(os.getpid()) or 0


SPARE = SpareProcess(_seen_to)
"""That of the router's process."""
