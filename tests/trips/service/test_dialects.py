"""The official SDKs against the real service: HTTP, Ray, the real CLI, SQLite; nothing is a fake
but the API that the CLI talks to.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI
from pydantic import BaseModel

from api.demo.standin.behaviour import Behaviour, Call
from api.demo.standin.server import Server
from pool.money import nano_usd
from tests.support.services.actor_processes import actor_pid
from tests.support.services.service import Service
from tests.support.services.shared_pool import SharedPool

pytestmark = pytest.mark.timeout(240)

MODEL, ANSWERS = "sonnet", "claude-sonnet-5-5"
"""What is asked for, and the model that this stands for."""


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


@pytest.fixture
def gpt(service: Service) -> Iterator[OpenAI]:
    with OpenAI(
        base_url=f"{service.url}/v1", api_key=service.operator["x-api-key"], max_retries=0
    ) as client:
        yield client


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def pool_of(answer: BaseModel) -> dict[str, Any]:
    part: dict[str, Any] = (answer.model_extra or {})["pool"]
    return part


BILLED = "[[standin in=7 out=5 cache_read=300 cache_5m=40 text=Hello]]"


def test_a_message_with_its_usage_to_the_token(claude: Anthropic) -> None:
    message = claude.messages.create(model=MODEL, max_tokens=100, messages=user(BILLED))

    assert [block.text for block in message.content if block.type == "text"] == ["Hello"]
    assert (message.stop_reason, message.model) == ("end_turn", ANSWERS)
    assert message.usage.input_tokens == 7
    assert message.usage.output_tokens == 5
    assert message.usage.cache_read_input_tokens == 300
    assert message.usage.cache_creation_input_tokens == 40


def test_a_completion_with_its_usage_to_the_token(gpt: OpenAI) -> None:
    answer = gpt.chat.completions.create(model=MODEL, messages=user(BILLED))

    assert answer.choices[0].message.content == "Hello"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (347, 5)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 300


SLOW = "[[standin slow seconds=3 chunks=6 text=one two three four five six]]"


def test_a_message_is_streamed_while_it_is_made(claude: Anthropic) -> None:
    came: list[tuple[float, str]] = []
    with claude.messages.stream(model=MODEL, max_tokens=100, messages=user(SLOW)) as stream:
        came.extend((time.monotonic(), piece) for piece in stream.text_stream)
        message = stream.get_final_message()

    assert "".join(piece for _, piece in came) == "one two three four five six"
    assert len(came) > 2
    assert came[-1][0] - came[0][0] > 1
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


def test_a_completion_is_streamed_while_it_is_made(gpt: OpenAI) -> None:
    came: list[tuple[float, str]] = []
    with gpt.chat.completions.create(model=MODEL, messages=user(SLOW), stream=True) as stream:
        came.extend((time.monotonic(), chunk.choices[0].delta.content or "") for chunk in stream)

    assert "".join(piece for _, piece in came) == "one two three four five six"
    spoken = [at for at, piece in came if piece]
    assert spoken[-1] - spoken[0] > 1


class Colour(BaseModel):
    name: str


def test_a_structured_answer(claude: Anthropic, gpt: OpenAI) -> None:
    """A process each; in all their forms ``tests/clients_real`` has them, at less cost."""
    wanted = 'A colour. [[standin input={"name": "red"}]]'

    message = claude.messages.parse(
        model=MODEL, max_tokens=100, messages=user(wanted), output_format=Colour
    )
    with gpt.chat.completions.stream(
        model=MODEL, messages=user(wanted), response_format=Colour
    ) as chunks:
        answer = chunks.get_final_completion()

    assert message.parsed_output == Colour(name="red")
    assert answer.choices[0].message.parsed == Colour(name="red")


def test_any_object_as_json(gpt: OpenAI) -> None:
    asked = 'Answer in JSON. [[standin input={"a": 1}]]'

    answer = gpt.chat.completions.create(
        model=MODEL, messages=user(asked), response_format={"type": "json_object"}
    )

    assert json.loads(answer.choices[0].message.content or "") == {"a": 1}


def test_a_session_goes_on_over_both_dialects(claude: Anthropic, gpt: OpenAI) -> None:
    first = claude.messages.create(model=MODEL, max_tokens=100, messages=user("One"))
    session = pool_of(first)["session_id"]

    second = gpt.chat.completions.create(
        model=MODEL, messages=user("Two"), extra_body={"session_id": session}
    )

    # The stand-in tells how many messages it was sent: the turn before, its answer, and this one.
    assert "messages=4" in (second.choices[0].message.content or "")
    assert pool_of(second)["session_id"] == session


def test_turns_without_a_session_reach_the_model_as_turns(api: Server, claude: Anthropic) -> None:
    turns = [*user("One"), {"role": "assistant", "content": "Two"}, *user("Three")]

    claude.messages.create(model=MODEL, max_tokens=100, messages=turns)

    body = api.standin.requests.all(path="/v1/messages")[-1].body or {}
    # The CLI tells of its surroundings in turns of its own.
    roles = [each["role"] for each in body["messages"] if each["role"] != "system"]
    assert roles == ["user", "assistant", "user"]


# The smallest PNG there is: one pixel.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "YPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def test_images_and_system_prompts_reach_the_api(api: Server, gpt: OpenAI) -> None:
    url = {"url": f"data:image/png;base64,{PIXEL}"}
    part: Any = {"type": "image_url", "image_url": url}

    gpt.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]},
            {"role": "developer", "content": "Rhyme."},
        ],
    )

    sent = api.standin.requests.all(path="/v1/messages")[-1]
    assert "Be brief.\n\nRhyme." in sent.system_text()
    assert sent.last_user_text().startswith("What is it?")  # the CLI notes the images behind it
    assert '"type": "image"' in json.dumps(sent.body)


def test_an_api_that_fails_is_an_error_of_the_sdk(claude: Anthropic, gpt: OpenAI) -> None:
    asked = user("[[standin status=413]] go on")

    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(model=MODEL, max_tokens=100, messages=asked, stream=True)
    with pytest.raises(openai.BadRequestError):
        gpt.chat.completions.create(model=MODEL, messages=asked)


def test_the_models_that_the_cli_offers_are_listed_and_an_alias_is_answered_by_one(
    claude: Anthropic, gpt: OpenAI
) -> None:
    deadline = time.monotonic() + 10
    while "claude-opus-5-5" not in (listed := [model.id for model in claude.models.list()]):
        assert time.monotonic() < deadline, listed
        time.sleep(0.1)
    answer = gpt.chat.completions.create(model="anthropic/sonnet", messages=user("Hello"))

    assert listed[0] == "sonnet"
    assert {"default", "haiku", "claude-haiku-5-5", ANSWERS} <= set(listed)
    assert answer.model == ANSWERS


def test_a_model_that_nobody_has_is_not_found_before_a_run(
    api: Server, claude: Anthropic, gpt: OpenAI
) -> None:
    before = len(api.standin.requests.all())

    with pytest.raises(anthropic.NotFoundError, match=ANSWERS):
        claude.messages.create(model="claude-sonnet-4.6", max_tokens=9, messages=user("Hello"))
    with pytest.raises(openai.NotFoundError, match=ANSWERS):
        gpt.chat.completions.create(model="claude-sonnet-4.6", messages=user("Hello"))

    assert len(api.standin.requests.all()) == before


WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.mark.parametrize("dialect", ["messages, streamed", "chat", "responses"])
def test_a_call_of_a_strict_tool_fits_its_schema_or_is_not_shown(
    api: Server, service: Service, claude: Anthropic, gpt: OpenAI, dialect: str
) -> None:
    """The model is told what is wrong, and calls again; both answers are in the usage of one."""
    spent = api.standin.bill.total().cost_nano_usd
    asked = len(api.standin.requests.all(path="/v1/messages"))
    ids = [f"toolu_{dialect.replace(', ', '_')}_{which}" for which in ("wrong", "right")]
    cities: list[Any] = [7, "Rome"]
    api.standin.next(
        *(
            Behaviour(kind="tool", calls=(Call(name="get_weather", input={"city": city}, id=id_),))
            for id_, city in zip(ids, cities, strict=True)
        )
    )
    schema, name = WEATHER["input_schema"], WEATHER["name"]
    question, tool = user("Weather?"), {**WEATHER, "strict": True}
    shown: list[tuple[str, Any]]
    answer: Any
    match dialect:
        case "messages, streamed":
            with claude.messages.stream(
                model=MODEL,
                max_tokens=100,
                messages=question,
                tools=[tool],  # type: ignore[list-item]
            ) as stream:
                answer = stream.get_final_message()
            shown = [(each.id, each.input) for each in answer.content if each.type == "tool_use"]
        case "chat":
            function: Any = {"name": name, "parameters": schema, "strict": True}
            answer = gpt.chat.completions.create(
                model=MODEL, messages=question, tools=[{"type": "function", "function": function}]
            )
            calls = answer.choices[0].message.tool_calls or []
            shown = [(each.id, json.loads(each.function.arguments)) for each in calls]
        case _:
            given: Any = {"type": "function", "name": name, "parameters": schema, "strict": True}
            answer = gpt.responses.create(model=MODEL, input="Weather?", tools=[given])
            made = [each for each in answer.output if each.type == "function_call"]
            shown = [(each.call_id, json.loads(each.arguments)) for each in made]
    told = api.standin.requests.all(path="/v1/messages")[asked:]

    assert shown == [(ids[1], {"city": "Rome"})]
    assert len(told) == 2
    result = (told[1].body or {})["messages"][-1]["content"][0]
    assert (result["tool_use_id"], result["is_error"]) == (ids[0], True)
    assert "7 is not of type 'string'" in json.dumps(result["content"])
    with service.client() as http:
        (waiting,) = http.get("/v1/executions", params={"limit": 1}).json()["items"]
        http.post(f"/v1/executions/{waiting['id']}/cancel")
        ended = http.get(f"/v1/executions/{waiting['id']}").json()
    billed = api.standin.bill.total().cost_nano_usd - spent
    assert nano_usd(ended["usage"]["cost_usd"]) == billed


def test_a_router_that_is_killed_in_a_round_of_tools_its_results_go_on_and_are_billed_once(
    api: Server, service: Service, claude: Anthropic
) -> None:
    """A subscription that is killed so: ``tests/chaos/test_kill_loops.py``."""
    spent = api.standin.bill.total().cost_nano_usd
    call = Call(name="get_weather", input={"city": "Rome"}, id="toolu_of_the_killed_router")
    api.standin.next(Behaviour(kind="tool", calls=(call,)), Behaviour(text="It is mild."))
    asked: dict[str, Any] = {"model": MODEL, "max_tokens": 100, "tools": [WEATHER]}
    question = user("Weather?")

    calls = claude.messages.create(**asked, messages=question)
    router = actor_pid(service, "RouterShell", "directory")
    assert router is not None
    os.kill(router, signal.SIGKILL)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees"}
    said = [{"role": "assistant", "content": calls.content}, {"role": "user", "content": [result]}]
    answer = claude.messages.create(**asked, messages=[*question, *said])

    assert calls.stop_reason == "tool_use"
    assert [block.text for block in answer.content if block.type == "text"] == ["It is mild."]
    assert pool_of(answer)["continued_by"] == "process"
    assert pool_of(answer)["execution_id"] == pool_of(calls)["execution_id"]
    with service.client() as http:
        execution = http.get(f"/v1/executions/{pool_of(answer)['execution_id']}").json()
    billed = api.standin.bill.total().cost_nano_usd - spent
    assert nano_usd(execution["usage"]["cost_usd"]) == billed
