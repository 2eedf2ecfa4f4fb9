"""The official SDKs of OpenAI and Anthropic. The latter is answered by the real CLI."""

from __future__ import annotations

import json
from typing import Any

from anthropic import Anthropic
from checks import (
    KEY,
    MODEL,
    NO_KEY,
    NO_MODEL,
    PROMPTS,
    REAL_CLI_KEY,
    SPENT_KEY,
    TURNS,
    URL,
    Adding,
    Colour,
    failed,
    pieces,
    run,
    say,
)
from openai import OpenAI

gpt = OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
claude = Anthropic(base_url=URL, api_key=REAL_CLI_KEY, max_retries=0)


def chat(messages: list[Any], client: OpenAI = gpt, model: str = MODEL) -> str | None:
    answer = client.chat.completions.create(model=model, messages=messages)
    return answer.choices[0].message.content


def chat_stream() -> object:
    stream = gpt.chat.completions.create(model=MODEL, messages=say(PROMPTS["stream"]), stream=True)
    return pieces(chunk.choices[0].delta.content for chunk in stream)


def chat_schema() -> object:
    answer = gpt.chat.completions.parse(
        model=MODEL, messages=say(PROMPTS["schema"]), response_format=Colour
    )
    parsed = answer.choices[0].message.parsed
    return parsed and parsed.model_dump()


def chat_forced() -> object:
    tool = {"name": "Colour", "parameters": Colour.model_json_schema()}
    answer = gpt.chat.completions.create(
        model=MODEL,
        messages=say(PROMPTS["schema"]),
        tools=[{"type": "function", "function": tool}],
        tool_choice={"type": "function", "function": {"name": "Colour"}},
    )
    (call,) = answer.choices[0].message.tool_calls
    return json.loads(call.function.arguments)


def chat_loop(prompt: str) -> object:
    adding, messages = Adding(), say(prompt)
    tool = {"name": "add", "description": "Add two numbers.", "parameters": Adding.schema}
    while True:
        answer = gpt.chat.completions.create(
            model=MODEL, messages=messages, tools=[{"type": "function", "function": tool}]
        )
        said = answer.choices[0].message
        if not said.tool_calls:
            return adding.seen(said.content)
        messages.append(said)
        for call in said.tool_calls:
            given = str(adding.add(**json.loads(call.function.arguments)))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": given})


def respond(input_: Any, client: OpenAI = gpt, model: str = MODEL) -> str:
    return client.responses.create(model=model, input=input_).output_text


def respond_and_retrieve() -> object:
    given = gpt.responses.create(model=MODEL, input=PROMPTS["text"])
    found = gpt.responses.retrieve(given.id)
    return found.output_text if found.output == given.output else [given, found]


def respond_stream() -> object:
    with gpt.responses.stream(model=MODEL, input=PROMPTS["stream"]) as stream:
        return pieces(each.delta for each in stream if each.type == "response.output_text.delta")


def respond_schema() -> object:
    parsed = gpt.responses.parse(model=MODEL, input=PROMPTS["schema"], text_format=Colour)
    return parsed.output_parsed and parsed.output_parsed.model_dump()


def respond_forced() -> object:
    answer = gpt.responses.create(
        model=MODEL,
        input=PROMPTS["schema"],
        tools=[{"type": "function", "name": "Colour", "parameters": Colour.model_json_schema()}],
        tool_choice={"type": "function", "name": "Colour"},
    )
    return json.loads(answer.output[-1].arguments)


def respond_loop(prompt: str) -> object:
    adding, news, previous = Adding(), say(prompt), None
    tool = {"type": "function", "name": "add", "parameters": Adding.schema}
    while True:
        answer = gpt.responses.create(
            model=MODEL, input=news, previous_response_id=previous, tools=[tool]
        )
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            return adding.seen(answer.output_text)
        previous, news = answer.id, []
        for call in calls:
            given = str(adding.add(**json.loads(call.arguments)))
            output = {"type": "function_call_output", "call_id": call.call_id, "output": given}
            news.append(output)


def message(messages: list[Any], client: Anthropic = claude, model: str = MODEL) -> str:
    answer = client.messages.create(model=model, max_tokens=500, messages=messages)
    return "".join(block.text for block in answer.content if block.type == "text")


def message_stream() -> object:
    with claude.messages.stream(
        model=MODEL, max_tokens=500, messages=say(PROMPTS["stream"])
    ) as stream:
        return pieces(stream.text_stream)


def message_schema() -> object:
    answer = claude.messages.parse(
        model=MODEL, max_tokens=500, messages=say(PROMPTS["schema"]), output_format=Colour
    )
    return answer.parsed_output and answer.parsed_output.model_dump()


def message_forced() -> object:
    answer = claude.messages.create(
        model=MODEL,
        max_tokens=500,
        messages=say(PROMPTS["schema"]),
        tools=[{"name": "Colour", "input_schema": Colour.model_json_schema()}],
        tool_choice={"type": "tool", "name": "Colour"},
    )
    return answer.content[-1].input


def message_loop(prompt: str) -> object:
    adding, messages = Adding(), say(prompt)
    tool = {"name": "add", "description": "Add two numbers.", "input_schema": Adding.schema}
    while True:
        with claude.messages.stream(
            model=MODEL, max_tokens=500, messages=messages, tools=[tool]
        ) as stream:
            said = stream.get_final_message().content
        calls = [block for block in said if block.type == "tool_use"]
        if not calls:
            return adding.seen("".join(block.text for block in said))
        results = [
            {
                "type": "tool_result",
                "tool_use_id": call.id,
                "content": str(adding.add(**call.input)),
            }
            for call in calls
        ]
        messages += [{"role": "assistant", "content": said}, {"role": "user", "content": results}]


run(
    {
        "openai": {
            "text": lambda: chat(say(PROMPTS["text"])),
            "stream": chat_stream,
            "schema": chat_schema,
            "turns": lambda: chat(TURNS),
            "forced": chat_forced,
            "loop": lambda: chat_loop(PROMPTS["loop"]),
            "errors": lambda: failed(
                lambda: chat(say("Hi"), model=NO_MODEL),
                lambda: chat(say("Hi"), gpt.with_options(api_key=NO_KEY)),
                lambda: chat(say("Hi"), gpt.with_options(api_key=SPENT_KEY)),
                lambda: chat(say("")),
            ),
        },
        "openai-responses": {
            "text": respond_and_retrieve,
            "stream": respond_stream,
            "schema": respond_schema,
            "turns": lambda: respond(TURNS),
            "forced": respond_forced,
            "loop": lambda: respond_loop(PROMPTS["loop"]),
            "errors": lambda: failed(
                lambda: respond("Hi", model=NO_MODEL),
                lambda: respond("Hi", gpt.with_options(api_key=NO_KEY)),
                lambda: respond("Hi", gpt.with_options(api_key=SPENT_KEY)),
                lambda: respond(""),
            ),
        },
        "anthropic": {
            "text": lambda: message(say(PROMPTS["text"])),
            "stream": message_stream,
            "schema": message_schema,
            "turns": lambda: message(TURNS),
            "forced": message_forced,
            "loop": lambda: message_loop(PROMPTS["loop"]),
            "errors": lambda: failed(
                lambda: message(say("Hi"), model=NO_MODEL),
                lambda: message(say("Hi"), claude.with_options(api_key=NO_KEY)),
                lambda: message(say("Hi"), claude.with_options(api_key=SPENT_KEY)),
                lambda: message(say("")),
            ),
        },
    }
)
