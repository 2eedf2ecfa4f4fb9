"""Agents of Pydantic AI, on each of the three APIs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from anthropic import AsyncAnthropic
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
)
from openai import AsyncOpenAI
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

NATIVE = ModelProfile(supports_json_schema_output=True)


def gpt(key: str) -> OpenAIProvider:
    client = AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0)
    return OpenAIProvider(openai_client=client)


def chat(model: str = MODEL, key: str = KEY) -> Model:
    return OpenAIChatModel(model, provider=gpt(key))


def responses(model: str = MODEL, key: str = KEY) -> Model:
    return OpenAIResponsesModel(model, provider=gpt(key))


def claude(model: str = MODEL, key: str = KEY) -> Model:
    client = AsyncAnthropic(base_url=URL, api_key=key, max_retries=0)
    provider = AnthropicProvider(anthropic_client=client)
    return AnthropicModel(model, provider=provider, profile=NATIVE)


def history() -> list[Any]:
    said = {
        "user": lambda text: ModelRequest(parts=[UserPromptPart(text)]),
        "assistant": lambda text: ModelResponse(parts=[TextPart(text)]),
    }
    return [said[turn["role"]](turn["content"]) for turn in TURNS[:-1]]


async def stream(agent: Agent[None, str]) -> object:
    async with agent.run_stream(PROMPTS["stream"]) as answer:
        return pieces([piece async for piece in answer.stream_text(delta=True, debounce_by=None)])


def schema(model: Model) -> object:
    agent = Agent(model, output_type=NativeOutput(Colour))
    return agent.run_sync(PROMPTS["schema"]).output.model_dump()


def forced(model: Model) -> object:
    return Agent(model, output_type=Colour).run_sync(PROMPTS["schema"]).output.model_dump()


def loop(model: Model, prompt: str) -> object:
    adding = Adding()
    return adding.seen(Agent(model, tools=[adding.add]).run_sync(prompt).output)


def checks(made: Callable[..., Model]) -> dict[str, Check]:
    return {
        "text": lambda: Agent(made()).run_sync(PROMPTS["text"]).output,
        "stream": lambda: asyncio.run(stream(Agent(made()))),
        "schema": lambda: schema(made()),
        "turns": lambda: (
            Agent(made()).run_sync(TURNS[-1]["content"], message_history=history()).output
        ),
        "forced": lambda: forced(made()),
        "loop": lambda: loop(made(), PROMPTS["loop"]),
        "errors": lambda: failed(
            lambda: Agent(made(NO_MODEL)).run_sync("Hi"),
            lambda: Agent(made(key=NO_KEY)).run_sync("Hi"),
            lambda: Agent(made(key=SPENT_KEY)).run_sync("Hi"),
            lambda: Agent(made()).run_sync(" "),
        ),
    }


run(
    {
        "pydantic-ai-openai": checks(chat),
        "pydantic-ai-responses": checks(responses),
        "pydantic-ai-anthropic": checks(claude),
    }
)
