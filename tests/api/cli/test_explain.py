from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

from click.testing import Result
from httpx import AsyncClient
from rich.console import Console

from api.cli.explain import explanation
from pool.executions.execution import Execution
from pool.executions.outcome import Failed, FailureKind
from pool.limits.windows import RateLimitEvent
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON

Cli = Callable[..., Awaitable[Result]]

REJECTED = RateLimitEvent(
    observed_at=NOON, status="rejected", type="five_hour", resets_at=NOON + timedelta(minutes=30)
)
LIMIT = Failed(kind=FailureKind.USAGE_LIMIT, message="limit [reached]", limits=(REJECTED,))


async def execution_id(http: AsyncClient, prompt: str = "say yes") -> str:
    return str((await http.post("/v1/executions", json={"prompt": prompt})).json()["id"])


async def test_the_reason_and_what_every_score_is_made_of_are_told(
    cli: Cli, http: AsyncClient
) -> None:
    result = await cli("explain", await execution_id(http))

    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("It went to sub1 (succeeded): the best of 3 that can take it.")
    assert "report's age" in result.stdout
    assert "+10.0" in result.stdout
    assert "$0.0006" in result.stdout


async def test_a_refusal_is_told_with_its_cause_and_expiry(
    cli: Cli, http: AsyncClient, local_pool: LocalPool
) -> None:
    local_pool.runner.script = [LIMIT]

    result = await cli("explain", await execution_id(http))

    text = " ".join(result.stdout.split())
    assert "attempt 2: sub1 failed" in text
    assert "cooldown: usage_limit: limit [reached]" in text.replace("tried there: ", "")
    assert "until 2026-01-28 12:30:00 UTC" in text


async def test_every_attempt_has_a_line(cli: Cli, http: AsyncClient, local_pool: LocalPool) -> None:
    local_pool.runner.script = [LIMIT]

    result = await cli("explain", await execution_id(http))

    first, second = [line.split() for line in result.stdout.splitlines()[-2:]]
    node = "node-of-the-tests"
    assert first == ["1", "sub1", "usage_limit", "cold", node, "$0.00", "limit", "[reached]"]
    assert second == ["2", "sub2", "completed", "cold", node, "$0.0006"]


async def test_of_many_subscriptions_the_others_are_told_by_number(http: AsyncClient) -> None:
    found = await http.get(f"/v1/executions/{await execution_id(http)}")
    execution = Execution.model_validate(found.json())
    counts = {"considered": 1_000, "usable": 900, "refused": {"limited": 97, "paused": 3}}
    routing = execution.routing.model_copy(update=counts)
    console = Console(width=120)

    with console.capture() as told:
        console.print(explanation(execution.model_copy(update={"routing": routing})))

    line = "1000 were compared, 900 could take it; refused: 97 limited, 3 paused."
    assert line in told.get()


async def test_the_routing_is_there_as_json(cli: Cli, http: AsyncClient) -> None:
    result = await cli("explain", await execution_id(http), "--json")

    assert len(json.loads(result.stdout)["candidates"]) == 3


async def test_an_unknown_one_ends_with_1(cli: Cli) -> None:
    result = await cli("explain", "exec_none")

    assert result.exit_code == 1
    assert "no execution 'exec_none'" in result.stderr
