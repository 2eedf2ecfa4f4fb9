from __future__ import annotations

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from api.web.request.head import HEADERS, MAX_HEAD_BYTES
from tests.support.pools.localpool import LocalPool

ANSWERS = {
    ("GET", "/v1/pool"): 200,
    ("GET", "/v1/executions/unknown"): 404,
    ("GET", "/nothing"): 404,
    ("PUT", "/v1/pool"): 405,
    ("POST", "/v1/executions"): 415,
    ("POST", "/v1/messages"): 415,
    ("GET", "/healthz"): 200,
    ("GET", "/metrics"): 200,
    ("GET", "/openapi.json"): 200,
}


@pytest.mark.parametrize(("request_", "status"), ANSWERS.items(), ids=str)
async def test_every_answer_keeps_browsers_from_guessing_framing_and_keeping(
    http: AsyncClient, request_: tuple[str, str], status: int
) -> None:
    method, path = request_

    answer = await http.request(method, path)

    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


async def test_an_error_nobody_expected_has_the_headers_too(
    app: FastAPI, http: AsyncClient
) -> None:
    async def fail() -> None:
        raise RuntimeError

    app.state.client.pool = fail

    answer = await http.get("/v1/pool")

    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_stream_has_the_headers_too(http: AsyncClient) -> None:
    answer = await http.post("/v1/executions", json={"prompt": "say yes", "stream": True})

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"


async def test_no_other_origin_is_let_in(http: AsyncClient) -> None:
    asked = {
        "origin": "http://localhost:3000",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }

    answers = [
        await http.options("/v1/executions", headers=asked),
        await http.get("/v1/pool", headers={"origin": "http://localhost:3000"}),
        await http.get("/healthz", headers={"origin": "https://example.com"}),
    ]

    for answer in answers:
        assert [name for name in answer.headers if name.startswith("access-control")] == []


@pytest.mark.parametrize("part", ["header", "address"])
async def test_a_head_that_is_too_large_is_refused(
    http: AsyncClient, local_pool: LocalPool, part: str
) -> None:
    much = "x" * MAX_HEAD_BYTES
    sent = {"headers": {"x-much": much}} if part == "header" else {"params": {"much": much}}

    answer = await http.get("/v1/pool", **sent)  # type: ignore[arg-type]

    assert answer.status_code == 431
    assert answer.json()["type"] == "urn:claude-pool:head-too-large"
