"""Instructor, which has every answer in a schema."""

from __future__ import annotations

from typing import Any

import instructor
from anthropic import Anthropic
from checks import (
    KEY,
    MODEL,
    NO_KEY,
    NO_MODEL,
    PROMPTS,
    SPENT_KEY,
    TURNS,
    URL,
    Check,
    Colour,
    failed,
    run,
    say,
)
from openai import OpenAI


def gpt(key: str = KEY, mode: instructor.Mode = instructor.Mode.JSON_SCHEMA) -> Any:
    client = OpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0)
    return instructor.from_openai(client, mode=mode)


def claude(key: str = KEY, mode: instructor.Mode = instructor.Mode.ANTHROPIC_JSON) -> Any:
    client = Anthropic(base_url=URL, api_key=key, max_retries=0)
    return instructor.from_anthropic(client, mode=mode)


def ask(client: Any, messages: list[Any], model: str = MODEL) -> object:
    answer = client.chat.completions.create(
        model=model, messages=messages, response_model=Colour, max_retries=1, max_tokens=500
    )
    return answer.model_dump()


def checks(made: Any, prompt: str, tools: instructor.Mode) -> dict[str, Check]:
    return {
        "schema": lambda: ask(made(), say(PROMPTS[prompt])),
        "forced": lambda: ask(made(mode=tools), say(PROMPTS["schema"])),
        "errors": lambda: failed(
            lambda: ask(made(), say("Hi"), NO_MODEL),
            lambda: ask(made(NO_KEY), say("Hi")),
            lambda: ask(made(SPENT_KEY), say("Hi")),
            lambda: ask(made(), [*TURNS, {"role": "assistant", "content": "So"}]),
        ),
    }


run(
    {
        "instructor-openai": checks(gpt, "schema", instructor.Mode.TOOLS),
        "instructor-anthropic": checks(claude, "json", instructor.Mode.ANTHROPIC_TOOLS),
    }
)
