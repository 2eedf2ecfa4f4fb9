from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import AsyncClient

from api.dialects.models import model, models
from pool.executions.outcome import Completed
from pool.routing.model_catalogue import Catalogue
from tests.support.callers.sdks import anthropic, openai
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import usage_of

SONNET, HAIKU = "claude-sonnet-5-5", "claude-haiku-4-5-20251001"


@pytest.fixture
async def runner() -> FakeRunner:
    return FakeRunner(offers={"sonnet": SONNET, "default": SONNET, "haiku": HAIKU})


@pytest.fixture
async def learned(eventually: Any) -> None:
    """The pool has heard what its CLIs offer."""
    await eventually("/v1/models", lambda found: SONNET in [each["id"] for each in found["data"]])


async def test_both_sdks_list_the_models(
    learned: None, claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI
) -> None:
    to_claude = [each async for each in claude.models.list()]
    to_gpt = [each async for each in gpt.models.list()]

    expected = ["sonnet", HAIKU, SONNET, "default", "haiku"]
    assert [each.id for each in to_claude] == [each.id for each in to_gpt] == expected
    assert (to_claude[0].type, to_claude[0].display_name) == ("model", "sonnet (Claude Sonnet 5.5)")
    assert (to_gpt[0].object, to_gpt[0].owned_by) == ("model", "anthropic")


async def test_a_dated_model_and_its_alias_were_released_on_that_day(
    learned: None, claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI
) -> None:
    day = datetime(2025, 10, 1, tzinfo=UTC)

    for name in (HAIKU, "haiku"):
        assert (await claude.models.retrieve(name)).created_at == day
        assert (await gpt.models.retrieve(name)).created == day.timestamp()
    assert (await gpt.models.retrieve(SONNET)).created == 0


async def test_a_model_names_its_aliases(learned: None, http: AsyncClient) -> None:
    found = (await http.get(f"/v1/models/anthropic/{SONNET}")).json()

    assert (found["id"], found["aliases"]) == (SONNET, ["default", "sonnet"])


async def test_a_model_that_nobody_has_is_not_found_and_the_nearest_names_are_told(
    learned: None, claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI
) -> None:
    with pytest.raises(anthropic.NotFoundError) as to_claude:
        await claude.models.retrieve("claude-sonnet-4.6")
    with pytest.raises(openai.NotFoundError) as to_gpt:
        await gpt.models.retrieve("claude-sonnet-4.6")

    assert to_claude.value.type == "not_found_error"
    assert to_claude.value.request_id is not None
    assert (to_gpt.value.code, to_gpt.value.param) == ("model_not_found", "model")
    assert f"did you mean '{SONNET}'" in to_gpt.value.message


@pytest.mark.parametrize(
    ("name", "title"),
    [
        (SONNET, "Claude Sonnet 5.5"),
        (HAIKU, "Claude Haiku 4.5"),
        ("claude-3-5-haiku-latest", "Claude Haiku 3.5"),
        ("claude-opus-5", "Claude Opus 5"),
        ("my-gateway/large", "my-gateway/large"),
    ],
)
def test_a_model_is_shown_by_its_name(name: str, title: str) -> None:
    assert model(Catalogue("sonnet", (), {}, frozenset()), name).display_name == title


def test_a_date_that_is_none_is_not_one() -> None:
    nothing = Catalogue("sonnet", (), {}, frozenset())

    assert model(nothing, "claude-haiku-5-5-20269999").created == 0


def test_what_is_spelt_out_is_listed_after_the_default() -> None:
    spelt_out = Catalogue("claude-haiku-4-5", ("claude-sonnet-*", HAIKU), {}, frozenset())

    listed = models(spelt_out)

    assert [each.id for each in listed.data] == ["claude-haiku-4-5", HAIKU, "sonnet"]
    assert (listed.first_id, listed.last_id) == ("claude-haiku-4-5", "sonnet")


async def test_what_was_used_is_listed(
    http: AsyncClient, local_pool: LocalPool, eventually: Any
) -> None:
    old = "claude-opus-4-5"
    used = Completed(result="yes", usage=usage_of(model=old), num_turns=1, model=old)
    local_pool.runner.script = [used]
    await http.post("/v1/executions", json={"prompt": "say yes", "model": "sonnet"})

    await eventually("/v1/models", lambda found: old in [each["id"] for each in found["data"]])


async def test_a_reader_may_list_them_and_a_stranger_not(keyed: Any) -> None:
    reader, stranger = keyed("test-key-reading"), keyed("wrong")

    assert (await reader.get("/v1/models")).status_code == 200
    assert (await stranger.get("/v1/models")).status_code == 401
