"""Tasks, periodic work, news, locks and bounded waits."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from operator import attrgetter

import pytest

from actors.aiokit import Keyed, News, Tasks, end, every, forwarded, within
from pool.errors import StoreError

LONG = 60.0
"""Longer than any test here takes: what waits for it would be seen to hang."""


class Work:
    """Work that notes its turns, and fails or asks for a pause where it is told to."""

    def __init__(self, *turns: Exception | float | None) -> None:
        self._turns = list(turns)
        self.done = 0
        self.over = asyncio.Event()

    async def __call__(self) -> float | None:
        self.done += 1
        if not self._turns:
            self.over.set()
            return LONG
        turn = self._turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn


async def done(work: Work, seconds: float = 0, **how: float) -> int:
    """How often work is done until it has run out of turns."""
    task = asyncio.create_task(every(seconds, work, "failing", **how))  # type: ignore[arg-type]
    assert await within(10, work.over)
    await end([task])
    return work.done


async def test_an_event_in_time_is_told_from_none() -> None:
    event = asyncio.Event()
    assert not await within(0.01, event)

    asyncio.get_running_loop().call_later(0.01, event.set)

    assert await within(LONG, event)


async def test_work_begins_at_once_and_comes_again_after_every_pause() -> None:
    assert await done(Work(None, None)) == 3


async def test_work_says_when_it_wants_to_be_done_again() -> None:
    assert await done(Work(0.0, 0.01), LONG) == 3


@pytest.mark.parametrize("error", [StoreError("sub1", "is full"), OSError("no"), RuntimeError()])
async def test_an_error_is_logged_and_ends_nothing(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert await done(Work(error), after_failure=0) == 2

    (told,) = caplog.records
    assert told.message == "failing"
    assert (told.exc_info is not None) is isinstance(error, RuntimeError)


async def test_work_that_failed_rests_for_a_while() -> None:
    began = time.monotonic()

    await done(Work(OSError("no"), None), after_failure=0.05)

    assert time.monotonic() - began >= 0.05


async def test_a_pause_can_be_cut_short() -> None:
    work, wake = Work(None), asyncio.Event()
    task = asyncio.create_task(every(LONG, work, "failing", wake=wake))
    await asyncio.sleep(0)

    wake.set()

    assert await within(10, work.over)
    await end([task])


async def test_what_is_wanted_while_work_is_done_is_done_once_more() -> None:
    wake, work = asyncio.Event(), Work(None)

    async def wanted_meanwhile() -> float | None:
        if work.done == 0:
            wake.set()
        await work()
        return LONG

    task = asyncio.create_task(every(LONG, wanted_meanwhile, "failing", wake=wake))

    assert await within(10, work.over)
    await end([task])


async def test_tasks_end_with_their_holder() -> None:
    tasks, ended = Tasks(), asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            ended.set()

    task = tasks.spawn(wait())
    await asyncio.sleep(0)
    await tasks.close()

    assert task.cancelled()
    assert ended.is_set()


async def test_a_task_that_fails_is_told_of_and_ends_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = Tasks(subscription_id="sub1")

    async def fail() -> None:
        raise RuntimeError

    other = tasks.spawn(asyncio.sleep(LONG))
    failed = tasks.spawn(fail())
    await asyncio.wait([failed])
    await asyncio.sleep(0)

    assert not other.done()
    (told,) = caplog.records
    assert (told.levelno, told.message) == (logging.ERROR, "task failed")
    assert vars(told)["subscription_id"] == "sub1"
    await tasks.close()


async def test_everybody_who_waits_hears_of_a_change_and_nobody_of_an_earlier_one() -> None:
    news = News()
    waiting = [asyncio.create_task(within(LONG, news.next)) for _ in range(3)]
    await asyncio.sleep(0)

    news.tell()

    assert await asyncio.gather(*waiting) == [True] * 3
    assert not await within(0.01, news.next)


async def test_a_change_between_a_look_and_the_wait_is_not_missed() -> None:
    news = News()
    following = news.next

    news.tell()

    assert await within(LONG, following)


async def test_something_is_waited_for_from_change_to_change() -> None:
    news, seen = News(), list[int]()

    async def changes() -> None:
        for number in range(3):
            seen.append(number)
            news.tell()
            await asyncio.sleep(0)

    changing = asyncio.create_task(changes())

    assert await news.until(lambda: 2 in seen, LONG)
    assert not await news.until(lambda: 3 in seen, 0.01)
    await changing


async def test_one_holds_a_key_at_a_time_and_others_do_not_wait() -> None:
    locks, order = Keyed(asyncio.Lock), list[str]()

    async def hold(key: str, name: str) -> None:
        async with locks[key]:
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            order.append(f"{name} ends")

    await asyncio.gather(hold("a", "one"), hold("a", "two"), hold("b", "three"))

    assert order.index("one ends") < order.index("two begins")
    assert order.index("three begins") < order.index("one ends")


async def test_a_lock_that_nobody_holds_is_forgotten() -> None:
    locks = Keyed(asyncio.Lock)

    async with locks["a"]:
        assert len(locks.values()) == 1

    assert len(locks.values()) == 0


class Target:
    async def answers(self, question: str, *, loudly: bool = False) -> str:
        """What is answered."""
        return question.upper() if loudly else question


class Asker:
    def __init__(self) -> None:
        self._target = Target()

    asks = forwarded(attrgetter("_target"), Target.answers)


async def test_a_call_is_passed_on_as_it_was_made() -> None:
    assert await Asker().asks("why") == "why"
    assert await Asker().asks("why", loudly=True) == "WHY"


def test_a_method_that_passes_on_is_known_by_what_it_passes_on_to() -> None:
    assert inspect.signature(Asker.asks) == inspect.signature(Target.answers)
    assert Asker.asks.__doc__ == "What is answered."
