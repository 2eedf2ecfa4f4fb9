from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from click.testing import Result
from httpx import AsyncClient

from pool.executions.outcome import Failed, FailureKind
from tests.support.pools.localpool import LocalPool

Cli = Callable[..., Awaitable[Result]]
UNKNOWN = "634fbb1e-4256-459f-9794-14ea9ca8dac8"


async def turn(http: AsyncClient, **body: Any) -> str:
    answer = await http.post("/v1/executions", json={"prompt": "say yes", **body})
    return str(answer.json()["session_id"])


@pytest.fixture
async def session(http: AsyncClient) -> str:
    """The id of a session at ``sub1``."""
    return await turn(http, subscription_id="sub1")


async def test_the_list_shows_where_every_session_lives(
    cli: Cli, http: AsyncClient, session: str
) -> None:
    other = await turn(http, subscription_id="sub2")

    lines = (await cli("sessions", "list")).stdout.splitlines()[1:]

    assert {tuple(line.split()[:2]) for line in lines} == {(session, "sub1"), (other, "sub2")}


async def test_the_list_says_how_it_goes_on(cli: Cli, http: AsyncClient, session: str) -> None:
    other = await turn(http)

    first = await cli("sessions", "list", "--limit", "1")
    more = first.stdout.splitlines()[-1].removeprefix("more with ").split()
    rest = await cli("sessions", "list", *more)

    assert {
        line.split()[0] for line in (first.stdout.splitlines()[1], rest.stdout.splitlines()[1])
    } == {
        session,
        other,
    }


async def test_the_list_is_there_as_json_and_of_one_subscription(cli: Cli, session: str) -> None:
    there = await cli("sessions", "list", "--json", "--subscription", "sub1")
    elsewhere = await cli("sessions", "list", "--subscription", "sub2")

    assert [session] == [each["id"] for each in json.loads(there.stdout)["items"]]
    assert elsewhere.stdout == "There are no sessions.\n"


async def test_one_is_shown_with_its_moves(
    cli: Cli, http: AsyncClient, local_pool: LocalPool, session: str
) -> None:
    at_first = await cli("sessions", "show", session)
    local_pool.runner.script = [Failed(kind=FailureKind.USAGE_LIMIT, message="limit reached")]
    await turn(http, session_id=session)

    moved = await cli("sessions", "show", session)

    assert "It has been nowhere else." in at_first.stdout
    assert moved.stdout.splitlines()[-1].split() == [
        *("2026-01-28", "12:00:00", "UTC", "sub1", "sub2")
    ]


async def test_one_can_be_forgotten(cli: Cli, session: str) -> None:
    result = await cli("sessions", "forget", session)

    assert (result.exit_code, result.stdout) == (0, f"{session} is forgotten\n")
    assert (await cli("sessions", "show", session)).exit_code == 1


async def test_an_unknown_one_ends_with_1(cli: Cli) -> None:
    result = await cli("sessions", "forget", UNKNOWN)

    assert result.exit_code == 1
    assert f"no session '{UNKNOWN}'" in result.stderr
