"""OpenAI's own SDK against the Responses of a pool."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from pydantic import BaseModel

from pool.claude.launch.launch_spec import Launch
from pool.executions.outcome import Completed, Failed, FailureKind
from pool.usage.records import ModelUsage, Usage
from tests.support.callers.sdks import openai
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import SONNET, completed, usage_of
from tests.support.values.pictures import PNG

CACHED = Usage(
    models={
        SONNET: ModelUsage(
            input_tokens=3,
            output_tokens=20,
            cache_creation_input_tokens=50,
            cache_read_input_tokens=700,
            cost_nano_usd=1,
        )
    }
)


class Colour(BaseModel):
    name: str


async def ask(
    gpt: openai.AsyncOpenAI, input_: Any = "Hello", **more: Any
) -> openai.types.responses.Response:
    answer: openai.types.responses.Response = await gpt.responses.create(
        model=SONNET, input=input_, **more
    )
    return answer


def told(pool: LocalPool) -> Launch:
    """What the last run was started with."""
    return pool.runner.runs[-1].launch


def ignored_in(answer: openai.types.responses.Response) -> set[str]:
    return set((answer.model_extra or {})["pool"]["ignored"])


# -- answers -------------------------------------------------------------------------------------


async def test_an_answer_is_a_response(gpt: openai.AsyncOpenAI, local_pool: LocalPool) -> None:
    local_pool.runner.script = [Completed(result="Hi", usage=CACHED, num_turns=1, model=SONNET)]

    answer = await ask(gpt, metadata={"run": "7"}, user="anna")

    assert (answer.output_text, answer.status, answer.model) == ("Hi", "completed", SONNET)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.total_tokens) == (753, 773)
    assert answer.usage.input_tokens_details.cached_tokens == 700
    assert (answer.metadata, answer.user, answer.tools) == ({"run": "7"}, "anna", [])
    assert told(local_pool).prompt == "Hello"


async def test_an_answer_that_is_not_whole_says_why(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool
) -> None:
    local_pool.runner.script = [
        completed().model_copy(update={"stop_reason": "max_tokens"}),
        Failed(kind=FailureKind.REFUSAL, message="no", usage=usage_of()),
    ]

    answers = [await ask(gpt), await ask(gpt)]

    assert [each.status for each in answers] == ["incomplete", "incomplete"]
    reasons = [each.incomplete_details and each.incomplete_details.reason for each in answers]
    assert reasons == ["max_output_tokens", "content_filter"]


async def test_a_schema_makes_a_parsed_answer(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool
) -> None:
    answered = completed().model_copy(update={"structured_output": {"name": "red"}})
    local_pool.runner.script = [answered, answered]

    parsed = await gpt.responses.parse(model=SONNET, input="Which?", text_format=Colour)
    async with gpt.responses.stream(model=SONNET, input="Which?", text_format=Colour) as stream:
        streamed = await stream.get_final_response()

    assert parsed.output_parsed == streamed.output_parsed == Colour(name="red")
    assert told(local_pool).json_schema is not None
    assert told(local_pool).json_schema["properties"]["name"]["type"] == "string"


# -- what is asked -------------------------------------------------------------------------------


async def test_instructions_and_system_messages_are_joined(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool
) -> None:
    items = [
        {"role": "developer", "content": "Rhyme."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    ]

    await ask(gpt, items, instructions="Be brief.")

    assert told(local_pool).system_prompt == "Be brief.\n\nRhyme."
    assert told(local_pool).prompt == "Hi"


async def test_an_image_is_shown(gpt: openai.AsyncOpenAI, local_pool: LocalPool) -> None:
    parts = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
    ]

    await ask(gpt, [{"role": "user", "content": parts}])

    (turn,) = told(local_pool).messages
    assert [part.type for part in turn.content] == ["text", "image"]


async def test_answers_are_sent_back_as_they_came_or_by_their_ids(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool
) -> None:
    local_pool.runner.script = [completed("Blue")]
    (said,) = (await ask(gpt)).output
    first = {"role": "user", "content": "Hello"}
    news = {"role": "user", "content": "And now?"}

    by_value = await ask(gpt, [first, said.model_dump(), news])
    gone_on = told(local_pool)
    await ask(gpt, [first, {"type": "item_reference", "id": said.id}, news])

    assert gone_on.resumes
    assert [turn.texts for turn in gone_on.messages] == [("And now?",)]
    # The session has gone on since; so the history is told.
    turns = told(local_pool).messages
    assert [turn.texts for turn in turns] == [("Hello",), ("Blue",), ("And now?",)]
    assert ignored_in(by_value) == set()


async def test_a_response_is_gone_on_from_in_its_session(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool
) -> None:
    first = await ask(gpt)
    local_pool.clock.advance(timedelta(seconds=1))

    second = await ask(gpt, "And now?", previous_response_id=first.id)

    assert told(local_pool).prompt == "And now?"
    assert told(local_pool).resumes
    assert second.previous_response_id == first.id
    with pytest.raises(openai.BadRequestError, match="is not the last one of its session"):
        await ask(gpt, "Or now?", previous_response_id=first.id)


@pytest.mark.parametrize(
    "unknown",
    [
        {"previous_response_id": "resp_nothing"},
        {"previous_response_id": "nothing"},
        {"input_": [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "x"}]},
        {"input_": [{"type": "item_reference", "id": "rs_1"}, {"role": "user", "content": "x"}]},
    ],
)
async def test_what_refers_to_nothing_is_refused_with_its_place(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool, unknown: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError, match="is no id of an answer") as caught:
        await ask(gpt, **unknown)

    assert caught.value.param in {"previous_response_id", "input.0"}
    assert local_pool.runner.runs == []


@pytest.mark.parametrize("item", [0, False, "x", [], {"type": [None]}, {"type": {"a": 1}}])
async def test_what_is_no_item_or_of_no_kind_is_a_400(
    http: AsyncClient, local_pool: LocalPool, item: Any
) -> None:
    said = {"role": "user", "content": "Hello"}

    answer = await http.post("/v1/responses", json={"model": SONNET, "input": [said, item]})

    assert answer.status_code == 400, answer.text
    assert "input.1" in answer.text
    assert local_pool.runner.runs == []


async def test_what_cannot_be_done_is_refused_and_the_rest_is_named(
    gpt: openai.AsyncOpenAI,
) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="POST /v1/executions"):
        await ask(gpt, background=True)
    with pytest.raises(openai.UnprocessableEntityError, match="runs none of its tools"):
        await ask(gpt, [{"type": "mcp_call", "id": "x"}, {"role": "user", "content": "x"}])

    answer = await ask(gpt, store=False, truncation="auto", include=["reasoning.encrypted_content"])

    assert ignored_in(answer) == {"store", "truncation", "include"}


async def test_errors_have_openais_shape_and_status(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool
) -> None:
    local_pool.runner.script = [Failed(kind=FailureKind.TIMEOUT, message="600 s", usage=usage_of())]

    with pytest.raises(openai.APIStatusError) as caught:
        await ask(gpt)

    assert caught.value.status_code == 504
    with pytest.raises(openai.BadRequestError) as empty:
        await ask(gpt, " ")
    assert empty.value.param == "input"


# -- streams -------------------------------------------------------------------------------------

ORDER = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


async def test_a_streamed_answer_comes_in_the_order_of_the_api(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True

    async def listen() -> list[Any]:
        events = []
        async for event in await ask(gpt, stream=True):  # type: ignore[attr-defined]
            events.append(event)
            if event.type == "response.output_text.delta" and not run.ending.done():
                run.says("lo")
                run.end(Completed(result="Hello", usage=CACHED, num_turns=1, model=SONNET))
        return events

    listening = asyncio.create_task(listen())
    (run,) = await local_pool.runner.wait_for_runs(1)
    run.says("Hel")
    events = await listening

    assert [event.type for event in events] == ORDER
    assert [event.sequence_number for event in events] == list(range(len(ORDER)))
    assert [each.delta for each in events if hasattr(each, "delta")] == ["Hel", "lo"]
    assert events[6].text == events[-1].response.output_text == "Hello"
    assert events[-1].response.usage.total_tokens == 773
    assert len({each.item_id for each in events if hasattr(each, "item_id")}) == 1


async def test_a_refusal_is_streamed_as_one(gpt: openai.AsyncOpenAI, local_pool: LocalPool) -> None:
    local_pool.runner.script = [
        Failed(kind=FailureKind.REFUSAL, message="declined", usage=usage_of())
    ]

    events = [event async for event in await ask(gpt, stream=True)]  # type: ignore[attr-defined]

    assert "response.refusal.delta" in {event.type for event in events}
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.output[0].content[0].refusal == "declined"


async def test_what_fails_later_ends_the_stream_with_an_error(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True

    async def listen() -> None:
        async for event in await ask(gpt, stream=True):  # type: ignore[attr-defined]
            if event.type == "response.output_text.delta":
                run.end(Failed(kind=FailureKind.KILLED, message="SIGKILL", usage=usage_of()))

    listening = asyncio.create_task(listen())
    (run,) = await local_pool.runner.wait_for_runs(1)
    run.says("Hel")
    with pytest.raises(openai.APIError, match="SIGKILL") as caught:
        await listening

    assert (caught.value.type, caught.value.code) == ("server_error", "run_failed")
