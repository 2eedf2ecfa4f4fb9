"""Callers' tools in all dialects, by the official SDKs."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from pool.executions.progress import ToolCallPiece, Withdrawn
from pool.executions.request import ExecutionRequest
from pool.executions.tools.client_tools import ClientTool, ImagePart, TextPart, ToolChoice
from tests.support.callers.caller_tools import ToolRounds, call
from tests.support.callers.sdks import anthropic, openai
from tests.support.pools.localpool import LocalPool
from tests.support.values.pictures import PNG

MODEL = "sonnet"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
CLAUDES = [{"name": "weather", "description": "Of a city.", "input_schema": WEATHER}]
GPTS: list[Any] = [
    {
        "type": "function",
        "function": {"name": "weather", "description": "Of a city.", "parameters": WEATHER},
    }
]
RESPONSES: list[Any] = [
    {"type": "function", "name": "weather", "description": "Of a city.", "parameters": WEATHER}
]
ONE = (("Let me see.", (call("weather", city="Bern"),)), ("Sunny.", ()))
TWO = (
    ("", (call("weather", "toolu_1", city="Bern"), call("weather", "toolu_2", city="Rome"))),
    ("Both.", ()),
)
HELLO: list[Any] = [{"role": "user", "content": "How is the weather?"}]
TOOL = ClientTool(name="weather", description="Of a city.", input_schema=WEATHER)

Rounds = Callable[..., ToolRounds]


@pytest.fixture
async def rounds(local_pool: LocalPool) -> Any:
    """Have the pool run an execution of such rounds."""
    ended = await local_pool.client.execute(ExecutionRequest(prompt="Hi", model=MODEL))
    with ExitStack() as stack:

        def make(said: Any, **more: Any) -> ToolRounds:
            fake = ToolRounds(ended, said, **more)
            client = vars(local_pool.client)
            for name in ("start", "execution_of_calls", "tool_results", "round_ended", "events"):
                client[name] = getattr(fake, name)
                stack.callback(client.pop, name, None)
            return fake

        yield make


async def message(claude: anthropic.AsyncAnthropic, messages: Any = HELLO, **more: Any) -> Any:
    return await claude.messages.create(
        model=MODEL, max_tokens=100, messages=messages, **{"tools": CLAUDES, **more}
    )


async def completion(gpt: openai.AsyncOpenAI, messages: Any = HELLO, **more: Any) -> Any:
    return await gpt.chat.completions.create(
        model=MODEL, messages=messages, **{"tools": GPTS, **more}
    )


async def response(gpt: openai.AsyncOpenAI, input_: Any = HELLO, **more: Any) -> Any:
    return await gpt.responses.create(model=MODEL, input=input_, **{"tools": RESPONSES, **more})


# -- a round, and the next one -------------------------------------------------------------------


async def test_a_message_calls_a_tool_and_goes_on_with_its_result(
    claude: anthropic.AsyncAnthropic, rounds: Rounds
) -> None:
    fake = rounds(ONE)

    first = await message(claude)
    result = {"type": "tool_result", "tool_use_id": first.content[1].id, "content": "21 degrees"}
    said = {"role": "assistant", "content": first.content}
    second = await message(claude, [*HELLO, said, {"role": "user", "content": [result]}])

    text, used = first.content
    assert (text.text, used.name, used.id) == ("Let me see.", "weather", "toolu_1")
    assert (used.input, first.stop_reason) == ({"city": "Bern"}, "tool_use")
    assert fake.asked[0].client_tools == (TOOL,)
    ((given,),) = fake.given
    assert (given.tool_use_id, given.content) == ("toolu_1", (TextPart(text="21 degrees"),))
    assert (second.content[0].text, second.stop_reason) == ("Sunny.", "end_turn")
    assert (first.usage.input_tokens, second.usage.input_tokens) == (100, 101)
    assert first.id != second.id


async def test_a_completion_calls_a_tool_and_goes_on_with_its_result(
    gpt: openai.AsyncOpenAI, rounds: Rounds
) -> None:
    fake = rounds(ONE)

    (first,) = (await completion(gpt)).choices
    (called,) = first.message.tool_calls
    result = {"role": "tool", "tool_call_id": called.id, "content": "21 degrees"}
    second = await completion(gpt, [*HELLO, first.message.model_dump(exclude_none=True), result])

    assert (first.finish_reason, first.message.content) == ("tool_calls", "Let me see.")
    assert (called.id, called.function.name) == ("toolu_1", "weather")
    assert json.loads(called.function.arguments) == {"city": "Bern"}
    assert fake.asked[0].client_tools == (TOOL,)
    assert [each.tool_use_id for each in fake.given[0]] == ["toolu_1"]
    assert second.choices[0].message.content == "Sunny."
    assert second.usage.prompt_tokens == 101


async def test_a_response_calls_a_tool_and_goes_on_with_its_result(
    gpt: openai.AsyncOpenAI, rounds: Rounds
) -> None:
    fake = rounds(ONE)

    first = await response(gpt)
    said, called = first.output
    result = {"type": "function_call_output", "call_id": called.call_id, "output": "21 degrees"}
    by_history = await response(gpt, [*HELLO, said.model_dump(), called.model_dump(), result])
    by_id = await response(gpt, [result], previous_response_id=first.id)

    assert (said.content[0].text, first.status) == ("Let me see.", "completed")
    assert (called.name, json.loads(called.arguments)) == ("weather", {"city": "Bern"})
    assert fake.asked[0].client_tools == (TOOL,)
    assert fake.given[0] == fake.given[1]
    assert by_history.output_text == by_id.output_text == "Sunny."
    assert first.id != by_id.id
    assert by_id.usage.input_tokens == 101


async def test_several_calls_at_once_are_answered_at_once(
    claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI, rounds: Rounds
) -> None:
    fake = rounds(TWO)

    used = (await message(claude)).content
    (choice,) = (await completion(gpt)).choices
    items = (await response(gpt)).output
    results = [
        {"role": "tool", "tool_call_id": each.id, "content": each.id}
        for each in choice.message.tool_calls
    ]
    last = await completion(gpt, [*HELLO, choice.message.model_dump(exclude_none=True), *results])

    assert [block.id for block in used] == ["toolu_1", "toolu_2"]
    assert [item.call_id for item in items] == ["toolu_1", "toolu_2"]
    assert choice.message.content is None
    assert [each.tool_use_id for each in fake.given[0]] == ["toolu_1", "toolu_2"]
    assert last.choices[0].message.content == "Both."


async def test_each_call_of_a_response_may_stand_before_its_own_result(
    gpt: openai.AsyncOpenAI, rounds: Rounds
) -> None:
    fake = rounds(TWO)
    earlier = {"type": "function_call", "call_id": "toolu_0", "name": "weather", "arguments": "{}"}

    calls = [each.model_dump() for each in (await response(gpt)).output]
    items = [
        item
        for call in (earlier, *calls)
        for item in (
            call,
            {"type": "function_call_output", "call_id": call["call_id"], "output": "21"},
        )
    ]
    last = await response(gpt, [*HELLO, *items])

    assert [each.tool_use_id for each in fake.given[0]] == ["toolu_1", "toolu_2"]
    assert last.output_text == "Both."


async def test_what_is_shown_and_said_with_a_result_reaches_the_model(
    claude: anthropic.AsyncAnthropic, rounds: Rounds
) -> None:
    fake = rounds(ONE)
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [{"type": "text", "text": "a map"}, image],
        "is_error": True,
        "cache_control": {"type": "ephemeral"},
    }
    said = {"type": "text", "text": "Be quick."}

    await message(claude, [*HELLO, {"role": "user", "content": [result, said]}])

    ((given,),) = fake.given
    assert given.is_error
    assert given.content == (
        TextPart(text="a map"),
        ImagePart(media_type="image/png", data=PNG),
        TextPart(text="Be quick."),
    )


async def test_calls_of_an_earlier_turn_are_no_results_of_now(
    gpt: openai.AsyncOpenAI, local_pool: LocalPool
) -> None:
    called = {"id": "call_x", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_x", "content": "21"},
        {"role": "assistant", "content": "Sunny."},
        {"role": "user", "content": "And now?"},
    ]

    answer = await completion(gpt, turns, tools=[])

    assert answer.choices[0].message.content == "yes"
    (result,) = local_pool.runner.runs[-1].launch.messages[2].content
    assert result.type == "tool_result"


# -- choices -------------------------------------------------------------------------------------

CHOICES = [
    ({"type": "auto"}, "auto", ToolChoice()),
    ({"type": "any"}, "required", ToolChoice(type="any")),
    ({"type": "none"}, "none", ToolChoice(type="none")),
    (
        {"type": "tool", "name": "weather"},
        {"type": "function", "function": {"name": "weather"}},
        ToolChoice(type="tool", name="weather"),
    ),
]


@pytest.mark.parametrize(("claudes", "gpts", "wanted"), CHOICES)
async def test_a_choice_is_the_same_in_every_dialect(
    claude: anthropic.AsyncAnthropic,
    gpt: openai.AsyncOpenAI,
    rounds: Rounds,
    claudes: Any,
    gpts: Any,
    wanted: ToolChoice,
) -> None:
    fake = rounds(ONE)
    named = {"type": "function", "name": "weather"} if isinstance(gpts, dict) else gpts
    alone = wanted.model_copy(update={"parallel": False})

    await message(claude, tool_choice=claudes)
    await message(claude, tool_choice={**claudes, "disable_parallel_tool_use": True})
    await completion(gpt, tool_choice=gpts)
    await completion(gpt, tool_choice=gpts, parallel_tool_calls=False)
    await response(gpt, tool_choice=named)
    await response(gpt, tool_choice=named, parallel_tool_calls=False)

    assert [each.tool_choice for each in fake.asked] == [wanted, alone] * 3


async def test_strict_tools_are_strict(
    claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI, rounds: Rounds
) -> None:
    fake = rounds(ONE)

    await message(claude, tools=[{**CLAUDES[0], "strict": True}])
    function = {**GPTS[0]["function"], "strict": True}
    await completion(gpt, tools=[{"type": "function", "function": function}])
    await response(gpt, tools=[{**RESPONSES[0], "strict": True}])

    assert [each.client_tools[0].strict for each in fake.asked] == [True, True, True]


# -- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"tool_choice": "required", "tools": []}, "tool_choice"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "other"}}},
            "tool_choice",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "two words"}}]},
            "tools.0.function.name",
        ),
        (
            {
                "tools": [
                    {"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}
                ]
            },
            "tools.0.function.parameters",
        ),
        ({"tools": [*GPTS, *GPTS]}, "tools"),
    ],
)
async def test_what_is_wrong_with_tools_is_a_400_with_its_place(
    gpt: openai.AsyncOpenAI, wrong: dict[str, Any], field: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await completion(gpt, **wrong)

    assert caught.value.param == field


async def test_tools_that_the_provider_would_run_are_refused(
    claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI
) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="the provider would run it"):
        await response(gpt, tools=[{"type": "web_search"}])
    with pytest.raises(openai.UnprocessableEntityError, match="the provider would run it"):
        await completion(gpt, tools=[{"type": "custom", "custom": {"name": "f"}}])
    with pytest.raises(Exception, match="the provider would run it"):
        await message(claude, tools=[{"type": "bash_20250124", "name": "bash"}])


async def test_results_of_calls_that_nobody_made_are_a_400(
    claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI, rounds: Rounds
) -> None:
    fake = rounds(ONE)
    result = {"type": "tool_result", "tool_use_id": "toolu_9", "content": "21"}
    output = {"type": "function_call_output", "call_id": "toolu_9", "output": "21"}
    what = "results of calls that this pool has not made: 'toolu_9'"

    with pytest.raises(anthropic.BadRequestError, match=what):
        await message(claude, [*HELLO, {"role": "user", "content": [result]}])
    with pytest.raises(openai.BadRequestError, match=what) as caught:
        await response(gpt, [output])

    assert caught.value.param == "input"
    assert fake.given == []


# -- streams -------------------------------------------------------------------------------------


async def test_a_message_streams_its_calls(
    claude: anthropic.AsyncAnthropic, rounds: Rounds
) -> None:
    rounds(TWO)

    async with claude.messages.stream(
        model=MODEL,
        max_tokens=100,
        messages=HELLO,
        tools=CLAUDES,  # type: ignore[arg-type]
    ) as stream:
        events = [event async for event in stream]
        whole = await stream.get_final_message()

    pieces = [event.partial_json for event in events if event.type == "input_json"]
    assert len([piece for piece in pieces if piece]) == 4
    assert [block.input for block in whole.content] == [{"city": "Bern"}, {"city": "Rome"}]  # type: ignore[union-attr]
    assert whole.stop_reason == "tool_use"
    started = [event.index for event in events if event.type == "content_block_start"]
    stopped = [event.index for event in events if event.type == "content_block_stop"]
    assert started == stopped == [0, 1]


async def test_a_text_before_calls_is_a_block_of_its_own(
    claude: anthropic.AsyncAnthropic, rounds: Rounds
) -> None:
    rounds(ONE)

    async with claude.messages.stream(
        model=MODEL,
        max_tokens=100,
        messages=HELLO,
        tools=CLAUDES,  # type: ignore[arg-type]
    ) as stream:
        whole = await stream.get_final_message()
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "21"}
    rest = await message(claude, [*HELLO, {"role": "user", "content": [result]}], stream=True)
    events = [event async for event in rest]

    assert [block.type for block in whole.content] == ["text", "tool_use"]
    texts = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert texts == ["Sunny."]


async def test_a_completion_streams_its_calls(gpt: openai.AsyncOpenAI, rounds: Rounds) -> None:
    rounds(TWO)

    async with gpt.chat.completions.stream(model=MODEL, messages=HELLO, tools=GPTS) as stream:
        whole = await stream.get_final_completion()

    (choice,) = whole.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    assert [json.loads(each.function.arguments) for each in choice.message.tool_calls] == [
        {"city": "Bern"},
        {"city": "Rome"},
    ]
    assert [each.id for each in choice.message.tool_calls] == ["toolu_1", "toolu_2"]


async def test_a_response_streams_its_calls_in_the_order_of_the_api(
    gpt: openai.AsyncOpenAI, rounds: Rounds
) -> None:
    rounds(ONE)

    events = [event async for event in await response(gpt, stream=True)]

    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        *["function_call_arguments.delta"] * 3,
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert json.loads(events[-3].arguments) == {"city": "Bern"}
    message, called = events[-1].response.output
    assert (message, called.id) == (events[7].item, events[-2].item.id)


async def test_a_call_that_is_taken_back_ends_the_stream_with_an_error(
    gpt: openai.AsyncOpenAI, rounds: Rounds
) -> None:
    begun = ToolCallPiece(id="toolu_0", name="weather", partial_json="{")
    gone = Withdrawn(text_characters=0, thinking_characters=0, tool_call_ids=("toolu_0",))
    rounds(ONE, before=(begun, gone))

    with pytest.raises(openai.APIError, match="broke off while it was streamed"):
        [event async for event in await completion(gpt, stream=True)]
