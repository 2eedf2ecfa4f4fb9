from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from httpx import ASGITransport, AsyncClient
from localpool import LocalPool

from api.app import create_app
from api.keys import Keys

JSON = {"content-type": "application/json"}


@pytest.fixture
async def small(local_pool: LocalPool) -> AsyncIterator[AsyncClient]:
    """A service that reads bodies of up to 1000 bytes."""
    app = create_app(local_pool.client, Keys({}), max_body_bytes=1000)
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://127.0.0.1") as http:
        yield http


def body_of(size: int) -> bytes:
    return b'{"prompt": "' + b"x" * (size - 14) + b'"}'


async def test_a_body_of_the_limit_is_read(small: AsyncClient) -> None:
    response = await small.post("/v1/executions", content=body_of(1000), headers=JSON)

    assert response.status_code == 200


async def test_a_body_announced_as_too_large_is_refused(
    small: AsyncClient, local_pool: LocalPool
) -> None:
    announced = {**JSON, "content-length": "1001"}

    response = await small.post("/v1/executions", content=body_of(20), headers=announced)

    assert response.status_code == 413
    assert response.json()["type"] == "urn:claude-pool:body-too-large"
    assert "1000 bytes" in response.json()["detail"]
    assert local_pool.runner.runs == []


async def test_a_body_that_comes_in_pieces_is_counted(
    small: AsyncClient, local_pool: LocalPool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, 1001, 100):
            yield body_of(1001)[start : start + 100]

    response = await small.post("/v1/executions", content=pieces(), headers=JSON)

    assert response.status_code == 413
    assert local_pool.runner.runs == []


async def test_the_default_limit_leaves_room_for_the_longest_prompt(http: AsyncClient) -> None:
    longest = await http.post("/v1/executions", json={"prompt": "\u00e4" * 500_000})
    too_large = await http.post("/v1/executions", json={"prompt": "x" * 2_000_001})

    assert longest.status_code == 200
    assert too_large.status_code == 413
