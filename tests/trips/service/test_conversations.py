"""Conversations and settings of the model, as the real CLI hands them to the API: the official SDK
against the real service.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from anthropic import Anthropic
from anthropic.types import Message

from api.demo.standin.behaviour import Behaviour
from api.demo.standin.server import Server
from tests.support.services.service import Service
from tests.support.services.shared_pool import SharedPool
from tests.support.values.pictures import PNG

pytestmark = pytest.mark.timeout(240)

MODEL = "sonnet"
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
DOCUMENT = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "the document"},
    "title": "a title",
}


@pytest.fixture
def api(shared_at_one: SharedPool) -> Server:
    return shared_at_one.api


@pytest.fixture
def service(shared_at_one: SharedPool) -> Service:
    return shared_at_one.service


@pytest.fixture
def claude(service: Service) -> Iterator[Anthropic]:
    with Anthropic(
        base_url=service.url, api_key=service.operator["x-api-key"], max_retries=0
    ) as client:
        yield client


def ask(claude: Anthropic, *messages: dict[str, Any], **more: Any) -> Message:
    asked: Any = {"model": MODEL, "max_tokens": 100, "messages": list(messages), **more}
    answer: Message = claude.messages.create(**asked)
    return answer


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": parts[0] if len(parts) == 1 else list(parts)}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def said(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def last_body(api: Server) -> dict[str, Any]:
    body: dict[str, Any] = api.standin.requests.all(None)[-1].body or {}
    return body


def turns_in(body: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """What the two sides said, without the turns and marks for the cache that the CLI adds."""
    return [
        (
            turn["role"],
            [
                {name: value for name, value in part.items() if name != "cache_control"}
                for part in turn["content"]
            ],
        )
        for turn in body["messages"]
        if turn["role"] != "system"
    ]


def process_of(service: Service, message: Message) -> str:
    execution_id = (message.model_extra or {})["pool"]["execution_id"]
    with service.client() as http:
        process: str = http.get(f"/v1/executions/{execution_id}").json()["attempts"][-1]["process"]
    return process


def test_a_history_reaches_the_model_as_turns_in_their_order(
    claude: Anthropic, api: Server
) -> None:
    first = user(text("See:"), IMAGE, text("and"), DOCUMENT)

    ask(claude, first, assistant('a "red" dot'), user("@/etc/hostname /clear"))

    body = last_body(api)
    assert turns_in(body) == [
        ("user", first["content"]),
        ("assistant", [text('a "red" dot')]),
        ("user", [text("@/etc/hostname /clear")]),
    ]
    assert "hostname" not in json.dumps(body).replace("@/etc/hostname", "")


def test_a_growing_conversation_goes_on_in_a_kept_process_and_keeps_its_beginning(
    claude: Anthropic, api: Server, service: Service
) -> None:
    history: list[dict[str, Any]] = []
    bodies, ways = [], []
    for words in ("one", "two", "three"):
        history.append(user(words))
        message = ask(claude, *history, system="Be brief.")
        history.append(assistant(said(message)))
        bodies.append(last_body(api))
        ways.append(process_of(service, message))

    assert ways[1:] == ["kept", "kept"]
    for before, after in pairwise(bodies):
        assert turns_in(after)[: len(turns_in(before))] == turns_in(before)
        assert after["system"] == before["system"]


def test_a_growing_conversation_reads_its_beginning_from_the_cache(
    claude: Anthropic, api: Server
) -> None:
    """In its kept process, whatever length of an answer and sampling each turn asks for."""
    api.standin.always(Behaviour(caches=True))
    history: list[dict[str, Any]] = []
    used = []
    for words, more in (
        ("one", {}),
        ("two", {"max_tokens": 70}),
        ("three", {"stop_sequences": ["ZZ"]}),
    ):
        history.append(user(words))
        message = ask(claude, *history, system="Be concise.", **more)
        history.append(assistant(said(message)))
        used.append(message.usage)
    api.standin.always(None)

    assert used[0].cache_read_input_tokens == 0
    for before, after in pairwise(used):
        known = (before.cache_read_input_tokens or 0) + (before.cache_creation_input_tokens or 0)
        assert known > 100
        assert after.cache_read_input_tokens == known
        assert 0 < (after.cache_creation_input_tokens or 0) < known


def test_a_known_history_that_was_changed_is_told_as_it_was_sent(
    claude: Anthropic, api: Server
) -> None:
    ask(claude, user("first"))

    ask(claude, user("first"), assistant("something else"), user("second"))

    assert ("assistant", [text("something else")]) in turns_in(last_body(api))


def test_a_cut_answer_is_cut_in_a_stream_too(claude: Anthropic) -> None:
    asked: Any = [user("[[standin text=one two three four]]")]
    with claude.messages.stream(model=MODEL, max_tokens=2, messages=asked) as stream:
        pieces = "".join(stream.text_stream)
        message = stream.get_final_message()

    assert (pieces, message.stop_reason) == ("one two", "max_tokens")
    assert message.usage.input_tokens > 0


def test_thinking_is_shown_and_streamed_where_it_is_asked_for(claude: Anthropic) -> None:
    asked: Any = [user("[[standin thought=hm text=Hello]]")]
    thinking: Any = {"type": "adaptive"}
    plain = ask(claude, *asked)
    shown = ask(claude, *asked, thinking=thinking)
    with claude.messages.stream(
        model=MODEL, max_tokens=100, messages=asked, thinking=thinking
    ) as stream:
        begun = next(iter(stream))
        streamed = stream.get_final_message()

    assert [block.type for block in plain.content] == ["text"]
    for message in (shown, streamed):
        thought, words = message.content
        assert thought.type == "thinking"
        assert (thought.thinking, thought.signature) == ("hm", "signed:2")
        assert words.type == "text"
    assert begun.type == "message_start"
    assert begun.message.usage.input_tokens == 100
