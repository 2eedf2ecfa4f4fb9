from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from click.testing import Result
from httpx import AsyncClient

Cli = Callable[..., Awaitable[Result]]


async def test_every_subscription_has_a_line(cli: Cli) -> None:
    await cli("run", "say yes")

    result = await cli("status")

    assert result.exit_code == 0
    for each in ("sub1", "sub2", "sub3"):
        assert f"\n{each}" in result.stdout
    assert "from the pool's records" in " ".join(result.stdout.split())


async def test_what_cannot_be_used_says_why(cli: Cli, http: AsyncClient) -> None:
    await cli("run", "say yes")
    await cli("subscriptions", "pause", "sub2")

    result = await cli("status")

    assert "sub2: paused by an operator" in result.stdout.replace("\n", " ")


async def test_json_prints_the_overview(cli: Cli) -> None:
    await cli("run", "say yes")

    result = await cli("status", "--json")

    assert json.loads(result.stdout)["subscriptions"] == 3
