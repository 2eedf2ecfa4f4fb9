"""Calls of an actor whose object cannot be made. How actors leave is in ``test_ray_actors``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.runtime import calls
from actors.runtime.calls import Calls, Raised
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


def problem_of(answer: Any) -> str | None:
    is_told = isinstance(answer, Raised) and isinstance(answer.error, ConfigError)
    return answer.error.problem if is_told else None
