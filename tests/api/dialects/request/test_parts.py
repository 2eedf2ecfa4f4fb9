"""Parts of messages as clients write them, in either dialect's words, at either address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from httpx import AsyncClient, Response

from pool.executions.content.turn import ImagePart, ImageSource
from tests.support.clis.fake_runner import FakeRun
from tests.support.pools.localpool import LocalPool
from tests.support.values.pictures import GIF, PNG

Ask = Callable[..., Awaitable[Response]]

WORDS = {"type": "text", "text": "What is it?"}
URL = f"data:image/png;base64,{PNG}"
SOURCE = {"type": "base64", "media_type": "image/png", "data": PNG}


@pytest.fixture(params=["/v1/messages", "/v1/chat/completions"])
def ask(request: pytest.FixtureRequest, http: AsyncClient) -> Ask:
    """Send a message of these parts; other fields go into the body."""

    async def send(*parts: Any, **fields: Any) -> Response:
        message = {"role": "user", "content": list(parts)}
        body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [message], **fields}
        return await http.post(request.param, json=body)

    return send


def field_of(answer: Response) -> str:
    error: dict[str, Any] = answer.json()
    return str(error.get("pool", error["error"].get("pool"))["field"])


def images(run: FakeRun) -> list[ImageSource]:
    """What a run was shown."""
    (turn,) = run.launch.messages
    return [part.source for part in turn.content if isinstance(part, ImagePart)]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": SOURCE},
        {"type": "image", "source": {**SOURCE, "media_type": "image/jpg"}},
        {"type": "image", "source": {"data": PNG}},
        {"type": "image", "source": {"type": "url", "url": URL}},
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "image_url", "image_url": URL},
        {"type": "image_url", "image_url": {"url": f"data:image/jpg;name=a;base64,{PNG}"}},
        {"type": "input_image", "image_url": URL, "detail": "auto"},
    ],
    ids=lambda part: str(part)[:60],
)
async def test_an_image_is_taken_in_whichever_words_it_is_shown(
    ask: Ask, local_pool: LocalPool, part: dict[str, Any]
) -> None:
    answer = await ask(part, WORDS)

    assert answer.status_code == 200, answer.text
    (run,) = local_pool.runner.runs
    assert [(each.data, each.media_type) for each in images(run)] == [(PNG, "image/png")]


@pytest.mark.parametrize(
    "part",
    ["What is it?", {"type": "input_text", "text": "What is it?"}, WORDS],
    ids=["bare", "input_text", "text"],
)
async def test_a_text_is_taken_in_whichever_words_it_is_said(
    ask: Ask, local_pool: LocalPool, part: Any
) -> None:
    answer = await ask(part)

    assert answer.status_code == 200, answer.text
    (run,) = local_pool.runner.runs
    assert run.launch.prompt == "What is it?"


async def test_an_image_under_the_label_of_another_kind_is_labelled_right(
    ask: Ask, local_pool: LocalPool
) -> None:
    await ask({"type": "image", "source": {**SOURCE, "data": GIF}}, WORDS)

    (run,) = local_pool.runner.runs
    assert [each.media_type for each in images(run)] == ["image/gif"]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            "image_url.url",
        ),
        ({"type": "image_url", "image_url": "data:image/png,AAAA"}, "image_url"),
        ({"type": "image_url", "image_url": {}}, "image_url.url"),
        ({"type": "image_url", "image_url": 7}, "image_url"),
        ({"type": "image_url"}, ""),
        ({"type": "image", "source": {**SOURCE, "data": "aGVsbG8="}}, "source"),
        ({"type": "image", "source": {**SOURCE, "data": None}}, "source"),
        ({"type": "image", "source": [SOURCE]}, "source"),
        ({"type": "text"}, "text"),
        ({"type": "text", "text": ["x"]}, "text"),
        ({"text": "x"}, "type"),
        (7, ""),
    ],
    ids=lambda part: str(part)[:60],
)
async def test_what_is_wrong_with_a_part_is_a_400_that_names_it_as_it_was_sent(
    ask: Ask, local_pool: LocalPool, part: Any, field: str
) -> None:
    answer = await ask(WORDS, part)

    assert answer.status_code == 400, answer.text
    assert field_of(answer) == f"messages.0.content.1.{field}".removesuffix(".")
    assert "AAAA" not in answer.text
    assert local_pool.runner.runs == []


@pytest.mark.parametrize("content", [7, {"type": "text", "text": "x"}])
async def test_content_that_is_neither_a_text_nor_parts_is_named_without_our_words(
    ask: Ask, content: Any
) -> None:
    answer = await ask(messages=[{"role": "user", "content": content}])

    assert answer.status_code == 400
    assert field_of(answer) == "messages.0.content"
    for ours in ("tagged-union", "function-", "content.str", "content.list"):
        assert ours not in answer.text
