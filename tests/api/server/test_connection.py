from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI

from api.server import app as application
from api.server import connection as module
from api.server import listening as listening_module
from api.server.app import create_app
from api.server.listening import bound, listening
from api.web.authentication import Keys
from api.web.request.body import BodyLimit
from pool.config import ServerSettings
from tests.support.pools.localpool import LocalPool

SOON = 0.3
POST = b"POST /v1/executions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", SOON)
    monkeypatch.setattr(module, "MESSAGE_SECONDS", 2 * SOON)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[Streams]:
    with bound(ServerSettings(port=0)) as listener:
        async with listening(app, listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            try:
                yield reader, writer
            finally:
                writer.close()


async def everything(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side hangs up."""
    came = b""
    try:
        async with asyncio.timeout(10):
            while piece := await reader.read(65_536):
                came += piece
    except ConnectionError:
        pass
    return came


async def dribbled(streams: Streams, head: bytes, piece: bytes) -> bytes:
    """Send a head and then a piece every moment, until the other side hangs up."""
    reader, writer = streams
    writer.write(head)

    async def dribble() -> None:
        while True:
            writer.write(piece)
            await asyncio.sleep(
                SOON / 3
            )  # seldom: what comes after the hang-up takes the answer with it

    dribbling = asyncio.create_task(dribble())
    came = await everything(reader)
    dribbling.cancel()
    await asyncio.gather(dribbling, return_exceptions=True)
    return came


async def test_who_says_nothing_is_cut_off(app: FastAPI) -> None:
    async with connected(app) as (reader, _):
        assert await everything(reader) == b""


async def test_who_dribbles_headers_is_cut_off(app: FastAPI) -> None:
    async with connected(app) as streams:
        assert await dribbled(streams, b"GET /healthz HTTP/1.1\r\n", b"a: b\r\n") == b""


async def test_who_dribbles_a_body_that_nobody_reads_is_cut_off(app: FastAPI) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n"
    async with connected(app) as streams:
        assert (await dribbled(streams, head, b"x")).startswith(b"HTTP/1.1 200")


async def test_who_dribbles_a_body_is_told_that_it_took_too_long(
    local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(BodyLimit):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs, seconds=SOON)  # type: ignore[arg-type]

    monkeypatch.setattr(application, "BodyLimit", Impatient)
    app = create_app(local_pool.client, Keys({}))
    async with connected(app) as streams:
        came = await dribbled(streams, POST + b"Content-Length: 100000\r\n\r\n", b" ")

    assert came.startswith(b"HTTP/1.1 408")
    assert b"urn:claude-pool:body-too-slow" in came
    assert local_pool.runner.runs == []


async def test_an_answer_that_takes_long_is_waited_for(app: FastAPI, local_pool: LocalPool) -> None:
    local_pool.runner.hold = True
    body = b'{"prompt": "say yes"}'
    async with connected(app) as (reader, writer):
        writer.write(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        (run,) = await local_pool.runner.wait_for_runs(1)
        await asyncio.sleep(3 * SOON)
        run.end()
        async with asyncio.timeout(10):
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def healthy(streams: Streams) -> bytes:
    reader, writer = streams
    writer.write(HEALTH)
    async with asyncio.timeout(10):
        return await reader.readuntil(b'{"status":"ok"}')


async def test_a_connection_rests_between_requests_for_longer_than_a_head_may_take(
    app: FastAPI,
) -> None:
    async with connected(app) as streams:
        for _ in range(3):
            assert (await healthy(streams)).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(2 * SOON)


async def test_who_dribbles_the_headers_of_a_later_request_is_cut_off(app: FastAPI) -> None:
    async with connected(app) as streams:
        await healthy(streams)

        assert await dribbled(streams, b"GET /healthz HTTP/1.1\r\n", b"a: b\r\n") == b""


async def test_an_answer_says_how_long_its_connection_is_kept_which_is_less_than_it_is(
    app: FastAPI,
) -> None:
    async with connected(app) as streams:
        assert b"keep-alive: timeout=75\r\n" in (await healthy(streams)).lower()

    assert module.KEEP_ALIVE_SECONDS > module.TOLD_KEEP_ALIVE_SECONDS >= 75


async def test_a_connection_that_rests_for_too_long_is_closed(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening_module, "KEEP_ALIVE_SECONDS", 2 * SOON)
    async with connected(app) as streams:
        await healthy(streams)

        assert await everything(streams[0]) == b""


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000 + b"\r\n"],
    ids=["no HTTP", "headers without end"],
)
async def test_what_is_no_http_is_told_with_the_headers_of_every_answer(
    app: FastAPI, sent: bytes
) -> None:
    async with connected(app) as (reader, writer):
        writer.write(sent)
        came = await everything(reader)

    assert came == b"" or came.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    assert came == b"" or b"nosniff" in came.lower()


async def test_a_request_whose_length_is_told_twice_is_refused_and_the_connection_closed(
    app: FastAPI, local_pool: LocalPool
) -> None:
    body = b'{"prompt": "say yes"}'
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    twice = b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(body)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    async with connected(app) as (reader, writer):
        writer.write(POST + twice + chunked + smuggled)
        came = await everything(reader)

    assert came.startswith(b"HTTP/1.1 400")
    assert b"urn:claude-pool:ambiguous-length" in came
    assert came.count(b"HTTP/1.1 ") == 1
    assert local_pool.runner.runs == []
