"""Calls of an actor whose object cannot be made, and of one that leaves. How it is had to is in
``test_ray_actors``.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.runtime import calls
from actors.runtime.calls import Calls, Left, Raised
from pool.errors import ConfigError


class Thing:
    async def name(self) -> str:
        return "thing"


async def test_why_it_cannot_be_made_is_found_out_once_for_all_who_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[str] = []

    async def make() -> Thing:
        tries.append("a try")
        await asyncio.sleep(0)
        if len(tries) == 1:
            raise ConfigError("pool.store", "another pool has this database")
        return Thing()

    made = Calls(make)

    answers = await asyncio.gather(*(made.call("name", (), {}) for _ in range(5)))
    monkeypatch.setattr(calls, "REFUSED_SECONDS", 0)
    later = await made.call("name", (), {})

    assert [problem_of(each) for each in answers] == ["another pool has this database"] * 5
    assert (tries, later) == (["a try"] * 2, "thing")


class Subscription:
    """Has one call that reads ahead, and one that acts."""

    def __init__(self) -> None:
        self.acts = asyncio.Event()
        self.is_closed = False

    async def activity(self) -> None:
        await asyncio.Event().wait()

    async def pause(self) -> str:
        await self.acts.wait()
        return "paused"

    async def close(self) -> None:
        self.is_closed = True


@pytest.mark.timeout(20)
async def test_who_leaves_sees_through_what_acts_and_waits_for_nobody_who_reads_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "LEAVE_SECONDS", 60)
    subscription = Subscription()

    async def make() -> Subscription:
        return subscription

    made = Calls(make)
    reads = asyncio.create_task(made.call("activity", (), {}))
    acts = asyncio.create_task(made.call("pause", (), {}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    leaving = asyncio.create_task(made.leave())
    assert isinstance(await reads, Left)
    assert not subscription.is_closed
    subscription.acts.set()
    await leaving

    assert (await acts, subscription.is_closed) == ("paused", True)


def problem_of(answer: Any) -> str | None:
    is_told = isinstance(answer, Raised) and isinstance(answer.error, ConfigError)
    return answer.error.problem if is_told else None
