from __future__ import annotations

import re

import pytest
from httpx import AsyncClient


@pytest.mark.parametrize("path", ["/healthz", "/v1/pool", "/v1/nothing", "/v1/executions/unknown"])
async def test_every_answer_has_an_id_of_its_own(http: AsyncClient, path: str) -> None:
    first, second = await http.get(path), await http.get(path)

    ids = {first.headers["request-id"], second.headers["request-id"]}
    assert len(ids) == 2
    assert all(re.fullmatch("req_[0-9a-f]{24}", each) for each in ids)
    assert first.headers["x-request-id"] == first.headers["request-id"]


async def test_a_caller_cannot_choose_it(http: AsyncClient) -> None:
    answer = await http.get("/healthz", headers={"x-request-id": "mine", "request-id": "mine"})

    assert "mine" not in answer.headers["x-request-id"]
