"""LangChain's chat models of OpenAI and Anthropic."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


def gpt(model: str = MODEL, key: str = KEY, *, responses: bool = False) -> BaseChatModel:
    return ChatOpenAI(
        model=model,
        base_url=f"{URL}/v1",
        api_key=key,
        max_retries=0,
        use_responses_api=responses,
    )


def claude(model: str = MODEL, key: str = KEY) -> BaseChatModel:
    return ChatAnthropic(model=model, base_url=URL, api_key=key, max_retries=0)


def schema(model: BaseChatModel) -> object:
    asked = model.with_structured_output(Colour, method="json_schema")
    return asked.invoke(PROMPTS["schema"]).model_dump()


def forced(model: BaseChatModel) -> object:
    asked = model.with_structured_output(Colour, method="function_calling")
    return asked.invoke(PROMPTS["schema"]).model_dump()


def loop(model: BaseChatModel, prompt: str) -> object:
    adding = Adding()
    add = tool("add")(adding.add)
    able, messages = model.bind_tools([add]), [HumanMessage(prompt)]
    while True:
        said = able.invoke(messages)
        if not said.tool_calls:
            return adding.seen(said.text)
        messages += [said, *(add.invoke(call) for call in said.tool_calls)]


def checks(made: Callable[..., BaseChatModel]) -> dict[str, Check]:
    model = made()
    return {
        "text": lambda: model.invoke(PROMPTS["text"]).text,
        "stream": lambda: pieces(chunk.text for chunk in model.stream(PROMPTS["stream"])),
        "schema": lambda: schema(model),
        "turns": lambda: model.invoke(TURNS).text,
        "forced": lambda: forced(model),
        "loop": lambda: loop(model, PROMPTS["loop"]),
        "errors": lambda: failed(
            lambda: made(NO_MODEL).invoke("Hi"),
            lambda: made(key=NO_KEY).invoke("Hi"),
            lambda: made(key=SPENT_KEY).invoke("Hi"),
            lambda: model.invoke(""),
        ),
    }


run(
    {
        "langchain-openai": checks(gpt),
        "langchain-openai-responses": checks(partial(gpt, responses=True)),
        "langchain-anthropic": checks(claude),
    }
)
