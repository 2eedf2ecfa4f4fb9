"""LiteLLM, by both of its providers."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from checks import (
    KEY,
    MODEL,
    NO_KEY,
    NO_MODEL,
    PROMPTS,
    SPENT_KEY,
    TURNS,
    URL,
    Adding,
    Check,
    Colour,
    failed,
    pieces,
    run,
    say,
)
from litellm import completion

NO_PICTURE = [
    {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
    }
]
"""An empty message would not do: LiteLLM has words of its own for it."""


def ask(where: dict[str, Any], messages: list[Any], **more: Any) -> Any:
    return completion(**{**where, **more}, messages=messages, max_retries=0)


def text(answer: Any) -> str:
    return answer.choices[0].message.content


def forced(here: Callable[..., Any]) -> object:
    tool = {"name": "Colour", "parameters": Colour.model_json_schema()}
    answer = here(
        say(PROMPTS["schema"]),
        tools=[{"type": "function", "function": tool}],
        tool_choice={"type": "function", "function": {"name": "Colour"}},
    )
    (call,) = answer.choices[0].message.tool_calls
    return json.loads(call.function.arguments)


def loop(here: Callable[..., Any], prompt: str) -> object:
    adding, messages = Adding(), say(prompt)
    tool = {"name": "add", "description": "Add two numbers.", "parameters": Adding.schema}
    while True:
        said = here(messages, tools=[{"type": "function", "function": tool}]).choices[0].message
        if not said.tool_calls:
            return adding.seen(said.content)
        messages.append(said.model_dump(exclude_none=True))
        for call in said.tool_calls:
            given = str(adding.add(**json.loads(call.function.arguments)))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": given})


def checks(provider: str, base: str) -> dict[str, Check]:
    here = partial(ask, {"model": f"{provider}/{MODEL}", "api_base": base, "api_key": KEY})
    return {
        "text": lambda: text(here(say(PROMPTS["text"]))),
        "stream": lambda: pieces(
            chunk.choices[0].delta.content for chunk in here(say(PROMPTS["stream"]), stream=True)
        ),
        "schema": lambda: Colour.model_validate_json(
            text(here(say(PROMPTS["schema"]), response_format=Colour))
        ).model_dump(),
        "turns": lambda: text(here(TURNS)),
        "forced": lambda: forced(here),
        "loop": lambda: loop(here, PROMPTS["loop"]),
        "errors": lambda: failed(
            lambda: here(say("Hi"), model=f"{provider}/{NO_MODEL}"),
            lambda: here(say("Hi"), api_key=NO_KEY),
            lambda: here(say("Hi"), api_key=SPENT_KEY),
            lambda: here(NO_PICTURE),
        ),
    }


run(
    {
        "litellm-openai": checks("openai", f"{URL}/v1"),
        "litellm-anthropic": checks("anthropic", URL),
    }
)
