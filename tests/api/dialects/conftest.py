"""The service on a socket of this machine, and the official SDKs in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi import FastAPI

from api.server.listening import bound, listening
from pool.config import ServerSettings
from tests.support.callers.sdks import anthropic, openai
from tests.support.pools.localpool import LocalPool


@pytest.fixture
def subscriptions() -> int:
    """One: nothing here is about who runs a request."""
    return 1


@pytest.fixture
async def url(app: FastAPI) -> AsyncIterator[str]:
    with bound(ServerSettings(port=0)) as listener:
        async with listening(app, listener) as url:
            yield url


@pytest.fixture
async def claude(url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Anthropic's SDK, without retries of its own."""
    async with anthropic.AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
async def gpt(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's SDK, without retries of its own."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def blocking_claude(url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def blocking_gpt(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def failing(app: FastAPI, local_pool: LocalPool) -> Iterator[Callable[..., None]]:
    """Let the next starts of the pool fail with these errors."""
    with ExitStack() as stack:

        def fail(*errors: Exception) -> None:
            start, left = local_pool.client.start, list(errors)

            async def failing_start(*args: Any, **named: Any) -> Any:
                if left:
                    raise left.pop(0)
                return await start(*args, **named)

            local_pool.client.start = failing_start  # type: ignore[method-assign]
            stack.callback(vars(local_pool.client).pop, "start", None)

        yield fail
