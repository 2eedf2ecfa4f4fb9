"""The thread of the blocking client: when it begins, and that it ends."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import pytest

from actors.client.blocking import BlockingPoolClient
from actors.client.client import PoolClient
from actors.runtime.ray_actors import RayActors

pytestmark = pytest.mark.timeout(30)


class Relay:
    """A client that answers from its own loop, or never."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def __getstate__(self) -> None: ...

    async def pool(self) -> str:
        return threading.current_thread().name

    async def backup(self) -> None:
        self.asked.set()
        await asyncio.Event().wait()

    async def watch(self, **_: Any) -> AsyncIterator[int]:
        for number in range(3):
            yield number


def blocking(relay: object | None = None) -> Any:
    return BlockingPoolClient(relay or Relay())  # type: ignore[arg-type]


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "pool-client"]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def none_before_and_none_afterwards() -> Any:
    assert threads() == []
    yield
    eventually(lambda: not threads())


def test_the_thread_begins_with_the_first_call_and_ends_at_close() -> None:
    client = blocking()
    assert threads() == []

    with client:
        assert "pool-client" == client.pool() == client.pool()
        assert len(threads()) == 1

    assert threads() == []


def test_many_threads_share_one() -> None:
    with blocking() as client, ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda _: client.pool(), range(64)))

        assert answers == ["pool-client"] * 64
        assert len(threads()) == 1


def test_closing_ends_who_still_waits() -> None:
    relay = Relay()
    with ThreadPoolExecutor(1) as callers:
        client = blocking(relay)
        waiting = callers.submit(client.backup)
        relay.asked.wait(10)
        client.close()
        client.close()

        with pytest.raises(CancelledError):
            waiting.result(10)


def test_a_closed_client_says_so() -> None:
    client = blocking()
    client.close()

    with pytest.raises(RuntimeError, match="closed"):
        client.pool()


def test_a_client_that_nobody_holds_leaves_no_thread() -> None:
    client = blocking()
    client.pool()

    del client
    gc.collect()

    eventually(lambda: not threads())


def test_a_client_is_sent_while_it_is_used_and_begins_anew_where_it_arrives() -> None:
    with blocking() as client:
        client.pool()
        with pickle.loads(pickle.dumps(client)) as arrived:
            assert len(threads()) == 1
            assert arrived.pool() == "pool-client"
            assert len(threads()) == 2


def test_what_is_sent_is_small() -> None:
    assert len(pickle.dumps(blocking(PoolClient(RayActors("pool"))))) < 400


def test_a_stream_that_is_left_early_is_closed() -> None:
    with blocking() as client:
        assert next(client.watch()) == 0
        assert list(client.watch()) == [0, 1, 2]
