from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from api.web.addresses import OWN, dialect_of, hint
from tests.support.callers.sdks import anthropic, openai
from tests.support.pools.localpool import LocalPool

BEARER = {"authorization": "Bearer any"}

MOVED = [
    ("/messages", "/v1/messages"),
    ("/v1/v1/messages", "/v1/messages"),
    ("/v1/messages/", "/v1/messages"),
    ("/anthropic/v1/messages", "/v1/messages"),
    ("/chat/completions", "/v1/chat/completions"),
    ("/v1/v1/chat/completions", "/v1/chat/completions"),
    ("/v1/chat/completions/", "/v1/chat/completions"),
    ("/openai/v1/chat/completions", "/v1/chat/completions"),
    ("/responses", "/v1/responses"),
    ("/v1/responses/resp_1/parts", "/v1/responses"),
    ("/models", "/v1/models"),
    ("/v1/v1/models", "/v1/models"),
    ("/models/", "/v1/models"),
    ("/models/sonnet", "/v1/models"),
    ("/v1/v1/models/sonnet", "/v1/models"),
    ("/v1//messages", "/v1/messages"),
    ("/v1//chat/completions", "/v1/chat/completions"),
    ("/v1/messages/msg_1", "/v1/messages"),
]
SLASHES = [
    "/v1/messages/",
    "/v1//messages",
    "/v1/chat/completions/",
    "/v1//chat/completions//",
]
MISSING = [
    "/v1/messages/batches/msgbatch_1/results",
    "/v1/complete",
    "/v1/completions",
    "/v1/embeddings/",
]


def error_of(told: dict[str, Any]) -> str:
    assert {"message", "type"} <= told["error"].keys()
    return str(told["error"]["message"])


@pytest.mark.parametrize(("path", "right"), MOVED)
async def test_an_address_that_a_base_url_misses_names_the_right_one(
    http: AsyncClient, path: str, right: str
) -> None:
    answer = await http.post(path, json={})

    assert answer.status_code == 404
    assert f" {right}:" in error_of(answer.json())


@pytest.mark.parametrize("path", SLASHES)
async def test_where_only_a_slash_is_too_many_that_is_said(http: AsyncClient, path: str) -> None:
    answer = await http.post(path, json={})

    assert answer.status_code == 404
    assert "leave out the slash" in error_of(answer.json())
    assert "base URL" not in error_of(answer.json())


async def test_models_are_listed_and_found_with_a_slash_at_the_end_too(http: AsyncClient) -> None:
    listed = await http.get("/v1/models/")
    one = await http.get("/v1/models/sonnet/")
    none = await http.get("/v1/models/gpt-9/")

    assert listed.json() == (await http.get("/v1/models")).json()
    assert one.json() == (await http.get("/v1/models/sonnet")).json()
    assert (listed.status_code, one.status_code, none.status_code) == (200, 200, 404)
    assert "'gpt-9'" in error_of(none.json())


@pytest.mark.parametrize("path", MISSING)
async def test_what_is_not_offered_says_so_and_what_is(http: AsyncClient, path: str) -> None:
    answer = await http.post(path, json={})

    assert answer.status_code == 404
    assert "does not offer it: ask POST /v1/" in error_of(answer.json())


async def test_sdks_with_a_wrong_base_url_raise_what_names_the_right_one(
    url: str, local_pool: LocalPool
) -> None:
    words: list[Any] = [{"role": "user", "content": "hi"}]
    async with anthropic.AsyncAnthropic(
        base_url=f"{url}/v1", api_key="any", max_retries=0
    ) as claude:
        with pytest.raises(anthropic.NotFoundError, match="ask POST /v1/messages"):
            await claude.messages.create(model="sonnet", max_tokens=9, messages=words)
    async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as gpt:
        with pytest.raises(openai.NotFoundError, match="ask POST /v1/chat/completions"):
            await gpt.chat.completions.create(model="sonnet", messages=words)
        with pytest.raises(openai.NotFoundError, match="ask POST /v1/responses"):
            await gpt.responses.create(model="sonnet", input="hi")
    assert local_pool.runner.runs == []


async def test_counting_tokens_is_refused_to_anthropics_sdk_with_the_reason(
    claude: anthropic.AsyncAnthropic,
) -> None:
    with pytest.raises(
        anthropic.NotFoundError, match=r"does not count tokens ahead: the CLI .* exact"
    ):
        await claude.messages.count_tokens(
            model="sonnet", messages=[{"role": "user", "content": "hi"}]
        )


@pytest.mark.parametrize("path", ["/v1/fine_tuning/jobs", "/v1/v1/files/", "/v1/threads"])
async def test_an_unknown_address_is_told_in_the_words_of_the_api_that_is_spoken(
    http: AsyncClient, path: str
) -> None:
    claude = (await http.get(path, headers={"anthropic-version": "2023-06-01"})).json()
    gpt = (await http.get(path, headers=BEARER)).json()
    neither = (await http.get(path)).json()

    assert (claude["type"], claude["error"]["type"]) == ("error", "not_found_error")
    assert (gpt.keys(), gpt["error"]["code"]) == ({"error"}, "no_such_route")
    assert neither["type"] == "urn:claude-pool:no-such-route"
    if not path.endswith("/"):
        assert "does not offer it: ask POST /v1/messages, or see /docs" in error_of(claude)
        assert "does not offer it: ask POST /v1/chat/completions" in error_of(gpt)


def test_the_pools_own_addresses_are_those_that_it_has(app: FastAPI) -> None:
    here = {path.split("/")[2] for path in app.openapi()["paths"] if path.startswith("/v1/")}

    assert here - {"messages", "chat", "responses", "models"} == OWN


@pytest.mark.parametrize("path", ["/v1/executions", "/v1", "/", "/v1/sessions/x", "/metrics", ""])
def test_the_pools_own_addresses_speak_no_dialect(path: str) -> None:
    assert dialect_of(path, BEARER) is None
    assert hint(path, BEARER) is None


@pytest.mark.parametrize("path", ["/v1/executions/", "/nothing/"])
async def test_a_slash_at_the_end_is_named(http: AsyncClient, path: str) -> None:
    answer = await http.get(path)

    assert answer.status_code == 404
    assert "slash" in answer.json()["detail"]
