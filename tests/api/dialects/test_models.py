from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from httpx import AsyncClient
from localpool import LocalPool, usage_of
from openai import AsyncOpenAI

from api.dialects.models import models
from pool.config import ClaudeSettings
from pool.outcome import Completed

OPUS = "claude-opus-4-5"


async def test_both_sdks_list_the_models(claude: AsyncAnthropic, gpt: AsyncOpenAI) -> None:
    to_claude = [model async for model in claude.models.list()]
    to_gpt = [model async for model in gpt.models.list()]

    assert [model.id for model in to_claude] == [model.id for model in to_gpt]
    assert [model.id for model in to_gpt] == ["sonnet", "default"]
    assert (to_claude[0].type, to_claude[0].display_name) == ("model", "sonnet")
    assert (to_gpt[0].object, to_gpt[0].owned_by) == ("model", "anthropic")


async def test_both_sdks_find_a_model_that_a_pattern_allows(
    claude: AsyncAnthropic, gpt: AsyncOpenAI
) -> None:
    assert (await claude.models.retrieve(OPUS)).id == OPUS
    assert (await gpt.models.retrieve(OPUS)).id == OPUS


async def test_a_model_that_is_not_served_is_not_found(
    claude: AsyncAnthropic, gpt: AsyncOpenAI
) -> None:
    with pytest.raises(anthropic.NotFoundError) as to_claude:
        await claude.models.retrieve("gpt-4")
    with pytest.raises(openai.NotFoundError) as to_gpt:
        await gpt.models.retrieve("gpt-4")

    assert to_claude.value.type == "not_found_error"
    assert to_claude.value.request_id is not None
    assert to_gpt.value.code == "not_found"
    assert "gpt-4" in to_gpt.value.message


def test_what_is_spelt_out_is_listed_after_the_default() -> None:
    settings = ClaudeSettings(model="claude-haiku-4-5", models=("claude-sonnet-*", OPUS))

    listed = models(settings, reports=[])

    assert [each.id for each in listed.data] == ["claude-haiku-4-5", OPUS]
    assert (listed.first_id, listed.last_id) == ("claude-haiku-4-5", OPUS)


async def test_what_was_used_is_listed(
    http: AsyncClient, local_pool: LocalPool, eventually: Any
) -> None:
    used = Completed(result="yes", usage=usage_of(model=OPUS), num_turns=1, model=OPUS)
    local_pool.runner.script = [used]
    await http.post("/v1/executions", json={"prompt": "say yes", "model": OPUS})

    listed = await eventually("/v1/models", lambda found: len(found["data"]) > 2)

    assert [each["id"] for each in listed["data"]] == ["sonnet", OPUS, "default"]


async def test_a_reader_may_list_them_and_a_stranger_not(keyed: Any) -> None:
    reader, stranger = keyed("test-key-r"), keyed("wrong")

    assert (await reader.get("/v1/models")).status_code == 200
    assert (await stranger.get("/v1/models")).status_code == 401
