"""OpenAI's Agents SDK, on the Responses that it asks by default and on Chat Completions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agents import (
    Agent,
    Model,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
)
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


def client(key: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0)


def responses(model: str = MODEL, key: str = KEY) -> Model:
    return OpenAIResponsesModel(model, client(key))


def chat(model: str = MODEL, key: str = KEY) -> Model:
    return OpenAIChatCompletionsModel(model, client(key))


async def stream(agent: Agent) -> object:
    answer = Runner.run_streamed(agent, PROMPTS["stream"])
    return pieces(
        [
            event.data.delta
            async for event in answer.stream_events()
            if event.type == "raw_response_event"
            and event.data.type == "response.output_text.delta"
        ]
    )


def schema(model: Model) -> object:
    agent = Agent(name="Pool", model=model, output_type=Colour)
    return Runner.run_sync(agent, PROMPTS["schema"]).final_output.model_dump()


def forced(model: Model) -> object:
    seen = []

    @function_tool
    def colour(name: str) -> str:
        """Note a colour."""
        seen.append({"name": name})
        return name

    agent = Agent(
        name="Pool",
        model=model,
        tools=[colour],
        model_settings=ModelSettings(tool_choice="required"),
        tool_use_behavior="stop_on_first_tool",
    )
    Runner.run_sync(agent, PROMPTS["schema"])
    return seen[0]


def loop(model: Model, prompt: str) -> object:
    adding = Adding()
    agent = Agent(name="Pool", model=model, tools=[function_tool(adding.add)])
    return adding.seen(Runner.run_sync(agent, prompt).final_output)


def checks(made: Callable[..., Model]) -> dict[str, Check]:
    def agent(**more: str) -> Agent:
        return Agent(name="Pool", model=made(**more))

    return {
        "text": lambda: Runner.run_sync(agent(), PROMPTS["text"]).final_output,
        "stream": lambda: asyncio.run(stream(agent())),
        "schema": lambda: schema(made()),
        "turns": lambda: Runner.run_sync(agent(), TURNS).final_output,
        "forced": lambda: forced(made()),
        "loop": lambda: loop(made(), PROMPTS["loop"]),
        "errors": lambda: failed(
            lambda: Runner.run_sync(agent(model=NO_MODEL), "Hi"),
            lambda: Runner.run_sync(agent(key=NO_KEY), "Hi"),
            lambda: Runner.run_sync(agent(key=SPENT_KEY), "Hi"),
            lambda: Runner.run_sync(agent(), " "),
        ),
    }


run({"agents-responses": checks(responses), "agents-chat": checks(chat)})
