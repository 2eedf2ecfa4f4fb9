from __future__ import annotations

import asyncio
from contextlib import suppress

from actors.router.presence.activation_queue import ActivationQueue


class Comers:
    """Subscriptions that come up when they are told to."""

    def __init__(self, queue: ActivationQueue, count: int) -> None:
        self.order: list[str] = []
        self.at_once = self.most_at_once = 0
        self._queue = queue
        self._up: dict[str, asyncio.Event] = {}
        self.tasks = {id_: asyncio.create_task(self._come(id_)) for id_ in names(count)}

    async def _come(self, id_: str) -> None:
        async with self._queue.turn(id_):
            self.order.append(id_)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self._up[id_] = asyncio.Event()
            try:
                await self._up[id_].wait()
            finally:
                self.at_once -= 1

    async def up(self, id_: str) -> None:
        """Let one be up, and the next one begin."""
        self._up[id_].set()
        await self.tasks[id_]
        await asyncio.sleep(0)


def names(count: int) -> list[str]:
    return [f"sub{n}" for n in range(count)]


async def test_a_few_come_up_at_a_time_and_all_in_the_end() -> None:
    comers = Comers(ActivationQueue(2), 60)
    await asyncio.sleep(0)

    for id_ in names(60):
        await comers.up(id_)

    assert comers.order == names(60)
    assert comers.most_at_once == 2


async def test_one_that_is_wanted_goes_before_those_that_nobody_asks_for() -> None:
    queue = ActivationQueue(2)
    comers = Comers(queue, 10)
    await asyncio.sleep(0)

    queue.want("sub7")
    queue.want("sub5")
    for id_ in ("sub0", "sub1", "sub7"):
        await comers.up(id_)

    assert comers.order == ["sub0", "sub1", "sub7", "sub5", "sub2"]


async def test_one_that_was_wanted_before_it_waited_goes_first_all_the_same() -> None:
    queue = ActivationQueue(1)
    queue.want("sub3")
    comers = Comers(queue, 5)
    await asyncio.sleep(0)
    await comers.up("sub0")

    assert comers.order == ["sub0", "sub3"]


async def test_one_that_goes_away_takes_no_turn_along() -> None:
    comers = Comers(ActivationQueue(2), 6)
    await asyncio.sleep(0)

    gone = [comers.tasks[id_] for id_ in ("sub0", "sub2", "sub3")]
    for task in gone:
        task.cancel()
    for task in gone:
        with suppress(asyncio.CancelledError):
            await task
    await asyncio.sleep(0)

    assert comers.order == ["sub0", "sub1", "sub4"]
    await comers.up("sub1")
    assert comers.order == ["sub0", "sub1", "sub4", "sub5"]


async def test_a_turn_that_fails_is_given_on() -> None:
    queue = ActivationQueue(1)

    for _ in range(3):
        with suppress(ValueError):
            async with queue.turn("sub1"):
                raise ValueError

    async with asyncio.timeout(1), queue.turn("sub2"):
        pass
