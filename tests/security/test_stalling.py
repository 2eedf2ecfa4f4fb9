"""Nobody stalls the loop: whatever one caller sends, the next one is answered meanwhile."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

from httpx import AsyncClient

from api.server.app import create_app
from api.server.listening import bound, listening
from api.web.authentication import Keys
from pool.config import ServerSettings
from tests.support.pools.localpool import LocalPool

Enter = Callable[..., Awaitable[AsyncClient]]

JSON = {"content-type": "application/json"}
LONGEST = 0.4
"""Seconds of CPU: several times what is needed, and less than half of what quotes took."""
MANY = range(9_900)


def asks(**fields: Any) -> bytes:
    return json.dumps({"prompt": "x", **fields}).encode()


BODIES = {
    "quotes": b'"' * 9_900_000,
    "quotes behind escapes": b'"' + b'\\\\"' * 3_300_000,
    "escapes": b'{"prompt":"' + b'\\"' * 4_900_000 + b'"}',
    "brackets": b"]" * 9_900_000,
    "spaces": b"[" + b" " * 9_900_000 + b"]",
    "a number": b"[" + b"9" * 9_900_000 + b"]",
    "texts": b"[" + b'"' + b'a","' * 2_400_000 + b'"]',
    "a prompt": asks(prompt="y" * 9_900_000),
    "tools": asks(tools=[1] * 19_000),
    "sub-agents": asks(agent={"sub_agents": {f"k{n}": {"x": 1} for n in MANY[:6_000]}}),
    "metadata": asks(metadata={f"k{n}": "v" for n in MANY}),
    "fields": asks(**{f"k{n}": "v" for n in MANY}),
    "images": asks(images=[1] * 19_000),
}


class Longest:
    """The longest that anything held the loop, in seconds of CPU. What other tests left in this
    process's memory is not looked through meanwhile, nor later: a service has none of it.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    async def __aenter__(self) -> Self:
        gc.collect()
        gc.freeze()
        self._last = time.thread_time()
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
        self._looking.cancel()

    async def _look(self) -> None:
        while True:
            now = time.thread_time()
            self.seconds, self._last = max(self.seconds, now - self._last), now
            await asyncio.sleep(0.001)


async def test_no_body_holds_the_loop(enter: Enter, local_pool: LocalPool) -> None:
    caller = await enter()

    took = {}
    for name, body in BODIES.items():
        async with Longest() as longest:
            answer = await caller.post("/v1/executions", content=body, headers=JSON)
        took[name] = longest.seconds
        assert 400 <= answer.status_code < 500, name

    assert {name: each for name, each in took.items() if each > LONGEST} == {}
    assert local_pool.runner.runs == []


async def test_a_body_in_chunks_of_a_byte_holds_the_loop_for_a_moment(
    local_pool: LocalPool,
) -> None:
    app = create_app(local_pool.client, Keys({}))
    head = b"POST /v1/executions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with bound(ServerSettings(port=0)) as listener:
        async with listening(app, listener), Longest() as longest, asyncio.timeout(30):
            reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
            writer.write(b"1\r\n \r\n" * 80_000 + b"0\r\n\r\n")
            answer = await reader.readline()
            writer.close()

    assert answer.startswith(b"HTTP/1.1 400")
    assert longest.seconds < 0.1  # 2,700 chunks are parsed in a row, or else 20,000 to 40,000
