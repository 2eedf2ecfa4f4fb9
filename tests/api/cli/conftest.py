"""The command line before a real service: uvicorn on loopback, a local pool behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from click.testing import Result
from fastapi import FastAPI
from typer.testing import CliRunner

from api.main import app as commands
from api.server.listening import bound, listening
from pool.config import ServerSettings

Cli = Callable[..., Awaitable[Result]]


@pytest.fixture
async def url(app: FastAPI) -> AsyncIterator[str]:
    with bound(ServerSettings(port=0)) as listener:
        async with listening(app, listener) as address:
            yield address


@pytest.fixture
def cli(url: str, operator_key: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run ``claude-pool`` with these arguments against the service, as its operator."""
    monkeypatch.setenv("CLAUDE_POOL_KEY", operator_key)
    runner = CliRunner(env={"CLAUDE_POOL_URL": url, "COLUMNS": "100", "NO_COLOR": "1"})

    async def run(*arguments: str, stdin: str | None = None) -> Result:
        return await asyncio.to_thread(runner.invoke, commands, arguments, input=stdin)

    return run
