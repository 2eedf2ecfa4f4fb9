"""The screen before a real service, on a real terminal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from click.testing import Result
from fastapi import FastAPI

from api.server.listening import bound, listening
from pool.config import ServerSettings
from tests.support.callers.terminal import on_a_terminal

Cli = Callable[..., Awaitable[Result]]


@pytest.mark.parametrize("command", [("top",), ("status", "--live")])
async def test_where_the_output_is_no_terminal_it_is_printed_once(
    cli: Cli, command: tuple[str, ...]
) -> None:
    await cli("run", "say yes")

    result = await cli(*command)

    assert result.exit_code == 0
    assert result.stdout.startswith("● Safe")
    assert "● succeeded" in result.stdout
    assert "\x1b" not in result.stdout


async def test_a_service_that_is_not_there_is_named_at_once(cli: Cli) -> None:
    result = await cli("top", "--url", "http://127.0.0.1:9")

    assert result.exit_code == 1
    assert "No service listens there" in result.stderr


@pytest.mark.slow
async def test_it_follows_the_pool_changes_it_after_a_yes_and_survives_a_restart(
    app: FastAPI, operator_key: str
) -> None:
    how = {"CLAUDE_POOL_KEY": operator_key, "NO_COLOR": "1"}
    async with AsyncExitStack() as stack:
        with bound(ServerSettings(port=0)) as listener:
            port = listener.getsockname()[1]
            async with listening(app, listener) as url:
                where = on_a_terminal("top", CLAUDE_POOL_URL=url, **how)
                terminal = await stack.enter_async_context(where)
                await terminal.shows("q quit")
                terminal.press("p")
                await terminal.shows("takes no new work until it is resumed")
                terminal.press("y")
                await terminal.shows("is paused.")
                await terminal.shows("● paused")
        await terminal.shows("No service listens there: since")

        with bound(ServerSettings(port=port)) as listener:
            async with listening(app, listener):
                await terminal.shows("The pool is back.")
                terminal.press("q")
                assert await terminal.ended() == 0
