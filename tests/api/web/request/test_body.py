from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import pytest
from httpx import ASGITransport, AsyncClient
from hypothesis import given
from hypothesis import strategies as st

from api.server.app import create_app
from api.web.authentication import Keys
from api.web.request.body import (
    MAX_NESTING,
    MAX_VALUES,
    _measure,
    _value,
)
from tests.support.pools.localpool import LocalPool

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
    too_large = await http.post("/v1/executions", json={"prompt": "x" * 10_000_001})

    assert longest.status_code == 200
    assert too_large.status_code == 413


# -- what a body may hold ------------------------------------------------------------------------


async def refused(http: AsyncClient, body: bytes, path: str = "/v1/executions") -> tuple[int, str]:
    """The status and type of the answer, which came at once."""
    began = time.process_time()
    answer = await http.post(path, content=body, headers=JSON)
    assert time.process_time() - began < 2
    told = answer.json()
    return answer.status_code, told.get("type", "").removeprefix("urn:claude-pool:")


def nested(depth: int) -> bytes:
    schema = b'{"a":' * (depth - 1) + b"1" + b"}" * (depth - 1)
    return b'{"prompt": "say yes", "json_schema": ' + schema + b"}"


@pytest.mark.parametrize(
    "body",
    [b"[" * 10_000_000, b'{"a":' * 1_000_000, nested(MAX_NESTING + 1), b"[{" * 40],
    ids=["lists", "objects", "one too many", "broken too"],
)
async def test_what_is_nested_too_deep_is_refused_before_it_is_parsed(
    http: AsyncClient, local_pool: LocalPool, body: bytes
) -> None:
    assert await refused(http, body) == (413, "body-too-intricate")
    assert local_pool.runner.runs == []


async def test_what_is_nested_as_deep_as_allowed_is_taken_and_read_back(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True
    body = nested(MAX_NESTING).replace(b'{"prompt"', b'{"background": true, "prompt"', 1)

    answer = await http.post("/v1/executions", content=body, headers=JSON)
    await local_pool.restart(answer.json()["subscription_id"])

    assert answer.status_code == 202
    assert (await http.get(answer.headers["location"])).json()["status"] == "running"


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"0," * MAX_VALUES + b"0]",
        b"[" + b"{}," * MAX_VALUES + b"0]",
        b"{" + b",".join(b'"%d":0' % n for n in range(MAX_VALUES + 1)) + b"}",
    ],
    ids=["numbers", "objects", "names"],
)
async def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(
    http: AsyncClient, body: bytes
) -> None:
    assert await refused(http, body) == (413, "body-too-intricate")


async def test_what_stands_in_texts_counts_for_nothing(http: AsyncClient) -> None:
    prompt = '[{"a": "b\\\\", ' * 20_000

    answer = await http.post("/v1/executions", json={"prompt": prompt})

    assert answer.status_code == 200


async def test_a_long_conversation_is_no_exotic_body(http: AsyncClient) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 4_000
    body = {"messages": [*turns, {"role": "user", "content": "c"}], "max_tokens": 10}

    answer = await http.post("/v1/messages", json={"model": "claude-sonnet-4-5", **body})

    assert answer.status_code == 200, answer.text[:300]


@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt": "one", "prompt": "two"}',
        b'{"prompt": "x", "json_schema": {"a": 1, "\\u0061": 2}}',
        b'{"prompt": "x", "json_schema": {"maximum": 1e999}}',
        b'{"prompt": "x", "json_schema": {"maximum": -1e999}}',
        b'{"prompt": "x", "json_schema": {"maximum": Infinity}}',
        b'{"prompt": "x", "max_turns": ' + b"9" * 5_000 + b"}",
        b'{"prompt": "x", "metadata": {"a": "\\udfff"}}',
        b'"' + b'\\"' * 4_000_000,
    ],
    ids=[
        *("twice", "twice in disguise", "too large", "too small", "infinite", "endless"),
        *("surrogate", "no end of a text"),
    ],
)
async def test_what_readers_of_json_differ_about_is_refused(
    http: AsyncClient, local_pool: LocalPool, body: bytes
) -> None:
    assert await refused(http, body) == (400, "broken-json")
    assert local_pool.runner.runs == []


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("kind", [b"{}", b"[]", b"null", b"1"])
async def test_a_block_of_an_absurd_type_is_refused(
    http: AsyncClient, path: str, kind: bytes
) -> None:
    block = b'[{"role": "user", "content": [{"type": %s}]}]' % kind
    body = b'{"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": %s}' % block

    status, _ = await refused(http, body, path)

    assert status == 400


@given(
    st.recursive(
        st.none() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_others_write_is_read_as_it_was_meant(value: object) -> None:
    written = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")

    _measure(written, MAX_VALUES)
    assert _value(written) == json.loads(written)
