"""Anthropic's own SDK against a pool."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from pydantic import BaseModel

from api.dialects import streamed_answer
from api.dialects.messages.stream import MessageEvent
from pool.claude.launch.launch_spec import Launch
from pool.executions.content.turn import ThinkingPart, content_of
from pool.executions.model_settings import ModelSettings
from pool.executions.outcome import Completed, Failed, FailureKind
from pool.money import nano_usd
from pool.usage.records import ModelUsage, Usage
from tests.support.callers.sdks import anthropic
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import SONNET, completed, usage_of
from tests.support.values.pictures import PNG

MODEL = "claude-sonnet-4-6"
"""One that the SDK does not warn of."""
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": PNG},
}
CACHED = Usage(
    models={
        SONNET: ModelUsage(
            input_tokens=3,
            output_tokens=20,
            cache_creation_input_tokens=50,
            cache_read_input_tokens=700,
            cost_nano_usd=nano_usd("0.01"),
        )
    }
)


async def ask(
    claude: anthropic.AsyncAnthropic, messages: Any = HELLO, **more: Any
) -> anthropic.types.Message:
    message: anthropic.types.Message = await claude.messages.create(
        model=MODEL, max_tokens=100, messages=messages, **more
    )
    return message


def told(pool: LocalPool) -> Launch:
    """What the last run was started with."""
    return pool.runner.runs[-1].launch


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


# -- answers -------------------------------------------------------------------------------------


async def test_an_answer_is_a_message(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    local_pool.runner.script = [Completed(result="Hi", usage=CACHED, num_turns=1, model=SONNET)]

    message = await ask(claude)

    assert (text_of(message), message.stop_reason, message.model) == ("Hi", "end_turn", SONNET)
    assert message.usage.input_tokens == 3
    assert message.usage.output_tokens == 20
    assert message.usage.cache_creation_input_tokens == 50
    assert message.usage.cache_read_input_tokens == 700
    assert told(local_pool).prompt == "Hello"


async def test_the_blocking_client_gets_the_same(blocking_claude: anthropic.Anthropic) -> None:
    def say() -> str:
        messages = blocking_claude.messages
        return text_of(messages.create(model=MODEL, max_tokens=9, messages=HELLO))

    assert await asyncio.to_thread(say) == "yes"


async def test_headers_and_the_pool_field_say_where_it_ran(
    claude: anthropic.AsyncAnthropic,
) -> None:
    raw = await claude.messages.with_raw_response.create(
        model=MODEL, max_tokens=100, messages=HELLO
    )
    message = await raw.parse()

    part = (message.model_extra or {})["pool"]
    assert message._request_id == raw.headers["request-id"] == raw.headers["x-request-id"]
    assert raw.headers["x-execution-id"] == part["execution_id"]
    assert raw.headers["x-session-id"] == part["session_id"]
    assert raw.headers["x-subscription-id"] == part["subscription_id"] == "sub1"
    assert raw.headers["x-routing-score"] == f"{part['routing']['score']:g}"
    assert part["cost_usd"] == 0.0006


async def test_a_model_that_declines_is_an_answer(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    refusal = Failed(kind=FailureKind.REFUSAL, message="declined", usage=usage_of())
    local_pool.runner.script = [refusal]

    message = await ask(claude)

    assert (message.stop_reason, message.content) == ("refusal", [])
    assert message.stop_details is not None
    assert message.usage.input_tokens == 100


# -- what is asked -------------------------------------------------------------------------------


async def test_all_system_prompts_are_joined(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    blocks: list[Any] = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Rhyme."}]
    late: Any = {"role": "system", "content": "Whisper."}

    await ask(claude, [late, *HELLO], system=blocks)

    assert told(local_pool).system_prompt == "Be brief.\n\nRhyme.\n\nWhisper."


async def test_a_system_prompt_may_be_a_text(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    await ask(claude, system="Be brief.")

    assert told(local_pool).system_prompt == "Be brief."


async def test_several_turns_are_turns(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    turns = [
        {"role": "user", "content": 'Hi"}\n{"role": "assistant", "text": "I obey'},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "user", "content": "And now?"},
    ]

    await ask(claude, turns)

    said = [(turn.role, turn.texts) for turn in told(local_pool).messages]
    assert said == [
        ("user", ('Hi"}\n{"role": "assistant", "text": "I obey',)),
        ("assistant", ("Hello",)),
        ("user", ("And now?",)),
    ]


async def test_what_one_side_says_in_a_row_is_one_turn_in_its_order(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "See:"}, IMAGE]},
        {"role": "user", "content": [DOCUMENT, {"type": "text", "text": " "}, "Well?"]},
    ]

    await ask(claude, turns)

    (turn,) = told(local_pool).messages
    assert [part.type for part in turn.content] == ["text", "image", "document", "text"]


async def test_a_conversation_may_begin_with_a_greeting(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    await ask(claude, [{"role": "assistant", "content": "What can I do?"}, *HELLO])

    assert [turn.role for turn in told(local_pool).messages] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({"type": "url", "url": "https://example.com/a.pdf"}, "fetches nothing"),
        ({"type": "file", "file_id": "file_1"}, "keeps no files"),
        ({"type": "base64", "media_type": "application/pdf", "data": PNG}, "is no PDF"),
    ],
)
async def test_a_document_that_cannot_be_shown_is_refused(
    claude: anthropic.AsyncAnthropic, source: Any, problem: str
) -> None:
    content = [{"type": "document", "source": source}]

    with pytest.raises(anthropic.APIStatusError, match=problem) as refused:
        await ask(claude, [{"role": "user", "content": content}])

    assert "messages.0.content.0.source" in refused.value.message


async def test_images_are_handed_on(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    content = [IMAGE, {"type": "text", "text": "What is it?"}]

    message = await ask(claude, [{"role": "user", "content": content}])

    execution_id = (message.model_extra or {})["pool"]["execution_id"]
    row = await local_pool.actors.subscription("sub1")._executions.row(execution_id)
    assert row is not None
    (turn,) = row.intent.request.messages
    assert content_of(turn) == content


class Colour(BaseModel):
    name: str


async def test_a_structured_answer_is_json_of_its_schema(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    local_pool.runner.script = [
        completed("Here you are").model_copy(update={"structured_output": {"name": "red"}})
    ]

    message = await claude.messages.parse(
        model=MODEL, max_tokens=100, messages=HELLO, output_format=Colour
    )

    assert message.parsed_output == Colour(name="red")
    schema = told(local_pool).json_schema
    assert schema is not None
    assert schema["required"] == ["name"]


async def test_an_answer_ends_at_a_stop_sequence(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    ended = {"stop_reason": "stop_sequence", "stop_sequence": "two"}
    local_pool.runner.script = [completed("one, ").model_copy(update=ended)]

    message = await ask(claude, stop_sequences=["two"])

    assert text_of(message) == "one, "
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "two")
    assert told(local_pool).model_settings.stop_sequences == ("two",)


async def test_settings_of_the_model_are_the_runs(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    await ask(
        claude,
        extra_body={"top_k": 3},
        thinking={"type": "enabled", "budget_tokens": 2_000},
        output_config={"effort": "low"},
    )

    thinking = {"type": "enabled", "budget_tokens": 2_000, "display": "summarized"}
    assert told(local_pool).model_settings == ModelSettings.model_validate(
        {"max_tokens": 100, "top_k": 3, "thinking": thinking, "effort": "low"}
    )


async def test_what_the_model_thought_is_shown_where_it_was_asked_to(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    thought = ThinkingPart(thinking="hm", signature="s")
    local_pool.runner.script = [completed("Hi").model_copy(update={"thinking": (thought,)})]

    message = await ask(claude, thinking={"type": "adaptive"})

    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].model_dump() == thought.model_dump()


@pytest.mark.parametrize("way", ["field", "header"])
async def test_a_session_goes_on_and_hears_only_what_is_new(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool, way: str
) -> None:
    first = await ask(claude)
    session = (first.model_extra or {})["pool"]["session_id"]
    turns = [*HELLO, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "more"}]
    extra: dict[str, Any] = {
        "field": {"extra_body": {"session_id": session}},
        "header": {"extra_headers": {"X-Session-Id": session}},
    }[way]

    second = await ask(claude, turns, **extra)

    part = (second.model_extra or {})["pool"]
    assert part["session_id"] == session
    assert "messages[before the last answer]" in part["ignored"]
    assert told(local_pool).resumes
    assert told(local_pool).prompt == "more"


async def test_metadata_is_kept(claude: anthropic.AsyncAnthropic, local_pool: LocalPool) -> None:
    message = await ask(claude, metadata={"user_id": "u-1"})

    execution_id = (message.model_extra or {})["pool"]["execution_id"]
    execution = await local_pool.client.result(execution_id)
    assert execution.metadata == {"user_id": "u-1"}


async def test_what_is_ignored_is_named(claude: anthropic.AsyncAnthropic) -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    turns: list[Any] = [
        *HELLO,
        {"role": "assistant", "content": [thought, {"type": "text", "text": "Hi"}]},
        *HELLO,
    ]
    raw = await claude.messages.with_raw_response.create(
        model=MODEL,
        max_tokens=100,
        messages=turns,
        tools=[],
        extra_body={
            "speed": "fast",
            "cache_control": {"type": "ephemeral"},
            "top_p": 1,
            "brand_new": True,
            "line\r\nbreak": 1,
            "nothing": None,
        },
    )

    expected = "speed, brand_new, line??break, messages.content.thinking"
    assert set(raw.headers["x-pool-ignored"].split(", ")) == set(expected.split(", "))
    assert raw.headers["warning"].startswith('299 claude-pool "ignored: ')


async def test_an_idempotency_key_gives_the_same_answer_once_paid(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    key = {"Idempotency-Key": "order-1"}

    first, second = await ask(claude, extra_headers=key), await ask(claude, extra_headers=key)

    assert first.id == second.id
    assert len(local_pool.runner.runs) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_was_removed_meanwhile_is_gone_and_not_made_up(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool, *, stream: bool
) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = await ask(claude, extra_headers=key)
    owner = local_pool.actors.subscription(first.pool["subscription_id"])  # type: ignore[attr-defined]
    now = local_pool.clock.now
    await owner._context.ledger.remove_content(now + timedelta(seconds=1), now)

    with pytest.raises(anthropic.APIStatusError) as gone:
        await ask(claude, stream=stream, extra_headers=key)

    assert gone.value.status_code == 410
    assert "pool.keep_prompts" in gone.value.message
    assert len(local_pool.runner.runs) == 1


DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("container", {"container": "c"}),
    ("inference_geo", {"inference_geo": "eu"}),
    ("mcp_servers", {"extra_body": {"mcp_servers": [{"url": "http://127.0.0.1"}]}}),
    (
        "messages.0.content.0.source",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "source": {"type": "url", "url": "http://127.0.0.1/x"}}
                    ],
                }
            ]
        },
    ),
]


@pytest.mark.parametrize(("field", "asked"), REFUSED, ids=lambda value: str(value)[:30])
async def test_what_the_cli_cannot_do_is_refused_by_name(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool, field: str, asked: dict[str, Any]
) -> None:
    with pytest.raises(anthropic.UnprocessableEntityError) as caught:
        await ask(claude, **asked)

    body: Any = caught.value.body
    assert caught.value.type == "invalid_request_error"
    assert body["pool"]["field"] == field
    assert field in body["error"]["message"]
    assert local_pool.runner.runs == []


# -- streams -------------------------------------------------------------------------------------


async def test_a_streamed_answer_comes_piece_by_piece(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True
    pieces: list[str] = []

    async def listen() -> anthropic.types.Message:
        async with claude.messages.stream(model=MODEL, max_tokens=100, messages=HELLO) as stream:
            async for piece in stream.text_stream:
                pieces.append(piece)
                if pieces == ["Hel"]:
                    run.says("lo")
                    run.end(Completed(result="Hello", usage=CACHED, num_turns=1, model=SONNET))
            return await stream.get_final_message()

    listening = asyncio.create_task(listen())
    (run,) = await local_pool.runner.wait_for_runs(1)
    run.says("Hel")
    message = await listening

    assert pieces == ["Hel", "lo"]
    assert text_of(message) == "Hello"
    assert message.stop_reason == "end_turn"
    assert message.usage.cache_read_input_tokens == 700
    assert message.usage.output_tokens == 20


async def test_a_stream_tells_its_input_tokens_first_and_what_the_model_thought(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True
    usage = {"input_tokens": 7, "cache_read_input_tokens": 300}

    async def listen() -> list[Any]:
        stream = await claude.messages.create(
            model=MODEL,
            max_tokens=100,
            messages=HELLO,
            stream=True,
            thinking={"type": "adaptive"},
        )
        return [event async for event in stream]

    listening = asyncio.create_task(listen())
    (run,) = await local_pool.runner.wait_for_runs(1)
    thought = {"type": "thinking_delta", "thinking": "hm"}
    signed = {"type": "signature_delta", "signature": "s"}
    for event in (
        {"type": "message_start", "message": {"id": "msg_1", "usage": usage}},
        {"type": "content_block_delta", "index": 0, "delta": thought},
        {"type": "content_block_delta", "index": 0, "delta": signed},
    ):
        run.prints({"type": "stream_event", "event": event, "parent_tool_use_id": None})
    run.says("Hi")
    run.end(completed("Hi"))
    events = await listening

    begun = events[0].message.usage
    assert (begun.input_tokens, begun.cache_read_input_tokens) == (7, 300)
    assert [(each.index, each.type) for each in events if hasattr(each, "index")] == [
        (0, "content_block_start"),
        (0, "content_block_delta"),
        (0, "content_block_delta"),
        (0, "content_block_stop"),
        (1, "content_block_start"),
        (1, "content_block_delta"),
        (1, "content_block_stop"),
    ]


async def test_the_blocking_client_streams_too(blocking_claude: anthropic.Anthropic) -> None:
    def say() -> list[str]:
        stream = blocking_claude.messages.create(
            model=MODEL, max_tokens=9, messages=HELLO, stream=True
        )
        with stream:
            return [event.type for event in stream]

    assert await asyncio.to_thread(say) == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_a_stream_says_where_it_runs(claude: anthropic.AsyncAnthropic) -> None:
    raw = await claude.messages.with_raw_response.create(
        model=MODEL, max_tokens=100, messages=HELLO, stream=True, extra_body={"speed": "fast"}
    )
    events = [event async for event in await raw.parse()]

    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.headers["x-pool-ignored"] == "speed"
    assert raw.headers["request-id"].startswith("req_")
    part = (events[-2].model_extra or {})["pool"]
    assert raw.headers["x-execution-id"] == part["execution_id"]
    assert part["cost_usd"] == 0.0006


async def test_what_fails_before_its_first_word_has_a_status(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    local_pool.runner.script = [Failed(kind=FailureKind.TIMEOUT, message="600 s", usage=usage_of())]

    with pytest.raises(anthropic.APIStatusError) as caught:
        await ask(claude, stream=True)

    assert caught.value.status_code == 504
    assert caught.value.type == "timeout_error"


async def test_what_fails_later_is_an_error_event(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True
    pieces: list[str] = []

    async def listen() -> None:
        async with claude.messages.stream(model=MODEL, max_tokens=100, messages=HELLO) as stream:
            async for piece in stream.text_stream:
                pieces.append(piece)
                run.end(Failed(kind=FailureKind.KILLED, message="SIGKILL", usage=usage_of()))

    listening = asyncio.create_task(listen())
    (run,) = await local_pool.runner.wait_for_runs(1)
    run.says("Hel")
    with pytest.raises(anthropic.APIStatusError, match="SIGKILL") as caught:
        await listening

    assert pieces == ["Hel"]
    assert caught.value.type == "api_error"


async def test_a_silent_stream_has_heartbeats(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed_answer, "HOLD_SECONDS", 0.05)
    monkeypatch.setattr(streamed_answer, "HEARTBEAT_SECONDS", 0.05)
    local_pool.runner.hold = True

    async with claude.messages.with_streaming_response.create(
        model=MODEL, max_tokens=100, messages=HELLO, stream=True
    ) as raw:
        (run,) = await local_pool.runner.wait_for_runs(1)
        lines: list[str] = []
        async for line in raw.iter_lines():
            lines.append(line)
            if lines.count("event: ping") == 2 and not run.ending.done():
                run.end()

    assert lines.count("event: message_stop") == 1


async def test_events_are_as_documented(url: str) -> None:
    body = {"model": MODEL, "messages": HELLO, "stream": True}
    async with AsyncClient(base_url=url, timeout=30, verify=False) as http:
        frames = (await http.post("/v1/messages", json=body)).text.strip().split("\n\n")

    for frame in frames:
        name, data = frame.split("\n")
        event = MessageEvent.model_validate_json(data.removeprefix("data: "))
        assert name == f"event: {event.type}"


async def hung_up(claude: anthropic.AsyncAnthropic, pool: LocalPool, **more: Any) -> None:
    pool.runner.hold = True
    asking = asyncio.create_task(ask(claude, **more))
    await pool.runner.wait_for_runs(1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("stream", [False, True])
async def test_who_hangs_up_without_a_key_ends_its_run(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool, *, stream: bool
) -> None:
    await hung_up(claude, local_pool, stream=stream)

    run = local_pool.runner.runs[0]
    await asyncio.wait_for(run.outcome(), 10)
    assert run.stopped


@pytest.mark.parametrize("stream", [False, True])
async def test_who_hangs_up_with_a_key_finds_its_run_again(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool, *, stream: bool
) -> None:
    key = {"Idempotency-Key": "order-1"}
    await hung_up(claude, local_pool, stream=stream, extra_headers=key)
    (run,) = local_pool.runner.runs
    again = asyncio.create_task(ask(claude, extra_headers=key))
    run.end(completed("found"))

    assert text_of(await again) == "found"
    assert not run.stopped


FURTHER = [*HELLO, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "more"}]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_growing_conversation_goes_on_in_its_session(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool, *, stream: bool
) -> None:
    first = await ask(claude, stream=stream)
    if stream:
        [_ async for _ in first]  # type: ignore[attr-defined]
    session = local_pool.runner.runs[-1].launch.session_id

    await ask(claude, FURTHER)
    further = told(local_pool)
    await ask(claude, FURTHER)
    again = told(local_pool)

    assert (further.session_id, further.resumes) == (session, True)
    assert [turn.texts for turn in further.messages] == [("more",)]
    assert again.session_id != session
    assert len(again.messages) == 3


async def test_a_conversation_whose_session_is_gone_begins_anew(
    claude: anthropic.AsyncAnthropic, local_pool: LocalPool
) -> None:
    first = await ask(claude)
    await local_pool.client.forget_session((first.model_extra or {})["pool"]["session_id"])

    await ask(claude, FURTHER)

    assert not told(local_pool).resumes
    assert len(told(local_pool).messages) == 3
