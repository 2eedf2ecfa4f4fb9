from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from httpx import AsyncClient, Response
from hypothesis import given
from hypothesis import strategies as st

from api.web.request.body import MAX_BODY_BYTES
from api.web.request.compression import _Unpacking
from tests.support.pools.localpool import LocalPool

BODY = json.dumps({"prompt": "say yes \u00e4"}).encode()
ADDRESSES = ["/v1/executions", "/v1/messages", "/v1/chat/completions"]


def bare(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


async def send(
    http: AsyncClient, body: bytes, coding: str, address: str = ADDRESSES[0]
) -> Response:
    headers = {"content-type": "application/json", "content-encoding": coding}
    return await http.post(address, content=body, headers=headers)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("x-gzip", gzip.compress(BODY, mtime=0)),
        ("GZIP", gzip.compress(BODY, mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", bare(BODY)),
        ("identity", BODY),
        ("", BODY),
    ],
)
async def test_a_packed_body_is_read(
    http: AsyncClient, local_pool: LocalPool, coding: str, body: bytes
) -> None:
    answer = await send(http, body, coding)

    assert answer.status_code == 200, answer.text
    assert local_pool.runner.runs[0].launch.prompt == "say yes \u00e4"


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("coding", ["zstd", "br", "gzip, gzip", "nonsense"])
async def test_a_coding_that_is_not_read_is_a_415_that_names_the_header(
    http: AsyncClient, address: str, coding: str
) -> None:
    answer = await send(http, BODY, coding, address)

    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert "Content-Encoding" in answer.text


@pytest.mark.parametrize(
    "body",
    [BODY, gzip.compress(BODY, mtime=0)[:-5], gzip.compress(BODY, mtime=0) + b"more", b"\x1f"],
)
async def test_what_is_not_packed_as_it_says_is_a_400(
    http: AsyncClient, local_pool: LocalPool, body: bytes
) -> None:
    answer = await send(http, body, "gzip")

    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:claude-pool:broken-coding"
    assert local_pool.runner.runs == []


async def test_a_bomb_is_refused_before_it_is_unpacked(http: AsyncClient) -> None:
    bomb = gzip.compress(bytes(100 * MAX_BODY_BYTES), compresslevel=1)
    assert len(bomb) < MAX_BODY_BYTES
    tracemalloc.start()

    answer = await send(http, bomb, "gzip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert answer.status_code == 413
    assert peak < 5 * MAX_BODY_BYTES


async def unpacked(pieces: Iterator[bytes], coding: str) -> bytes:
    async def receive() -> dict[str, object]:
        piece = next(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def slices() -> AsyncIterator[bytes]:
        unpacking = _Unpacking(coding, receive, MAX_BODY_BYTES)  # type: ignore[arg-type]
        while (message := await unpacking.next())["more_body"]:
            yield message["body"]
        yield message["body"]

    return b"".join([each async for each in slices()])


@given(
    st.binary(max_size=300) | st.integers(0, 200_000).map(bytes),
    st.integers(1, 500),
    st.sampled_from([("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", bare)]),
)
async def test_a_body_is_the_same_however_it_comes_in_pieces(
    body: bytes, size: int, coding: tuple[str, Callable[[bytes], bytes]]
) -> None:
    name, pack = coding
    packed = pack(body)
    pieces = (packed[at : at + size] for at in range(0, len(packed), size))

    assert await unpacked(pieces, name) == body
